"""A run of the real DeepStream on a GPU node: the folder to carry there, and the comparison of what comes back.

NOBODY HAS RUN THIS ON A GPU YET. It follows deepstream-app's sources; where the software disagrees, it is right. The
stream muxer has one size, so the pictures of each size are a part of their own, with a run of its own: inside the
folder, `deepstream-app -c <part>/deepstream_app.txt` for each (`gpu_run` does it).
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from traffic_yolo.dataset.pictures.decode import stated_size
from traffic_yolo.deepstream.config.deploy_config import CONFIG_NAME, named_by_content
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.run.kitti import read_kitti
from traffic_yolo.detection.detect import Picture
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.model_folder import CLASSES_NAME, labels_text, read_names
from traffic_yolo.storage import atomic_folder, read_json, sha256_of_file, write_json, write_text
from traffic_yolo.typed_values import why_other

APP_CONFIG_NAME = "deepstream_app.txt"
FRAMES_NAME = "frames.json"
FRAMES_FOLDER = "frames"
KITTI_FOLDER = "kitti"
JPEG = ".jpg"
KINDS = {b"\xff\xd8": JPEG, b"\x89PNG": ".png"}  # beginning of a file -> suffix
HEADER_BYTES = 1 << 16
BEYOND = 2.0  # pixels by which a box may reach over its frame: rounding

APP_CONFIG = """\
[application]
enable-perf-measurement=0
# one text file per frame; the folder must exist
gie-kitti-output-dir={kitti}

[source0]
enable=1
type=2
# picture files one after another: a video's compression would count as a difference
uri={uri}
num-sources=1
gpu-id=0

[streammux]
gpu-id=0
batch-size=1
# the pictures' own size: anything else is a second resize
width={width}
height={height}
# wait for every frame
batched-push-timeout=-1
live-source=0

[primary-gie]
enable=1
gpu-id=0
batch-size=1
gie-unique-id=1
interval=0
config-file=../{config}

[tracker]
# a tracker would move and keep boxes
enable=0

[tiled-display]
enable=0

[osd]
enable=0

[sink0]
enable=1
# fakesink, as fast as it goes
type=1
sync=0

[tests]
file-loop=0
"""


@dataclass(frozen=True)
class RunPart:
    """The pictures of one size and kind of file: `folder` below the run's, and their ids by frame."""

    folder: str
    width: int
    height: int
    image_ids: tuple[int, ...]

    @property
    def app_config(self) -> str:
        """deepstream-app's file, relative to the run's folder."""
        return f"{self.folder}/{APP_CONFIG_NAME}"


def write_app_run(
    out: Path, pictures: Sequence[Picture], model: Path, config: NvinferConfig, *, run_folder: str
) -> tuple[RunPart, ...]:
    """Writes the folder of a run, `out`, which may be there already: the model's files, configurations, a manifest.

    A folder for each size and kind of picture holds its application and copies of the pictures. `run_folder`: the
    absolute path that the folder will have where it runs. The ONNX file carries its hash in its name, since nvinfer
    would take an engine of other weights that it finds under the same name. `frames.json` says which picture each frame
    is. Raises `EvaluationError` for no pictures, one whose file has another size than is stated or is of a kind that
    GStreamer does not read by its name, and a `run_folder` that is relative or that deepstream-app's files cannot hold;
    `ModelError` for a labels file that is not the one of the model's classes.
    """
    if not pictures:
        raise EvaluationError("a run takes pictures, found none")
    if not run_folder.startswith("/"):
        raise EvaluationError(f"run folder {run_folder!r}: expected its absolute path on the GPU node")
    if "\\" in run_folder or not run_folder.isprintable():
        raise EvaluationError(f"run folder {run_folder!r}: expected a path without backslashes and control characters")
    _check_labels(model, config.text("labelfile-path"))
    grouped: dict[tuple[int, int, str], list[Picture]] = {}
    for picture in pictures:
        grouped.setdefault((picture.width, picture.height, _kind_of(picture)), []).append(picture)
    with _run_files(out) as folder:
        named = config
        if config.has("onnx-file"):
            named = named_by_content(config, sha256_of_file(model / config.text("onnx-file")))
        for key in ("onnx-file", "custom-network-config", "model-file", "labelfile-path"):
            if config.has(key):
                shutil.copyfile(model / config.text(key), folder / named.text(key))
        write_text(folder / CONFIG_NAME, named.to_text())
        parts = []
        for (width, height, suffix), members in sorted(grouped.items()):
            name = f"{width}x{height}{suffix.replace('.', '-') if suffix != JPEG else ''}"
            (folder / name / FRAMES_FOLDER).mkdir(parents=True)
            (folder / name / KITTI_FOLDER).mkdir()
            for frame, picture in enumerate(members):
                shutil.copyfile(picture.path, folder / name / FRAMES_FOLDER / f"{frame:06d}{suffix}")
            app_config = APP_CONFIG.format(
                uri=frames_uri(f"{run_folder.rstrip('/')}/{name}/{FRAMES_FOLDER}", suffix),
                kitti=KITTI_FOLDER,
                width=width,
                height=height,
                config=CONFIG_NAME,
            )
            write_text(folder / name / APP_CONFIG_NAME, app_config)
            parts.append(RunPart(name, width, height, tuple(picture.image_id for picture in members)))
        write_json(folder / FRAMES_NAME, {"parts": [dataclasses.asdict(part) for part in parts]})
    return tuple(parts)


