"""The training pictures on which a pruning measures something."""

import numpy as np

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import Picture
from traffic_yolo.errors import DatasetError


def drawn_pictures(data: DataSet, count: int, *, seed: int, purpose: str, instead: str) -> list[Picture]:
    """Up to `count` pictures of the split train, drawn by `seed`.

    Raises `DatasetError` for a split without pictures: none "to `purpose`; `instead`".
    """
    found = data.split("train")
    if not found:
        raise DatasetError(f"{data.root}: no pictures in the split train to {purpose}; {instead}")
    return [found[place] for place in np.random.default_rng(seed).permutation(len(found))[:count].tolist()]
