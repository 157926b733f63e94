"""What the command `predict` reports, draws and writes; how it infers is for `InferenceOptions`."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option
from traffic_yolo.predict.count_line import CountLine
from traffic_yolo.predict.region import Region

SAVE_FORMATS = ("coco", "yolo", "cvat", "kitti", "csv", "jsonl", "labelstudio")


@dataclass(frozen=True)
class ModelOptions:
    """Which model is meant, where its name alone does not say it, and at which thresholds it reports.

    A threshold of None, or "", is that of the model's own operating point, which a bundle carries. Raises
    `OptionsError` for a value out of range.
    """

    zoo: str = option("", "Model zoo (a path, nas:// or s3://): MODEL is a name in it.", location="read")
    version: str = option("", "Version of that model, or its number; empty: the one in use.")
    cfg: str = option("", "Darknet .cfg of MODEL.weights; by default the one of the same name.", location="read")
    weights_names: str = option(
        "", "Class names of MODEL.weights, one a line; by default its .names, or classes.names.", location="read"
    )
    operating_point: str = option(
        "", "Folder that tune wrote, or its operating_point.json; by default what MODEL carries.", location="read"
    )
    confidence_threshold: float | None = option(
        None, "Scores not above it are dropped, [0, 1); for all classes. By default the model's own.", least=0
    )
    class_thresholds: str = option("", "Thresholds of single classes: BUS=0.4,CAR=0.3. By default the model's own.")
    iou_threshold: float | None = option(
        None, "NMS: overlap above which the weaker box of a class goes, (0, 1]. By default the model's own.", most=1
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.confidence_threshold is not None and self.confidence_threshold >= 1:
            raise OptionsError(
                f"confidence_threshold: expected a number in [0, 1), found {self.confidence_threshold:g}"
            )
        if self.iou_threshold is not None and self.iou_threshold <= 0:
            raise OptionsError(f"iou_threshold: expected a number in (0, 1], found {self.iou_threshold:g}")
        parse_class_thresholds(self.class_thresholds)


@dataclass(frozen=True)
class PredictOptions:
    """What is looked at and what is written. Raises `OptionsError` for an unknown format or a value out of range."""

    save: tuple[str, ...] = option((), f"Write detections as {', '.join(SAVE_FORMATS)}.")
    draw: bool = option(True, "Draw the boxes: a JPEG for each picture and scan, a video for each video.")
    stride: int = option(1, "Every how manieth frame of a video or scan of a recording is looked at.", least=1)
    frames: int | None = option(
        None,
        "Most frames or scans that are looked at of each video, stream and recording.",
        least=1,
        flag="--max-frames",
    )
    seconds: float | None = option(None, "Seconds of each video and stream that are looked at, from its begin.")
    reconnect: int = option(
        5, "Attempts, one after another, to reach a stream again that dropped, before it counts as ended.", least=0
    )
    track: bool = option(False, "Follow road users from frame to frame and number them.")
    count_line: tuple[str, ...] = option(
        (), "Count who crosses a line, by direction and class: NAME=X,Y,X,Y in pixels. Tracks."
    )
    region: tuple[str, ...] = option(
        (), "Report only who stands in this polygon: X,Y X,Y X,Y in pixels, or NAME=X,Y X,Y X,Y for one source."
    )
    crops: bool = option(False, "Write each detection as a picture of its own, in a folder for each class.")
    show: bool = option(False, "Show what is drawn in a window; q ends it, with what was seen until then.")
    layout: str = option("", "Layout of the recordings: a name, or a YAML file. By default the one that fits.",
                         location="read")  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if self.seconds is not None and self.seconds <= 0:
            raise OptionsError(f"seconds: expected a number above 0, found {self.seconds:g}")
        lines = [CountLine.parse(text).name for text in self.count_line]
        if twice := [name for name in lines if lines.count(name) > 1]:
            raise OptionsError(f"count_line: {twice[0]!r} is given twice")
        for text in self.region:
            Region.parse(text)
        for name in self.save:
            if name not in SAVE_FORMATS:
                raise OptionsError(f"save: expected one of {', '.join(SAVE_FORMATS)}, found {name!r}")
        if not (self.draw or self.save or self.count_line or self.crops or self.show):
            raise OptionsError(f"save: nothing would be written; give one of {', '.join(SAVE_FORMATS)}, or draw")


def parse_class_thresholds(text: str) -> dict[str, float]:
    """Class name -> threshold of "BUS=0.4,CAR=0.3"; `OptionsError` for another form, a class twice, or no [0, 1)."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = (each.strip() for each in part.rpartition("="))
        try:
            threshold = float(value)
        except ValueError:
            threshold = -1.0
        if not separator or not name or not 0 <= threshold < 1:
            raise OptionsError(f"class_thresholds: expected CLASS=number in [0, 1), found {part!r}")
        if name in found:
            raise OptionsError(f"class_thresholds: {name!r} is given twice")
        found[name] = threshold
    return found
