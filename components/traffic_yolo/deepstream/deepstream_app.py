"""A run of the real DeepStream on a GPU node: the folder to carry there, and the comparison of what comes back.

NOBODY HAS RUN THIS ON A GPU YET. It follows deepstream-app's documented settings; where the software disagrees, it is
right. On the node: put DeepStream-Yolo's library where the configuration names it, then run
`deepstream-app -c deepstream_app.txt` inside the folder.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from traffic_yolo.deepstream.deploy_config import CONFIG_NAME, named_by_content
from traffic_yolo.deepstream.kitti import read_kitti
from traffic_yolo.deepstream.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.parity import Parity, compare
from traffic_yolo.deepstream.verdict import problems_of_boxes, problems_of_classes
from traffic_yolo.detection.detect import Picture
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.model_folder import CLASSES_NAME, labels_text, read_names
from traffic_yolo.storage import atomic_folder, read_json, sha256_of_file, write_json, write_text
from traffic_yolo.typed_values import why_other

APP_CONFIG_NAME = "deepstream_app.txt"
FRAMES_NAME = "frames.json"
FRAMES_FOLDER = "frames"
KITTI_FOLDER = "kitti"

APP_CONFIG = """\
[application]
enable-perf-measurement=0
# one text file per frame; the folder must exist
gie-kitti-output-dir={run_folder}/{kitti}

[source0]
enable=1
type=2
# JPEG files one after another: a video's compression would count as a difference
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
config-file={config}

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


def write_app_run(
    out: Path, pictures: Sequence[Picture], model: Path, config: NvinferConfig, *, run_folder: str
) -> None:
    """Writes the folder of a run: JPEG copies, the model's files that `config` names, both configurations, a manifest.

    `run_folder`: the absolute path that the folder will have on the GPU node. The ONNX file carries its hash in its
    name, since nvinfer would take an engine of other weights that it finds under the same name. `frames.json` says
    which picture each frame is. Raises `EvaluationError` for no pictures or pictures of different sizes (the stream
    muxer has one), and a `run_folder` that is relative or that deepstream-app's files cannot hold; `ModelError` for a
    labels file that is not the one of the model's classes.
    """
    sizes = sorted({(picture.width, picture.height) for picture in pictures})
    if len(sizes) != 1:
        found = ", ".join(f"{width} x {height}" for width, height in sizes) or "none"
        raise EvaluationError(f"a run takes pictures of one size, found {found}; write one run for each size")
    if not run_folder.startswith("/"):
        raise EvaluationError(f"run folder {run_folder!r}: expected its absolute path on the GPU node")
    if "\\" in run_folder or not run_folder.isprintable():
        raise EvaluationError(f"run folder {run_folder!r}: expected a path without backslashes and control characters")
    _check_labels(model, config.text("labelfile-path"))
    width, height = sizes[0]
    with atomic_folder(out) as folder:
        (folder / FRAMES_FOLDER).mkdir()
        (folder / KITTI_FOLDER).mkdir()
        for frame, picture in enumerate(pictures):
            shutil.copyfile(picture.path, folder / FRAMES_FOLDER / f"{frame:06d}.jpg")
        named = config
        if config.has("onnx-file"):
            named = named_by_content(config, sha256_of_file(model / config.text("onnx-file")))
        for key in ("onnx-file", "custom-network-config", "model-file", "labelfile-path"):
            if config.has(key):
                shutil.copyfile(model / config.text(key), folder / named.text(key))
        write_text(folder / CONFIG_NAME, named.to_text())
        app_config = APP_CONFIG.format(
            run_folder=run_folder.rstrip("/"),
            uri=frames_uri(f"{run_folder.rstrip('/')}/{FRAMES_FOLDER}"),
            kitti=KITTI_FOLDER,
            width=width,
            height=height,
            config=CONFIG_NAME,
        )
        write_text(folder / APP_CONFIG_NAME, app_config)
        write_json(folder / FRAMES_NAME, {"image_ids": [picture.image_id for picture in pictures]})


def frames_uri(folder: str) -> str:
    """The URI under which GStreamer reads the frames in `folder`, an absolute path: 000000.jpg, 000001.jpg and so on.

    GStreamer decodes the URI, then puts the frame's number in by printf: a % of the path stands twice, each escaped.
    """
    pattern = f"{folder.replace('%', '%%')}/%06d.jpg"
    return f"multifile://{quote(pattern)}"


def _check_labels(model: Path, name: str) -> None:
    """A box's class goes into the dump by its label: one line shifted, and every class would be another."""
    path = model / name
    found = path.read_text(encoding="utf-8") if name and path.is_file() else None
    if found != labels_text(read_names(model / CLASSES_NAME)):
        raise ModelError(f"{path}: not the labels of {CLASSES_NAME} beside it, in that order; export the model again")


def read_app_run(folder: Path, classes: Sequence[str]) -> Detections:
    """What the run left in its KITTI folder, with the picture ids of its manifest; raises as `read_kitti` does."""
    manifest = read_json(folder / FRAMES_NAME, what="frame manifest")
    image_ids = manifest.get("image_ids") if isinstance(manifest, dict) else None
    if reason := why_other(image_ids, list[int]):
        raise EvaluationError(f"{folder / FRAMES_NAME}: not a frame manifest: image_ids{reason}")
    return read_kitti(folder / KITTI_FOLDER, image_ids or [], classes)


def compare_app_run(
    folder: Path,
    reference: Detections,
    classes: Sequence[str],
    *,
    confidence_threshold: float | Sequence[float],
    raw: RawDetections | None = None,
    require_parity: bool = True,
) -> Parity:
    """Parity of `reference` (left: PyTorch's or the simulator's detections of the same pictures) with a run (right).

    `raw`: the raw detections behind PyTorch's, which report every class of a box; the simulator's report one, as the
    run does, and need none. Raises `ModelError` where the boxes, of all classes or of one, are beyond the limits,
    unless `require_parity` is off.
    """
    right = read_app_run(folder, classes)
    num_classes = len(classes)
    parity = compare(reference, right, num_classes=num_classes, confidence_threshold=confidence_threshold, raw=raw)
    problems = (*problems_of_boxes(parity), *problems_of_classes(parity, classes))
    if require_parity and problems:
        raise ModelError(f"{folder}: {'; '.join(problems)}; do not deploy this model as it is")
    return parity
