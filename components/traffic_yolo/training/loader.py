"""Batches of training pictures from a data set: read, kept when they fit in memory, augmented; the same for one seed.

Every sample is a function of the seed and its place in the run alone. So a resumed run sees what the undisturbed one
would have seen, however many processes prepare the pictures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from traffic_yolo.boxes import xyxy_to_cxcywh
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.dataset.picture_decode import decode_picture
from traffic_yolo.errors import DatasetError
from traffic_yolo.training.augment import Augmentation, Picture, UInt8Array, augmented
from traffic_yolo.training.targets import Truths, join_truths

# Keys of the independent random streams of one seed.
_ORDER, _SAMPLE = 1, 2


@dataclass(frozen=True)
class Batch:
    """`images` (B, 3, H, W) uint8 RGB in channels-last memory, and the boxes of its pictures."""

    images: Tensor
    truths: Truths


class PictureStore:
    """The labelled pictures of a split, decoded on each use, or once when all of them fit into `cache_mib`."""

    def __init__(self, images: Sequence[LabelledImage], *, cache_mib: int) -> None:
        """Decodes nothing yet."""
        self.images = images
        needed = sum(image.width * image.height * 3 for image in images)
        self._cache: dict[int, UInt8Array] | None = {} if needed <= cache_mib << 20 else None

    def __len__(self) -> int:
        return len(self.images)

    def read_all(self) -> None:
        """Fills the cache where there is one, so that processes forked afterwards share it."""
        if self._cache is not None:
            for index in range(len(self)):
                self.pixels(index)

    def pixels(self, index: int) -> UInt8Array:
        """(H, W, 3) uint8 RGB, not to be written to; raises `DatasetError` for a file that is no picture."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        pixels = read_picture(self.images[index])
        if self._cache is not None:
            self._cache[index] = pixels
        return pixels

    def picture(self, index: int) -> Picture:
        """Pixels and boxes; crowds count as ignored."""
        image = self.images[index]
        ignore = image.ignore | image.is_crowd
        return Picture(self.pixels(index), image.boxes_xyxy.astype(np.float32), image.class_ids, ignore)


def read_picture(image: LabelledImage) -> UInt8Array:
    """(H, W, 3) uint8 RGB; raises `DatasetError` for a file that is no picture, has another size than its labels, or
    more pixels than the limit `picture_pixels`.
    """
    try:
        data = image.path.read_bytes()
    except OSError as error:
        raise DatasetError(f"picture cannot be read: {image.path}: {error.strerror}") from error
    pixels = decode_picture(data, what=str(image.path))
    if pixels is None:
        raise DatasetError(f"picture does not decode: {image.path}; remove it from the data set, or convert again")
    if pixels.shape[:2] != (image.height, image.width):
        expected = f"expected {image.width} x {image.height} as in the labels"
        raise DatasetError(f"{image.path}: {expected}, found {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


class Samples(Dataset[Picture]):
    """Sample k of a run: every picture comes once an epoch, in an order of its own each time."""

    def __init__(
        self,
        store: PictureStore,
        augmentation: Augmentation,
        *,
        network_wh: tuple[int, int],
        letterbox: bool,
        seed: int,
    ) -> None:
        """Raises `DatasetError` for a store without pictures."""
        if not len(store):
            raise DatasetError("split train has no pictures; check the split of the data set")
        self.store = store
        self.augmentation = augmentation
        self.network_wh = network_wh
        self.letterbox = letterbox
        self.seed = seed
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def __getitem__(self, k: int) -> Picture:
        """The augmented picture number k, k = 0, 1, … without end."""
        rng = np.random.default_rng([self.seed, _SAMPLE, k])
        others = rng.integers(0, len(self.store), 3)
        indices = (self._index(k), *(int(other) for other in others))
        return augmented(
            lambda number: self.store.picture(indices[number]),
            self.network_wh,
            self.augmentation,
            letterbox=self.letterbox,
            rng=rng,
        )

    def _index(self, k: int) -> int:
        epoch, position = divmod(k, len(self.store))
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.store))
            self._epoch = epoch
        return int(self._order[position])


def collate(pictures: Sequence[Picture]) -> Batch:
    """Pictures of one size -> a batch, boxes in shares of that size."""
    images = np.stack([picture.image for picture in pictures])  # (B, H, W, 3)
    height, width = images.shape[1:3]
    size = np.array([width, height, width, height], np.float32)
    truths = join_truths(
        [xyxy_to_cxcywh(picture.boxes_xyxy / size) for picture in pictures],
        [picture.class_ids for picture in pictures],
        [picture.ignore for picture in pictures],
    )
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), truths)


def batches(samples: Samples, *, batch: int, first: int, last: int, workers: int) -> Iterator[Batch]:
    """The batches of iterations `first` to `last` - 1, counted from 0."""
    places = range(first * batch, last * batch)
    if workers == 0:
        for start in range(0, len(places), batch):
            yield collate([samples[k] for k in places[start : start + batch]])
        return
    samples.store.read_all()
    yield from DataLoader(
        samples, batch_size=batch, sampler=places, num_workers=workers, collate_fn=collate, prefetch_factor=4
    )
