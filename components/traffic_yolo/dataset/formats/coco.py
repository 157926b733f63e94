"""COCO instances files: read into labels by picture, written frame by frame. Boxes stay floats."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.problems import Problem, ProblemSink, strict
from traffic_yolo.dataset.records import SPLIT_WORD, Annotation, Frame, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.storage import read_json

IGNORED = "ignored"
# Where a COCO data set keeps its label files, the surest place first: other JSON files often lie beside them
COCO_FILES = ("annotations/instances*.json", "instances*.json", "annotations/*.json", "*.json")


def coco_files(path: Path) -> list[Path]:
    """The label files of a COCO data set: `path` itself, or those in the folder; empty where there is none."""
    if path.is_file():
        return [path]
    return next((found for pattern in COCO_FILES if (found := sorted(path.glob(pattern)))), [])


class CocoReader:
    """A JSON file, or a folder with JSON files in it or in `annotations/`; see `base.LabelReader`.

    Several files are splits where their names say so (`instances_val.json`). Raises `StorageError` where there is no
    file or it is no JSON, `LabelError` for one that is no instances file, or files of different categories.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        files = coco_files(path)
        if not files:
            raise StorageError(f"no COCO file (*.json) in {path} or its annotations folder")
        root = path.parent if path.is_file() else path
        self.root = root.parent if root.name == "annotations" else root
        self._files = [_CocoFile(file) for file in files]
        first = self._files[0]
        for other in self._files[1:]:
            if other.counted_classes != first.counted_classes:
                expected, found = (", ".join(some.counted_classes) for some in (first, other))
                where = f"{other.path}: expected the categories of {first.path.name}"
                raise LabelError(f"{where}: {expected}; found {found}")
        self.classes = tuple(dict.fromkeys(name for file in self._files for name in file.classes))
        self.default_classes = frozenset(first.counted_classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """Every picture of every file, in the files' order."""
        for file in self._files:
            yield from file.pictures(on_problem, keep_split=len(self._files) > 1)

    def notes(self) -> list[str]:
        """Boxes without area, and outlines that became boxes."""
        return [note for file in self._files for note in file.notes()]


class _CocoFile:
    """One instances file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left_out: Counter[str] = Counter()
        content = read_json(path, what="COCO file")
        for key in ("images", "annotations", "categories"):
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise LabelError(f"{path}: not a COCO instances file; expected a list under {key!r}")
        self._images = content["images"]
        with _understood(path):
            ordered = sorted(content["categories"], key=lambda c: int(c["id"]))
            self._names = {c["id"]: str(c["name"]) for c in ordered}
            self._by_image: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in self._images}
            if len(self._by_image) != len(self._images) or len(self._names) != len(ordered):
                raise LabelError(f"{path}: an image or category id occurs twice")
            for entry in content["annotations"]:
                where = f"{path}: annotation {entry.get('id')}"
                if entry["image_id"] not in self._by_image:
                    raise LabelError(f"{where}: no image {entry['image_id']} in the file; remove it or add the image")
                if entry["category_id"] not in self._names:
                    raise LabelError(f"{where}: no category {entry['category_id']}; known: {sorted(self._names)}")
                self._by_image[entry["image_id"]].append(entry)
            ignored = {str(c["name"]) for c in ordered if c.get("supercategory") == IGNORED}
        self.classes = tuple(self._names.values())
        self.counted_classes = tuple(name for name in self.classes if name not in ignored)

    def pictures(self, on_problem: ProblemSink, *, keep_split: bool) -> Iterator[PictureLabels]:
        self._left_out.clear()
        word = SPLIT_WORD.search(self.path.stem.lower())
        for image in self._images:
            try:
                yield self._picture(image, word[1] if word and keep_split else "")
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))

    def notes(self) -> list[str]:
        return [f"{self.path.name}: {count} {what}" for what, count in self._left_out.items() if count]

    def _picture(self, image: Mapping[str, Any], split: str) -> PictureLabels:
        with _understood(self.path):
            if not isinstance(image["file_name"], str) or int(image["width"]) <= 0 or int(image["height"]) <= 0:
                raise ValueError(f"image {image['id']}: expected file_name, width and height")
            annotations = tuple(a for entry in self._by_image[image["id"]] if (a := self._annotation(entry)))
            return PictureLabels(
                name=image["file_name"],
                annotations=annotations,
                where=f"{self.path}: image {image['id']} ({image['file_name']})",
                image_wh=(int(image["width"]), int(image["height"])),
                recording=str(image.get("recording") or ""),
                scan=str(image.get("scan", "")),
                site=str(image.get("site") or ""),
                camera=str(image.get("camera") or ""),
                day=str(image.get("day") or ""),
                own_split=split,
                attributes=dict(image.get("attributes") or {}),
            )

    def _annotation(self, entry: Mapping[str, Any]) -> Annotation | None:
        where = f"{self.path}: annotation {entry.get('id')}"
        box = _box(entry["bbox"], where)
        if box[2] <= 0 or box[3] <= 0:
            self._left_out["boxes without area left out"] += 1
            return None
        self._left_out["outlines left out, boxes kept"] += bool(entry.get("segmentation"))
        return _annotation(entry, box, self._names, where)


@contextlib.contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Turns what a malformed entry raises into `LabelError`."""
    try:
        yield
    except LabelError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LabelError(f"{path}: not a COCO instances file: {type(error).__name__} {error}") from error


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where}: bbox must be four numbers x, y, width, height; found {value!r}") from error
    if not all(map(math.isfinite, (x, y, width, height))):
        raise LabelError(f"{where}: bbox must be finite; found {value!r}")
    return x, y, width, height


