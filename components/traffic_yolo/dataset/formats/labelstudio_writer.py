"""Writes tasks for Label Studio, so that labels can be corrected by hand there and read back.

A project is made with the labels of `label_config.xml`; the tasks are imported with their pictures as local files,
whose document root is the folder that was written.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from traffic_yolo.dataset.formats.coco_writer import Spill
from traffic_yolo.dataset.formats.fields import IGNORE, IS_CROWD, LABEL_SOURCE
from traffic_yolo.dataset.formats.labelstudio import MACHINE, read_region
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.records import Annotation, Frame

TASKS_NAME, CONFIG_NAME = "labelstudio.json", "label_config.xml"
CONTROL, PICTURE = "label", "image"  # names of the labels' control and of the picture it draws on


def rectangle_result(
    identifier: str, class_name: str, xywh: Sequence[float], image_wh: tuple[int, int], *, score: float | None = None
) -> dict[str, Any]:
    """A rectangle (left, top, width, height in pixels) as a result of a task; `score` where a model drew it."""
    (x, y, w, h), (width, height) = xywh, image_wh
    result: dict[str, Any] = {
        "id": identifier,
        "type": "rectanglelabels",
        "from_name": CONTROL,
        "to_name": PICTURE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {  # in hundredths of the picture
            "x": x / width * 100,
            "y": y / height * 100,
            "width": w / width * 100,
            "height": h / height * 100,
            "rotation": 0,
            "rectanglelabels": [class_name],
        },
    }
    return result if score is None else result | {"score": score}


def picture_data(path: str) -> dict[str, str]:
    """The `data` of a task whose picture lies at a path below the document root."""
    return {PICTURE: f"/data/local-files/?d={quote(path)}"}


def prediction_of(results: Sequence[Mapping[str, Any]], model: str) -> dict[str, Any]:
    """A prediction of a model, whose score is the mean of its results'."""
    scores = [result["score"] for result in results if "score" in result]
    return {"model_version": model, "score": sum(scores) / len(scores) if scores else 0.0, "result": list(results)}


def label_config(classes: Sequence[str]) -> str:
    """The labelling interface of a project: a picture, and a rectangle for each class."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in classes)
    return (
        f'<View>\n  <Image name="{PICTURE}" value="${PICTURE}"/>\n'
        f'  <RectangleLabels name="{CONTROL}" toName="{PICTURE}">\n{labels}  </RectangleLabels>\n</View>\n'
    )


class LabelStudioWriter:
    """Writes `labelstudio.json` and `label_config.xml` into a folder; see `base.LabelWriter`.

    Boxes of which a human drew one at least are a task's annotation, all others a prediction; a picture that nobody has
    looked at and no device saw anything in is a task without either. What Label Studio has no
    place for (ignore, iscrowd, who drew it, attributes) is meta data of the region, which it keeps.
    """

    picture_folder = "images"
    says_frames = False

    def __init__(self, folder: Path, classes: Sequence[str], tasks: Spill) -> None:
        self._folder, self._classes, self._tasks = folder, tuple(classes), tasks

    def add(self, frame: Frame) -> list[Annotation | None]:
        """One task."""
        image_wh = frame.width, frame.height
        by_machine = bool(frame.annotations) and all(a.label_source != "human" for a in frame.annotations)
        results = [
            _result(annotation, f"{self._tasks.count + 1}-{index}", image_wh, by_machine=by_machine)
            for index, annotation in enumerate(frame.annotations, start=1)
        ]
        task: dict[str, Any] = {"data": picture_data(f"{self.picture_folder}/{frame.file_name}")}
        if by_machine:
            sources = sorted({annotation.label_source for annotation in frame.annotations})
            task["predictions"] = [prediction_of(results, "+".join(sources))]
        elif results or frame.labelled:  # else nobody has said that there is nothing
            task["annotations"] = [{"result": results}]
        self._tasks.add(task)
        return [
            read_region([result], frame.file_name, image_wh, LeftOut(), is_human=not by_machine) for result in results
        ]

    def complete(self) -> None:
        """See `write_project`."""
        write_project(self._folder, self._tasks, self._classes)


def write_project(folder: Path, tasks: Spill, classes: Sequence[str]) -> None:
    """Puts the file of all tasks together, and writes the labels of the project."""
    with (folder / TASKS_NAME).open("wb") as file:
        file.write(b"[\n")
        tasks.copy_to(file)
        file.write(b"\n]\n")
    (folder / CONFIG_NAME).write_text(label_config(classes), encoding="utf-8", newline="\n")


def _result(annotation: Annotation, identifier: str, image_wh: tuple[int, int], *, by_machine: bool) -> dict[str, Any]:
    meta = dict(annotation.attributes)
    if annotation.label_source not in ("human", "model"):
        meta[LABEL_SOURCE] = annotation.label_source
    meta |= {IGNORE: True} if annotation.ignore else {}
    meta |= {IS_CROWD: True} if annotation.is_crowd else {}
    result = rectangle_result(identifier, annotation.class_name, annotation.xywh, image_wh, score=annotation.confidence)
    if annotation.label_source != "human" and not by_machine:
        result["origin"] = MACHINE
    return result | ({"meta": meta} if meta else {})
