"""Pictures with boxes for tests of the training's data: written as files, or a label alone."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage

Box = tuple[float, float, float, float]


def labelled(
    path: Path,
    image_wh: tuple[int, int],
    boxes_xyxy: Sequence[Box] = (),
    *,
    class_ids: Sequence[int] | None = None,
    ignore: Sequence[int] = (),
    crowd: Sequence[int] = (),
) -> LabelledImage:
    """The label of a picture, which need not be there; class 0 by default. `ignore`, `crowd`: rows of boxes."""
    count = len(boxes_xyxy)
    flags = {"ignore": np.zeros(count, np.bool_), "is_crowd": np.zeros(count, np.bool_)}
    flags["ignore"][list(ignore)] = True
    flags["is_crowd"][list(crowd)] = True
    return LabelledImage(
        image_id=0,
        path=path,
        file_name=path.name,
        width=image_wh[0],
        height=image_wh[1],
        site="",
        recording="",
        boxes_xyxy=np.array(boxes_xyxy, np.float32).reshape(-1, 4),
        class_ids=np.zeros(count, np.int64) if class_ids is None else np.array(class_ids, np.int64),
        **flags,
    )


def smooth_pixels(image_wh: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """(h, w, 3): blobs a sixteenth of the picture wide, which keep their look when they are resized."""
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, image_wh, interpolation=cv2.INTER_CUBIC), np.uint8)


def write_pictures(
    folder: Path, count: int, image_wh: tuple[int, int], *, suffix: str = ".png", boxes_xyxy: Sequence[Box] = ()
) -> list[LabelledImage]:
    """`count` files `0.png`, `1.png`, … of `smooth_pixels`, each with these boxes."""
    images = []
    for number in range(count):
        path = folder / f"{number}{suffix}"
        assert cv2.imwrite(str(path), smooth_pixels(image_wh, number)[..., ::-1])
        images.append(labelled(path, image_wh, boxes_xyxy))
    return images