def _annotation(
    entry: Mapping[str, Any], box: tuple[float, float, float, float], names: Mapping[int, str], where: str
) -> Annotation:
    confidence, area = entry.get("confidence"), entry.get("area")
    # An area that is the box's own says nothing new (files round it to two to four places)
    own_area = area is not None and abs(float(area) - box[2] * box[3]) > 1e-3 * box[2] * box[3] + 1e-2
    try:
        return Annotation(
            class_name=names[entry["category_id"]],
            xywh=box,
            label_source=str(entry.get("label_source", "human")),
            confidence=None if confidence is None else float(confidence),
            is_crowd=bool(entry.get("iscrowd", 0)),
            ignore=bool(entry.get("ignore", 0)),
            area=float(area) if area is not None and own_area else None,
            number=int(entry["id"]),
            attributes=dict(entry.get("attributes") or {}),
        )
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def coco_categories(classes: Sequence[str], ignored: Sequence[str]) -> list[dict[str, Any]]:
    """The `categories` of a file: `classes` by their class ids, then `ignored`.

    Those occur only in ignored boxes; their supercategory `IGNORED` keeps readers from taking them for classes of ours.
    """
    return [
        {"id": category_id(index), "name": name} | ({"supercategory": IGNORED} if index >= len(classes) else {})
        for index, name in enumerate([*classes, *ignored])
    ]


def coco_image(image_id: int, frame: Frame) -> dict[str, Any]:
    """The entry of a frame in `images`."""
    return {
        "id": image_id,
        "file_name": frame.file_name,
        "width": frame.width,
        "height": frame.height,
        "recording": frame.recording,
        "scan": frame.scan,
        "site": frame.site,
        "camera": frame.camera,
        "day": frame.day,
        "attributes": frame.attributes,
    }


def coco_annotation(annotation_id: int, image_id: int, category: int, annotation: Annotation) -> dict[str, Any]:
    """The entry of a box in `annotations`. Box and area are rounded to 1/10,000 pixel."""
    area = annotation.xywh[2] * annotation.xywh[3] if annotation.area is None else annotation.area
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category,
        "bbox": [round(value, 4) for value in annotation.xywh],
        "area": round(area, 4),
        "iscrowd": int(annotation.is_crowd),
        "ignore": int(annotation.ignore),
        "label_source": annotation.label_source,
        "confidence": annotation.confidence,
        "attributes": annotation.attributes,
    }