def frames_uri(folder: str, suffix: str = ".jpg") -> str:
    """The URI under which GStreamer reads the frames in `folder`, an absolute path: 000000.jpg, 000001.jpg and so on.

    GStreamer decodes the URI, then puts the frame's number in by printf: a % of the path stands twice, each escaped.
    """
    pattern = f"{folder.replace('%', '%%')}/%06d{suffix}"
    return f"multifile://{quote(pattern)}"


@contextlib.contextmanager
def _run_files(out: Path) -> Iterator[Path]:
    """`out` to write into, where somebody made it already; else one that appears when it is whole."""
    if out.is_dir():
        yield out
        return
    with atomic_folder(out) as folder:
        yield folder


def _kind_of(picture: Picture) -> str:
    """The suffix that the frames of a picture get; its file's content says it, and that it has the stated size."""
    with picture.path.open("rb") as file:
        data = file.read(HEADER_BYTES)
    kind = next((suffix for beginning, suffix in KINDS.items() if data.startswith(beginning)), "")
    if not kind:
        raise EvaluationError(f"{picture.path}: expected a JPEG or PNG file; deepstream-app's source reads these")
    size = stated_size(data) or stated_size(picture.path.read_bytes())
    if size != (picture.width, picture.height):
        found = "no size" if size is None else f"{size[0]} x {size[1]}"
        raise EvaluationError(f"{picture.path}: {found}, but the data set says {picture.width} x {picture.height}")
    return kind


def _check_labels(model: Path, name: str) -> None:
    """A box's class goes into the dump by its label: one line shifted, and every class would be another."""
    path = model / name
    found = path.read_text(encoding="utf-8") if name and path.is_file() else None
    if found != labels_text(read_names(model / CLASSES_NAME)):
        raise ModelError(f"{path}: not the labels of {CLASSES_NAME} beside it, in that order; export the model again")


def read_manifest(folder: Path) -> tuple[RunPart, ...]:
    """The parts of a run; `EvaluationError` for a manifest that is none."""
    path = folder / FRAMES_NAME
    manifest = read_json(path, what="frame manifest")
    parts = manifest.get("parts") if isinstance(manifest, dict) else None
    if reason := why_other(parts, tuple[RunPart, ...]):
        raise EvaluationError(f"{path}: not a frame manifest: parts{reason}")
    try:
        return tuple(RunPart(**{**part, "image_ids": tuple(part["image_ids"])}) for part in parts or ())
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: not a frame manifest: parts: {error}") from error


def read_app_run(folder: Path, classes: Sequence[str]) -> Detections:
    """What the run left in its KITTI folders, with the picture ids of its manifest; raises as `read_kitti` does.

    Raises `EvaluationError` too for a box beyond its frame: the muxer had another size than the pictures.
    """
    found = []
    for part in read_manifest(folder):
        place = folder / part.folder / KITTI_FOLDER
        detections = read_kitti(place, part.image_ids, classes)
        reach = detections.boxes_xyxy.max(axis=0, initial=0)[2:] if len(detections) else np.zeros(2)
        if reach[0] > part.width + BEYOND or reach[1] > part.height + BEYOND:
            raise EvaluationError(
                f"{place}: a box reaches to {reach[0]:.0f} x {reach[1]:.0f} in frames of {part.width} x {part.height}; "
                f"the muxer ran with another width and height"
            )
        found.append(detections)
    return Detections.concatenate(found)
