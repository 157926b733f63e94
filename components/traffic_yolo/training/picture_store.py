"""The labelled pictures of a split, decoded: as large as a training or validation needs them, kept where possible."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.training.augment import GREY, Augmentation, Picture, UInt8Array, finest_scale, visible_part
from traffic_yolo.training.bilinear import sample
from traffic_yolo.training.picture_cache import PictureCache

REDUCE_BELOW = 0.5  # share of the pixels: what saves less memory than half is kept as it is, and sampled once only


@dataclass(frozen=True)
class NeededSize:
    """How large a picture must be kept for training: for the closest view that augmentation takes of it.

    `largest_wh`: of the network, in pixels. `reduced_decode`: JPEGs are decoded at a reduced scale, no smaller than the
    whole picture enters the network; a closer view is then less sharp.
    """

    augmentation: Augmentation
    largest_wh: tuple[int, int]
    letterbox: bool
    reduced_decode: bool = False

    def kept_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """(width, height) to keep a picture at: its own, unless under half of its pixels will do."""
        width, height = self._wh(image_wh, self.augmentation)
        return (width, height) if width * height < REDUCE_BELOW * image_wh[0] * image_wh[1] else image_wh

    def decoded_wh(self, image_wh: tuple[int, int]) -> tuple[int, int] | None:
        """The least size to decode at; None for the whole picture."""
        return self._wh(image_wh, Augmentation()) if self.reduced_decode else None

    def _wh(self, image_wh: tuple[int, int], augmentation: Augmentation) -> tuple[int, int]:
        image_hw = image_wh[1], image_wh[0]
        scales = finest_scale(image_hw, self.largest_wh, augmentation, letterbox=self.letterbox)
        # Rounding: 551 * (416 / 551) is 416 and a little, and a 417th pixel would blur what fits exactly
        width, height = (
            math.ceil(round(side * scale, 6)) if scale < 1 else side
            for side, scale in zip(image_wh, scales, strict=True)
        )
        return width, height


class PictureStore:
    """The pictures of a split; the cache keeps as many as fit, in their order, and the last `window` of the others."""

    def __init__(
        self,
        images: Sequence[LabelledImage],
        *,
        cache: PictureCache,
        needed: NeededSize | None = None,
        window: int = 0,
    ) -> None:
        """Decodes nothing yet. Without `needed`, pictures are as they are stored.

        `window`: pictures shown last that are kept besides, if the cache cannot hold all of them, within half of its
        budget. Raises `StorageError` as `PictureCache.take` does.
        """
        self.images = images
        self.needed = needed
        sizes = [3 * math.prod(self._kept_wh(image)) for image in images]
        recent = min(window * max(sizes, default=0), cache.left // 2) if sum(sizes) > cache.left else 0
        self._arena = cache.take(sizes, least_left=recent)
        cache.left -= recent
        self._recent_bytes = recent
        self._recent: OrderedDict[int, UInt8Array] = OrderedDict()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_kept(self) -> int:
        """Pictures that are decoded once in the whole run."""
        return self._arena.num_places

    def share_among(self, processes: int) -> None:
        """Divides the memory of recent pictures, in each of so many processes, each of which has its own."""
        self._recent_bytes //= max(processes, 1)

    def pixels(self, index: int, *, shown: bool = True) -> UInt8Array:
        """(H, W, 3) uint8 RGB, not to be written to; raises `PictureError` as `read_rgb` does.

        `shown`: it is this picture's turn. One that a mosaic takes besides keeps its place in the window, or stays out
        of it: it would drive out another that is still in it, which would be read again and drive out the next.
        """
        pixels = self._arena.get(index)
        if pixels is not None:
            return pixels
        if index in self._recent:
            if shown:
                self._recent.move_to_end(index)
            return self._recent[index]
        pixels = self._read(self.images[index])
        self._arena.put(index, pixels)
        if shown and self._arena.get(index) is None:
            self._remember(index, pixels)
        return pixels

    def picture(self, index: int, *, shown: bool = True) -> Picture:
        """Pixels and boxes in their pixels, cut at their edges: a view may reach outside, where no object is.

        Crowds count as ignored, and so does what is mostly cut off. Arguments and errors are those of `pixels`.
        """
        image = self.images[index]
        pixels = self.pixels(index, shown=shown)
        height, width = pixels.shape[:2]
        boxes, cut_off = visible_part(image.boxes_xyxy.astype(np.float32), (0, 0, image.width, image.height))
        if (width, height) != (image.width, image.height):
            boxes *= np.array([width / image.width, height / image.height] * 2, np.float32)
        return Picture(pixels, boxes, image.class_ids, image.ignore | image.is_crowd | cut_off)

    def _kept_wh(self, image: LabelledImage) -> tuple[int, int]:
        size = (image.width, image.height)
        return self.needed.kept_wh(size) if self.needed else size

    def _read(self, image: LabelledImage) -> UInt8Array:
        if self.needed is None:
            return read_rgb(image)
        pixels = read_rgb(image, at_least_wh=self.needed.decoded_wh((image.width, image.height)))
        kept = self._kept_wh(image)
        if kept == (image.width, image.height):
            return pixels
        height, width = pixels.shape[:2]
        return sampled(pixels, (min(width, kept[0]), min(height, kept[1])))

    def _remember(self, index: int, pixels: UInt8Array) -> None:
        self._recent[index] = pixels
        total = sum(kept.nbytes for kept in self._recent.values())
        while self._recent and total > self._recent_bytes:
            _, oldest = self._recent.popitem(last=False)
            total -= oldest.nbytes


def sampled(image: UInt8Array, size_wh: tuple[int, int]) -> UInt8Array:
    """The picture (h, w, 3) at another size by Darknet's bilinear rule (corners on corners, as `darknet.resize`)."""
    (height, width), (new_width, new_height) = image.shape[:2], size_wh
    if (new_width, new_height) == (width, height):
        return image
    smaller = np.empty((new_height, new_width, 3), np.uint8)
    step_xy = (width - 1) / max(new_width - 1, 1), (height - 1) / max(new_height - 1, 1)
    sample(image, smaller, (0, 0, new_width, new_height), start_xy=(0.0, 0.0), step_xy=step_xy, outside=GREY)
    return smaller
