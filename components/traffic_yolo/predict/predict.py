"""The command `predict`: a model over pictures, videos and recordings; reading, network and writing overlapped."""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traffic_yolo.beside import Behind, ahead
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import Detections
from traffic_yolo.predict.count_line import CountLine
from traffic_yolo.predict.counting import write_counts
from traffic_yolo.predict.drawing import drawn
from traffic_yolo.predict.drawn_files import Drawing, opened_drawing
from traffic_yolo.predict.following import Followed, Following
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.inputs import Input, Inputs
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.region import Region, check_regions
from traffic_yolo.predict.region_filter import inside
from traffic_yolo.predict.window import check_window, show
from traffic_yolo.predict.writers import open_writers
from traffic_yolo.predict.written_rows import PredictionWriter
from traffic_yolo.progress import progress
from traffic_yolo.storage import AnyPath, atomic_folder, output_path

if TYPE_CHECKING:
    from traffic_yolo.predict.model import Model

READ_AHEAD = 4  # pictures that are read, beside the batches that the detector takes
WRITTEN_BEHIND = 4  # pictures that wait to be drawn and written at least
DRAWN_FOLDER = "drawn"


@dataclass(frozen=True)
class PredictSummary:
    """What was looked at and found. `by_class`: class name -> detections, in the order of the classes."""

    out: Path
    num_pictures: int
    by_class: dict[str, int]
    model: str
    runtime: str
    reporting: str
    notes: tuple[str, ...]
    crossings: dict[str, dict[str, int]] | None = None  # line -> direction -> how many, of all sources; None: no lines

    @property
    def text(self) -> str:
        """For a terminal."""
        counts = ", ".join(f"{count} {name}" for name, count in self.by_class.items() if count) or "nothing found"
        lines = [
            f"{self.num_pictures} pictures: {counts}: {self.out}",
            f"{self.model} by {self.runtime}; {self.reporting}",
        ]
        for line, counted in (self.crossings or {}).items():
            lines.append(f"{line}: {', '.join(f'{count} {direction}' for direction, count in counted.items())}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def values(self) -> dict[str, Any]:
        """The same as a JSON value."""
        crossings = {} if self.crossings is None else {"crossings": self.crossings}
        return crossings | {
            "out": str(self.out),
            "pictures": self.num_pictures,
            "detections": self.by_class,
            "model": self.model,
            "runtime": self.runtime,
            "reporting": self.reporting,
            "notes": list(self.notes),
        }


def predict(
    model: AnyPath,
    sources: Sequence[AnyPath],
    out: AnyPath,
    options: PredictOptions | None = None,
    model_options: ModelOptions | None = None,
    inference: InferenceOptions | None = None,
) -> PredictSummary:
    """Writes the folder `out`, which appears whole or not at all; a few pictures at a time are in memory.

    `drawn/` holds the drawn pictures and videos; `options.save` names the other files. Detections are those that
    `detect` and NMS at the model's thresholds give. Raises, in one line, what `Inputs.find` and `Model.open` raise,
    before any picture is looked at; `PictureError`, `RecordingError` for what cannot be read later; `StorageError` for
    an `out` that exists, or a full disk.
    """
    options = options or PredictOptions()
    target = output_path(out)
    with atomic_folder(target) as folder:  # refuses what is there before a network is read
        inputs = Inputs.find([each if isinstance(each, str | Path) else str(each) for each in sources], options)
        expected = inputs.num_pictures
        lines = [CountLine.parse(text) for text in options.count_line]
        following = Following(stride=options.stride, lines=lines) if options.track or lines else None
        if following is not None:
            following.check(inputs.files)
        if options.show:
            check_window()
        regions = [Region.parse(text) for text in options.region]
        check_regions(regions, [(file.name, file.shown, file.size_wh) for file in inputs.files])
        from traffic_yolo.predict.model import Model  # loads torch: a mistake in the sources is told before

        network = Model.open(model, model_options, inference, num_pictures=expected or 1)
        counts: Counter[int] = Counter()
        num_pictures, is_ended = 0, False
        with (
            open_writers(
                folder,
                options.save,
                network.classes,
                network.name,
                has_tracks=following is not None,
                crops=options.crops,
            ) as writers,
            opened_drawing(folder / DRAWN_FOLDER, network.classes, wanted=options.draw) as drawing,
            Behind(max(WRITTEN_BEHIND, network.batch)) as behind,  # the network does not wait to hand over a batch
            contextlib.ExitStack() as stack,
        ):
            predicted = stack.enter_context(contextlib.closing(_predicted(network, inputs)))
            for file, picture, found in progress(predicted, description="predict", unit="picture", total=expected):
                found = inside(regions, file, picture, found)
                followed = Followed() if following is None else following.look(file, picture, found)
                if options.show and not _shown(picture, found, followed, network.classes):
                    is_ended = True
                behind.do(partial(_write, file, picture, found, followed, writers, drawing))
                counts.update(found.class_ids.tolist())
                num_pictures += 1
                if is_ended:
                    break
        crossings = None
        if following is not None and lines:
            write_counts(folder, following.counters, lines, network.classes)
            crossings = following.totals()
    by_class = {name: counts[class_id] for class_id, name in enumerate(network.classes)}
    described = network.reporting.described(network.classes)
    return PredictSummary(
        target, num_pictures, by_class, network.name, network.runtime, described, tuple(inputs.notes), crossings
    )


def _shown(picture: InputPicture, found: Detections, followed: Followed, classes: tuple[str, ...]) -> bool:
    return show(drawn(picture.bgr(), found.boxes_xyxy, found.scores, found.class_ids, classes, followed))


def _predicted(model: "Model", inputs: Inputs) -> Generator[tuple[Input, InputPicture, Detections], None, None]:
    file_of: dict[int, Input] = {}

    def pictures() -> Iterator[InputPicture]:
        for file, picture in inputs.pictures():
            file_of[picture.image_id] = file
            yield picture

    with (
        contextlib.closing(ahead(pictures(), READ_AHEAD)) as stream,
        contextlib.closing(model.detect(stream)) as detected,
    ):
        for picture, found in detected:
            yield file_of.pop(picture.image_id), picture, found


def _write(
    file: Input,
    picture: InputPicture,
    found: Detections,
    followed: Followed,
    writers: Sequence[PredictionWriter],
    drawing: Drawing | None,
) -> None:
    for writer in writers:
        writer.add(picture, found, followed.track_ids)
    if drawing is not None:
        drawing.add(file, picture, found, followed)
