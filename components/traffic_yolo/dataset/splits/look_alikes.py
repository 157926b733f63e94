"""Groups of pictures that look alike, for sources that tell neither sites nor recordings."""

from collections.abc import Iterable, Mapping

import numpy as np

from traffic_yolo.dataset.pictures.look import PictureLook
from traffic_yolo.dataset.splits.leaks import MAX_DISTANCE
from traffic_yolo.dataset.splits.near_duplicates import near_components


def group_look_alikes(
    looks: Iterable[tuple[str, PictureLook | None]], *, max_distance: int = MAX_DISTANCE
) -> Mapping[str, str]:
    """Picture -> the picture that stands for its group, the first by name.

    Two pictures are in one group where a chain of look-alikes joins them, at most `max_distance` bits from one to the
    next: the frames of one camera often hang together so. A flat picture, or one that does not decode, is its own
    group.
    """
    names, hashes = [], []
    for name, look in looks:
        if look is not None and not look.is_flat:
            names.append(name)
            hashes.append(look.hash)
    labels = near_components(np.array(hashes, np.uint64), max_distance)
    first: dict[int, str] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        first[label] = min(name, first.get(label, name))
    return {name: first[label] for name, label in zip(names, labels.tolist(), strict=True)}
