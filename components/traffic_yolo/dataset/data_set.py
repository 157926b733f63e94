"""Reads a data set folder: the pictures of a split with their boxes as arrays.

The COCO files are the truth; the YOLO text beside them is for other programs.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.dataset.records import SPLITS
from traffic_yolo.errors import DatasetError
from traffic_yolo.messages import shown
from traffic_yolo.storage import read_json, read_yaml

MANIFEST_NAME = "manifest.json"
CLASSES_NAME = "classes.yaml"
SCHEMA_VERSION = 1
NO_CLASS = -1


@dataclass(frozen=True)
class LabelledImage:
    """One picture of a split. Boxes in picture pixels, not clipped; the four arrays have one row for each box.

    `boxes_xyxy` (n, 4) float32, `class_ids` (n,) int64 into the data set's classes, `ignore` (n,) bool and `is_crowd`
    (n,) bool: boxes that neither reward nor punish a detector. An ignored box of a class that is none of the data set's
    has `NO_CLASS` as its class id.
    """

    image_id: int
    path: Path
    file_name: str
    width: int
    height: int
    site: str
    recording: str
    boxes_xyxy: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    is_crowd: NDArray[np.bool_]


def category_id(class_id: int) -> int:
    """COCO's category id of a class: 1-based, because many readers of COCO files take 0 for the background."""
    return class_id + 1


@dataclass(frozen=True)
class DataSet:
    """A data set folder as `convert` writes it (docs/architecture.md, Artifacts)."""

    root: Path
    classes: tuple[str, ...]
    manifest: dict[str, Any]

    @classmethod
    def open(cls, root: Path | str) -> "DataSet":
        """Reads manifest and classes. Raises `DatasetError` where the folder is missing or not a data set."""
        folder = Path(root)
        if not folder.is_dir():
            raise DatasetError(f"data set not found: {folder}; give the folder that convert wrote")
        for name in (MANIFEST_NAME, CLASSES_NAME):
            if not (folder / name).is_file():
                raise DatasetError(f"{folder}: {name} is missing; is this a folder that convert wrote?")
        manifest = read_json(folder / MANIFEST_NAME, what="manifest")
        version = manifest.get("schema_version") if isinstance(manifest, dict) else None
        if version != SCHEMA_VERSION or not isinstance(manifest.get("fingerprint"), str):
            expected = f"schema version {SCHEMA_VERSION} and a fingerprint"
            raise DatasetError(
                f"{folder / MANIFEST_NAME}: expected {expected}, found version {shown(version)}; convert again"
            )
        return cls(root=folder, classes=_read_classes(folder / CLASSES_NAME), manifest=manifest)

    @property
    def fingerprint(self) -> str:
        """Hash of the content: pictures, labels, classes and split; the same wherever the folder lies."""
        return str(self.manifest["fingerprint"])

    def coco_path(self, split: str) -> Path:
        """The COCO file of one split."""
        self._check_split(split)
        return self.root / "annotations" / f"instances_{split}.json"

    def split(self, split: str) -> list[LabelledImage]:
        """The pictures of one split in the order of their ids. Raises `DatasetError` for a picture that is missing."""
        path = self.coco_path(split)
        coco = read_json(path, what=f"labels of split {split}")
        try:
            boxes_of: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in coco["images"]}
            for annotation in coco["annotations"]:
                boxes_of[annotation["image_id"]].append(annotation)
            images = [self._image(image, boxes_of[image["id"]]) for image in coco["images"]]
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__} {error}"
            raise DatasetError(f"{path}: not what convert wrote ({reason}); convert again") from error
        missing = next((image.path for image in images if not image.path.is_file()), None)
        if missing is not None:
            raise DatasetError(f"picture not found: {missing}; {path.name} names it; convert again")
        return images

    @cached_property
    def num_images(self) -> dict[str, int]:
        """Pictures of each split, from the manifest."""
        return {split: int(self.manifest["counts"][split]["images"]) for split in SPLITS}

    def _check_split(self, split: str) -> None:
        if split not in SPLITS:
            raise DatasetError(f"split {split!r}: expected one of {', '.join(SPLITS)}")

    def _image(self, image: dict[str, Any], annotations: list[dict[str, Any]]) -> LabelledImage:
        boxes_xywh = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
        class_ids = np.array([a["category_id"] - category_id(0) for a in annotations], dtype=np.int64)
        # Ignored classes have categories of their own, after those of the data set
        class_ids[class_ids >= len(self.classes)] = NO_CLASS
        return LabelledImage(
            image_id=image["id"],
            path=self.root / "images" / image["file_name"],
            file_name=image["file_name"],
            width=image["width"],
            height=image["height"],
            site=image.get("site", ""),
            recording=image.get("recording", ""),
            boxes_xyxy=xywh_to_xyxy(boxes_xywh).astype(np.float32),
            class_ids=class_ids,
            ignore=np.array([bool(a.get("ignore", 0)) for a in annotations], dtype=np.bool_),
            is_crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=np.bool_),
        )


def _read_classes(path: Path) -> tuple[str, ...]:
    described = read_yaml(path, what="classes of the data set", error=DatasetError)
    classes = described.get("classes") if isinstance(described, dict) else None
    if not isinstance(classes, list) or not classes:
        raise DatasetError(f"{path}: expected a list of class names under 'classes'")
    return tuple(map(str, classes))
