"""A loop over mosaics as PyTorch ports of YOLO usually have it: plain OpenCV and NumPy, whole pictures, float colours.

For each sample four pictures are drawn at random, read whole with `cv2.imread`, cropped by jitter, resized and pasted;
colours change in HSV in float32; the sample is mirrored and becomes a float32 tensor (3, H, W). Caching, where it has
any, keeps pictures as `cv2.imread` gave them.
"""

import os
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.training.augment import GREY, MOSAIC_CUT, Augmentation

Samples = tuple[torch.Tensor, torch.Tensor]


class PeerLoader:
    """The next batch at each call: `batch` pictures (B, 3, size, size) in [0, 1], boxes (n, 6) with their picture."""

    def __init__(
        self,
        pictures: list[LabelledImage],
        augmentation: Augmentation,
        size: int,
        batch: int,
        *,
        cached: bool = False,
    ) -> None:
        """Reads nothing yet."""
        self.pictures, self.augmentation, self.size, self.batch = pictures, augmentation, size, batch
        self.kept: dict[int, NDArray[Any]] | None = {} if cached else None
        self.rng = np.random.default_rng(0)

    def filled(self) -> "PeerLoader":
        """Itself with every picture in the cache."""
        for index in range(len(self.pictures)):
            self.read(index)
        return self

    def __call__(self) -> Samples:
        images, targets = [], []
        for number in range(self.batch):
            image, labels = self.mosaic()
            images.append(image)
            targets.append(torch.cat([torch.full((len(labels), 1), float(number)), labels], dim=1))
        return torch.stack(images), torch.cat(targets)

    def read(self, index: int) -> NDArray[Any]:
        """The picture (H, W, 3), BGR."""
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        image = cv2.imread(os.fspath(self.pictures[index].path))
        assert image is not None
        if self.kept is not None:
            self.kept[index] = image
        return image

    def mosaic(self) -> Samples:
        """One sample and its labels (n, 5): class, then centre and size in shares of it."""
        size, rng = self.size, self.rng
        cut_x, cut_y = (int(size * rng.uniform(*MOSAIC_CUT)) for _ in range(2))
        canvas = np.full((size, size, 3), GREY, np.uint8)
        corners = [(0, 0, cut_x, cut_y), (cut_x, 0, size, cut_y), (0, cut_y, cut_x, size), (cut_x, cut_y, size, size)]
        labels = []
        for left, top, right, bottom in corners:
            index = int(rng.integers(len(self.pictures)))
            image, boxes = self.cropped(self.read(index), self.pictures[index].boxes_xyxy)
            scale_x, scale_y = (right - left) / image.shape[1], (bottom - top) / image.shape[0]
            canvas[top:bottom, left:right] = cv2.resize(image, (right - left, bottom - top))
            boxes = boxes * [scale_x, scale_y, scale_x, scale_y] + [left, top, left, top]
            boxes[:, 0::2] = boxes[:, 0::2].clip(left, right)
            boxes[:, 1::2] = boxes[:, 1::2].clip(top, bottom)
            seen = ((boxes[:, 2:] - boxes[:, :2]) > 1).all(axis=1)
            labels.append(np.column_stack([self.pictures[index].class_ids, boxes])[seen])
        found = np.concatenate(labels)
        image = self.coloured(canvas)
        if rng.random() < self.augmentation.flip:
            image = np.fliplr(image)
            found[:, [1, 3]] = size - found[:, [3, 1]]
        image = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))  # BGR (H, W, 3) -> RGB (3, H, W)
        sides = found[:, 3:] - found[:, 1:3]
        found = np.column_stack([found[:, 0], (found[:, 1:3] + sides / 2) / size, sides / size])
        return torch.from_numpy(image).float() / 255, torch.from_numpy(found).float()

    def cropped(self, image: NDArray[Any], boxes_xyxy: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The picture with up to `jitter` cut from each side, or grey added, and its boxes."""
        height, width = image.shape[:2]
        jitter = self.augmentation.jitter
        left, right = (int(width * share) for share in self.rng.uniform(-jitter, jitter, 2))
        top, bottom = (int(height * share) for share in self.rng.uniform(-jitter, jitter, 2))
        crop = image[max(top, 0) : height - max(bottom, 0), max(left, 0) : width - max(right, 0)]
        margins = (max(-top, 0), max(-bottom, 0), max(-left, 0), max(-right, 0))
        if any(margins):
            crop = cv2.copyMakeBorder(crop, *margins, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY))
        return crop, boxes_xyxy - np.float32([left, top, left, top])

    def coloured(self, image: NDArray[Any]) -> NDArray[Any]:
        """Hue turned, saturation and brightness multiplied, in float32 HSV."""
        chosen = self.augmentation
        hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0] + 360 * self.rng.uniform(-chosen.hue, chosen.hue)) % 360
        hsv[:, :, 1] = np.clip(hsv[:, :, 1] * self.factor(chosen.saturation), 0, 1)
        hsv[:, :, 2] = np.clip(hsv[:, :, 2] * self.factor(chosen.exposure), 0, 1)
        return np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255, 0, 255).astype(np.uint8)

    def factor(self, largest: float) -> float:
        """Between 1 and `largest`, or one over that."""
        scale = self.rng.uniform(1, largest)
        return scale if self.rng.random() < 0.5 else 1 / scale
