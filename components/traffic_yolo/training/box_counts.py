"""How many boxes of a data set train a network of a given size, and why the others do not: once before a run."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import shorter_sides
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.errors import DatasetError
from traffic_yolo.training.augment import MIN_SIDE, boxes_in_view, visible_part, whole_view


@dataclass(frozen=True)
class BoxCounts:
    """Boxes of a split under the view of inference: whole pictures, no augmentation.

    `trained`: objects. `ignored`: by the data set, neither object nor background. `mostly_cut_off`: less than a
    quarter of them is in the picture, ignored too. Dropped: `no_area`, width or height 0; `outside` the picture;
    `below_one_pixel` of the network in width or height.
    """

    trained: int = 0
    ignored: int = 0
    mostly_cut_off: int = 0
    no_area: int = 0
    outside: int = 0
    below_one_pixel: int = 0

    @property
    def total(self) -> int:
        """All boxes of the split."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def dropped(self) -> int:
        """Boxes without any part in the training."""
        return self.no_area + self.outside + self.below_one_pixel

    def describe(self) -> str:
        """One line: every count that is not 0."""
        parts = [
            f"{count:,} {field.name.replace('_', ' ')}"
            for field in fields(self)
            if (count := getattr(self, field.name)) or field.name == "trained"
        ]
        return f"boxes: {', '.join(parts)}"


def count_boxes(
    images: Sequence[LabelledImage], *, num_classes: int, network_wh: tuple[int, int], letterbox: bool
) -> BoxCounts:
    """The boxes of a split by what becomes of them in a network of `network_wh` pixels.

    Raises `DatasetError` for a box that is not ignored and whose class is none of the `num_classes`.
    """
    counts = {field.name: 0 for field in fields(BoxCounts)}
    for image in images:
        ignored = image.ignore | image.is_crowd
        _check_classes(image, ~ignored, num_classes)
        boxes = image.boxes_xyxy.astype(np.float32)
        shown, cut_off = visible_part(boxes, (0, 0, image.width, image.height))
        view = whole_view((image.height, image.width), network_wh, letterbox=letterbox)
        on_network = boxes_in_view(shown, view, network_wh)
        left = np.ones(len(boxes), bool)
        for name, found in (
            ("ignored", ignored),
            ("no_area", shorter_sides(boxes) <= 0),
            ("outside", shorter_sides(shown) <= 0),
            ("below_one_pixel", shorter_sides(on_network) < MIN_SIDE),
            ("mostly_cut_off", cut_off),
        ):
            counts[name] += int((left & found).sum())
            left &= ~found
        counts["trained"] += int(left.sum())
    return BoxCounts(**counts)


def _check_classes(image: LabelledImage, counting: NDArray[np.bool_], num_classes: int) -> None:
    foreign = counting & ((image.class_ids < 0) | (image.class_ids >= num_classes))
    if foreign.any():
        found = int(image.class_ids[foreign][0])
        raise DatasetError(
            f"{image.path}: class id: expected 0 to {num_classes - 1} of a box that is not ignored, found {found}; "
            f"convert again with a class map that names every class"
        )
