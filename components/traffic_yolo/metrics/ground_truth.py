"""The true boxes of a split, read from its COCO file, with one rule for crowds and ignore regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.coco_entries import CocoEntries
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.storage import AnyPath, input_path, read_json

ALL_CLASSES = -1


@dataclass(frozen=True)
class GroundTruth:
    """True boxes of M pictures, T in all, with C classes; checked when made.

    `image_ids` (M,) int64, each once. `truth_pictures` (T,) int64: index into `image_ids`, ascending. `boxes_xywh`
    (T, 4) float64 in picture pixels. `class_ids` (T,) int64. `areas` (T,) float64 in square pixels, as the file gives
    them: they decide small, medium and large. `ignore` (T,) bool: a crowd or an ignore region. It is never missed, and
    a detection that lies in it by half or more of its own area, and matches nothing else, does not count. A crowd has
    this effect on its own class; the class id of an ignore region is `ALL_CLASSES`, because who marked it did not
    say, or could not see, what is inside.

    Raises `EvaluationError` for arrays that do not fit each other.
    """

    classes: tuple[str, ...]
    image_ids: NDArray[np.int64]
    truth_pictures: NDArray[np.int64]
    boxes_xywh: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    areas: NDArray[np.float64]
    ignore: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.truth_pictures)
        shapes = {"boxes_xywh": (count, 4), "class_ids": (count,), "areas": (count,), "ignore": (count,)}
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != shape:
                raise EvaluationError(f"ground truth: {name} has shape {found}, expected {shape}")
        if len(np.unique(self.image_ids)) != len(self.image_ids):
            raise EvaluationError("ground truth: an image id occurs twice")
        if (np.diff(self.truth_pictures) < 0).any():
            raise EvaluationError("ground truth: boxes must stand picture by picture")
        if ((self.class_ids == ALL_CLASSES) & ~self.ignore).any():
            raise EvaluationError("ground truth: only an ignore region may belong to all classes")
        foreign = (self.class_ids < ALL_CLASSES) | (self.class_ids >= len(self.classes))
        if foreign.any():
            raise EvaluationError(
                f"ground truth: class id {int(self.class_ids[foreign][0])}, expected 0 to {len(self.classes) - 1}"
            )

    @property
    def num_truths(self) -> NDArray[np.int64]:
        """Boxes that count, for each class: (C,)."""
        return np.bincount(self.class_ids[~self.ignore], minlength=len(self.classes)).astype(np.int64)

    def offsets(self) -> NDArray[np.int64]:
        """(M + 1,): boxes `offsets[m]:offsets[m + 1]` belong to picture m."""
        return np.searchsorted(self.truth_pictures, np.arange(len(self.image_ids) + 1)).astype(np.int64)

    def image_order(self) -> NDArray[np.int64]:
        """(M,): the place of each picture when they stand by rising image id, as pycocotools has them."""
        places = np.empty(len(self.image_ids), np.int64)
        places[np.argsort(self.image_ids)] = np.arange(len(self.image_ids))
        return places

    def picture_mask(self, image_ids: Sequence[int]) -> NDArray[np.bool_]:
        """(M,): which pictures are among `image_ids`; `EvaluationError` for an id that the truth does not have."""
        wanted = np.array(sorted(set(image_ids)), np.int64)
        if unknown := set(wanted.tolist()) - set(self.image_ids.tolist()):
            raise EvaluationError(f"picture {min(unknown)} is not among those of the ground truth")
        return np.isin(self.image_ids, wanted)

    def picture_indices(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the picture of each id (K,); `EvaluationError` for an id that the truth does not have."""
        order = np.argsort(self.image_ids)
        place = np.searchsorted(self.image_ids, image_ids, sorter=order)
        known = place < len(order)
        known[known] = self.image_ids[order[place[known]]] == image_ids[known]
        if not known.all():
            raise EvaluationError(
                f"detections for picture {int(image_ids[~known][0])}, which the ground truth does not have; "
                f"they were made on other pictures"
            )
        return order[place].astype(np.int64)


def read_ground_truth(
    path: AnyPath, classes: Sequence[str], *, category_ids: Sequence[int] | None = None
) -> GroundTruth:
    """Reads a COCO instances file.

    `category_ids`: the file's category id of each class; by default the categories are found by name. Annotations
    with `iscrowd` are crowds, those with `ignore` (ours; COCO has no such key) ignore regions.

    Raises `StorageError` for a file that cannot be read, `DatasetError` for one that is no JSON, without a class of
    ours, with a category that is not among the classes, or an entry that is not as it should be (`CocoEntries`).
    """
    path = input_path(path, what="ground truth")
    coco = CocoEntries.of(read_json(path, what="ground truth", error=DatasetError), path)
    class_of = _class_ids(coco, classes, category_ids, path)
    class_ids = np.full(len(coco.annotations), ALL_CLASSES, np.int64)
    for category, class_id in class_of.items():
        class_ids[coco.category_ids == category] = class_id
    foreign = (class_ids == ALL_CLASSES) & ~coco.ignore
    if foreign.any():
        entry = coco.annotations[int(np.flatnonzero(foreign)[0])]
        raise DatasetError(
            f"{path}: annotation {entry['id']} has category {entry['category_id']}, which is none of the model's "
            f"classes"
        )
    class_ids[coco.ignore] = ALL_CLASSES
    areas = np.where(np.isnan(coco.areas), coco.boxes_xywh[:, 2] * coco.boxes_xywh[:, 3], coco.areas)
    order = np.argsort(coco.pictures, kind="stable")
    return GroundTruth(
        classes=tuple(classes),
        image_ids=coco.image_ids,
        truth_pictures=coco.pictures[order],
        class_ids=class_ids[order],
        ignore=(coco.ignore | coco.is_crowd)[order],
        areas=areas[order],
        boxes_xywh=coco.boxes_xywh[order],
    )


def _class_ids(
    coco: CocoEntries, classes: Sequence[str], category_ids: Sequence[int] | None, path: Path
) -> dict[int, int]:
    """Class id of each category id; categories of one name are one class."""
    if category_ids is not None:
        if len(category_ids) != len(classes):
            raise EvaluationError(f"{len(category_ids)} category ids for {len(classes)} classes")
        return {int(category): class_id for class_id, category in enumerate(category_ids)}
    names = [str(category["name"]) for category in coco.categories]
    missing = [name for name in classes if name not in names]
    if missing:
        known = ", ".join(dict.fromkeys(names))
        raise DatasetError(f"{path}: no category named {missing[0]!r}; the model's classes must be among: {known}")
    class_of = {name: class_id for class_id, name in enumerate(classes)}
    return {
        int(category["id"]): class_of[name]
        for category, name in zip(coco.categories, names, strict=True)
        if name in class_of
    }
