"""Blur and noise of a training picture as Darknet's detector training has them (data.c, image_opencv.cpp), in place."""

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]

BACKGROUND_KERNEL = 17  # pixels; image_opencv.cpp 1260, where blur is 1
BOX_SIDES_PER_KERNEL = 8  # data.c 1244: the kernel is an eighth of the smallest box side at most
MOST_NOISE = 127  # image_opencv.cpp 1303


def blurred(image: UInt8Array, boxes_xyxy: NDArray[np.float32], blur: int, rng: np.random.Generator) -> None:
    """Blurs (H, W, 3) in place: a third of pictures not at all, a third outside the boxes, a third wholly by `blur`.

    `boxes_xyxy` (n, 4) in pixels of the picture. Small objects survive: the kernel of a wholly blurred picture has at
    most an eighth of its smallest box side, and a picture without boxes stays sharp then. At 1, the last two thirds are
    both blurred outside the boxes.
    """
    kind = int(rng.integers(0, 3))
    size = (0, 1, blur)[kind]
    if size > 1:
        smallest = int((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).min(initial=np.inf)) if len(boxes_xyxy) else 0
        size = min(size, smallest // BOX_SIDES_PER_KERNEL)
    if size == 0:
        return
    kernel = BACKGROUND_KERNEL if size == 1 else size // 2 * 2 + 1
    soft = cv2.GaussianBlur(image, (kernel, kernel), 0)
    if size == 1:
        height, width = image.shape[:2]
        for left, top, right, bottom in np.clip(boxes_xyxy, 0, [width, height] * 2).astype(int).tolist():
            soft[top:bottom, left:right] = image[top:bottom, left:right]
    image[:] = soft


def add_noise(image: UInt8Array, deviation: int, rng: np.random.Generator) -> None:
    """Adds normal noise to half of all pictures (H, W, 3), in place.

    Darknet keeps the noise in unsigned bytes: what would darken a pixel is 0. So the noise brightens, as there.
    """
    if rng.integers(0, 2) == 0:
        return
    noise = rng.standard_normal(image.shape, np.float32)
    noise *= min(deviation, MOST_NOISE)
    cv2.add(image, np.clip(np.rint(noise), 0, 255).astype(np.uint8), dst=image)
