"""The boxes that Darknet's own program finds: runs `detector valid` and reads what it leaves."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.detection.detect import Picture
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import json_value

VARIABLE = "TRAFFIC_YOLO_DARKNET"
VALID_IOU = 0.6  # detector.c validate_detector: `float nms = .6`; its threshold is 0.001
RESULTS_NAME = "coco_results.json"
SHOWN_LINES = 3  # of what a program that failed has printed

# detector.c coco_ids: what `detector valid` calls its classes, whatever they are; it has no more
_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(number for number in range(1, 91) if number not in _GAPS)


def darknet_program() -> Path | None:
    """The program that `TRAFFIC_YOLO_DARKNET` names, None where it is not set.

    Raises `OptionsError` where it names none that can be run.
    """
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None
    path = Path(named).resolve()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise OptionsError(
            f"{VARIABLE}={named} is no program that can be run; expected AlexeyAB's darknet, built for the CPU with "
            f"AVX=0 (AVX=1 drops neighbours in stride-1 max-pools), or no such variable"
        )
    return path


def darknet_detections(program: Path, model: ModelFolder, pictures: Sequence[Picture]) -> Detections:
    """What `darknet detector valid` reports of the pictures: scores from 0.001, the cfg's NMS at 0.6, cut at edges.

    Picture by picture, by falling score. Raises `EvaluationError` for more than 80 classes (the program knows no more),
    and with the end of what it printed where it fails.
    """
    if len(model.classes) > len(COCO_IDS):
        raise EvaluationError(
            f"{program}: detector valid numbers {len(COCO_IDS)} classes at most, the model has {len(model.classes)}; "
            f"unset {VARIABLE}"
        )
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "pictures").mkdir()
        (work / "results").mkdir()
        links = [work / "pictures" / f"{number}.jpg" for number in range(len(pictures))]
        for link, picture in zip(links, pictures, strict=True):
            link.symlink_to(picture.path.resolve())
        lists: dict[str, list[Any]] = {
            "valid.txt": links,
            "classes.names": [f"class{index}" for index in range(len(model.classes))],
        }
        for file, lines in lists.items():
            (work / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (work / "valid.data").write_text(
            f"classes = {len(model.classes)}\nvalid = {work / 'valid.txt'}\nnames = {work / 'classes.names'}\n"
            f"results = {work / 'results'}\neval = coco\n",
            encoding="utf-8",
        )
        files = [str(path) for path in (work / "valid.data", model.cfg_path.resolve(), model.weights_path.resolve())]
        done = subprocess.run(
            [str(program), "detector", "valid", *files],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        results = work / "results" / RESULTS_NAME
        if done.returncode or not results.is_file():
            last = " | ".join(done.stdout.strip().split("\n")[-SHOWN_LINES:])
            raise EvaluationError(f"{program} ended with exit code {done.returncode} and without boxes: {last:.300}")
        text = results.read_text(encoding="utf-8")
    return read_valid_results(text, [picture.image_id for picture in pictures], where=f"{program}: {RESULTS_NAME}")


def read_valid_results(text: str, image_ids: Sequence[int], *, where: str) -> Detections:
    """The detections in what `detector valid` wrote; its picture n (the file's name) is `image_ids[n]`.

    Raises `EvaluationError` naming `where` for anything else.
    """
    if not text.strip("[] \n"):
        return Detections.none()  # the program leaves "\n]\n" where it finds nothing
    content: Any = _json(text, where)
    class_of = {number: class_id for class_id, number in enumerate(COCO_IDS)}
    try:
        rows = [
            (int(each["image_id"]), *map(float, each["bbox"]), float(each["score"]), class_of[each["category_id"]])
            for each in content
        ]
        table = np.array(rows, np.float64).reshape(-1, 7)  # picture, left, top, width, height, score, class
        if (table[:, 0] < 0).any():
            raise IndexError("a picture below 0")
        pictures = np.array(image_ids, np.int64)[table[:, 0].astype(np.int64)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EvaluationError(f"{where}: not the results of detector valid: {error!r}") from error
    order = np.lexsort((-table[:, 5], table[:, 0]))
    boxes = table[:, 1:5].copy()
    boxes[:, 2:] += boxes[:, :2]
    return Detections(
        pictures[order],
        boxes[order].astype(np.float32),
        table[order, 5].astype(np.float32),
        table[order, 6].astype(np.int64),
    )


def _json(text: str, where: str) -> Any:
    try:
        return json_value(text.encode())
    except ValueError as error:
        raise EvaluationError(f"{where}: not JSON: {error}") from error
