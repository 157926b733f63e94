"""The text files that `deepstream-app` dumps per frame (gie-kitti-output-dir), read back into detections.

Nobody has read a dump of a real GPU node with this yet; the format is taken from deepstream-app's sources.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.model_folder import label

# label, truncated, occluded, alpha, left, top, right, bottom, seven numbers of a 3-D box, confidence
NUM_COLUMNS = 16
BOX_COLUMNS = slice(4, 8)
FILE_NAME = re.compile(r"00_000_(\d{6,})\.txt")  # application 0, stream 0, frame


FARTHEST = 2**31  # pixels of a corner from the picture's own: no box lies there, and float32 holds it


def frame_file(frame: int) -> str:
    """The name of a frame's file, for the first application and stream."""
    return f"00_000_{frame:06d}.txt"


def read_kitti(folder: Path, image_ids: Sequence[int], classes: Sequence[str]) -> Detections:
    """The detections of a dump; frame n is the picture `image_ids[n]`. Boxes in the stream muxer's pixels.

    Picture by picture, by falling score. Raises `EvaluationError` for a missing or surplus frame, a line that is not
    KITTI, an unknown or empty label, corners that are reversed or no numbers, a confidence outside of 0 to 1, or a dump
    without confidences (DeepStream before 5).
    """
    found = {int(match[1]): path for path in folder.glob("*.txt") if (match := FILE_NAME.fullmatch(path.name))}
    if missing := sorted(set(range(len(image_ids))) - set(found)):
        raise EvaluationError(
            f"{folder}: {len(missing)} of {len(image_ids)} frames left no file, the first is {frame_file(missing[0])}; "
            f"frames were dropped, or the run ended early"
        )
    if surplus := sorted(set(found) - set(range(len(image_ids)))):
        raise EvaluationError(
            f"{folder}: {found[surplus[0]].name} is beyond the {len(image_ids)} frames of the manifest; "
            f"empty the folder and run again"
        )
    class_of = {label(name): class_id for class_id, name in enumerate(classes)}
    rows: list[tuple[float, ...]] = []
    for frame, image_id in enumerate(image_ids):
        of_frame = _read_file(found[frame], class_of)
        rows += [(image_id, *row) for row in sorted(of_frame, key=lambda row: -row[-1])]
    table = np.array(rows, np.float64).reshape(-1, 7)  # image id, class, left, top, right, bottom, score
    return Detections(
        image_ids=table[:, 0].astype(np.int64),
        boxes_xyxy=table[:, 2:6].astype(np.float32),
        scores=table[:, 6].astype(np.float32),
        class_ids=table[:, 1].astype(np.int64),
    )


def _read_file(path: Path, class_of: dict[str, int]) -> list[tuple[float, ...]]:
    """(class id, left, top, right, bottom, score) of each line."""
    rows: list[tuple[float, ...]] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: not UTF-8 text (byte {error.start}); dump the frame again") from error
    for number, line in enumerate(lines, start=1):
        where = f"{path} line {number}"
        columns = line.split()
        if not columns:
            continue
        if line[0].isspace():
            raise EvaluationError(
                f"{where}: the label is empty; a line of labels.txt is blank or begins with ; (nvinfer cuts there)"
            )
        if len(columns) == NUM_COLUMNS - 1:
            raise EvaluationError(f"{where}: no confidence; this DeepStream is too old to compare scores with")
        if len(columns) != NUM_COLUMNS:
            found = f"{len(columns)} columns, expected {NUM_COLUMNS}"
            raise EvaluationError(f"{where}: {found}; a label with a blank shifts them, use the bundle's labels.txt")
        if columns[0] not in class_of:
            raise EvaluationError(
                f"{where}: label {columns[0]!r} is none of the model's; use its own labels.txt (nvinfer cuts at ;)"
            )
        try:
            numbers = [float(value) for value in (*columns[BOX_COLUMNS], columns[-1])]
        except ValueError as error:
            raise EvaluationError(f"{where}: not a number: {error}") from error
        written = "".join(columns[1:])
        if not written.isascii() or "_" in written:  # 1_0 is ten to Python, which takes digits of any script too
            raise EvaluationError(f"{where}: not a number: {line!r:.120}")
        _check_numbers(numbers, where)
        rows.append((class_of[columns[0]], *numbers))
    return rows


def _check_numbers(numbers: Sequence[float], where: str) -> None:
    """Refuses a line's left, top, right, bottom and confidence where no detection can have them."""
    left, top, right, bottom, confidence = numbers
    if not all(map(math.isfinite, numbers)):
        raise EvaluationError(f"{where}: holds NaN or infinity; the engine's output is broken")
    if max(map(abs, (left, top, right, bottom))) > FARTHEST:
        raise EvaluationError(f"{where}: a corner lies {FARTHEST:,} pixels away or more; the engine's output is broken")
    if right < left or bottom < top:
        raise EvaluationError(
            f"{where}: the box {left:g} {top:g} {right:g} {bottom:g} is reversed; expected left, top, right, bottom"
        )
    if not 0 <= confidence <= 1:
        raise EvaluationError(
            f"{where}: confidence {confidence:g} is outside of 0 to 1; other cluster modes than NMS give none: "
            f"cluster-mode=2"
        )
