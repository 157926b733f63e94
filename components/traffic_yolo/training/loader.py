"""Batches of training pictures: read, augmented, put together ahead of the training; the same for one seed.

Every sample is a function of the seed and its place in the run alone. So a resumed run sees what the undisturbed one
would have seen, however many processes prepare the pictures, and the processes of a distributed training see slices of
the very batches that one alone would see.
"""

import contextlib
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from traffic_yolo.boxes import xyxy_to_cxcywh
from traffic_yolo.errors import DatasetError, PictureError, TrafficYoloError, TrainingError
from traffic_yolo.training.augment import Augmentation, Picture, UInt8Array, augmented
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.picture_store import PictureStore
from traffic_yolo.training.sampling import SampleOrder, rarity_weights
from traffic_yolo.training.skipped_pictures import SkippedPicture, SkippedPictures
from traffic_yolo.training.targets import Truths, join_truths

# Keys of the independent random streams of one seed; `sampling` and `network_sizes` have the others.
_SAMPLE, _SPARE = 2, 4
# The other three of a mosaic are among so many pictures that came last, so that each is decoded once an epoch, not four
# times. RTMDet (Lyu et al. 2022, 3.4, cached mosaic) keeps 40 and finds no loss of accuracy.
MOSAIC_WINDOW = 64
MOST_SPARES = 100  # pictures tried in the place of one that cannot be used
AHEAD = 2  # batches prepared while the training works on one


@dataclass(frozen=True)
class Batch:
    """`images` (B, 3, H, W) uint8 RGB in channels-last memory, and the boxes of its pictures.

    `file_names`: for each of the B samples, the pictures of the data set that went into it. `num_pictures`: of the
    whole update, all processes of a distributed training together. `skipped`: pictures met for the first time that
    could not be used; others took their places.
    """

    images: Tensor
    truths: Truths
    file_names: tuple[tuple[str, ...], ...] = ()
    num_pictures: int = 0
    skipped: tuple[SkippedPicture, ...] = ()


class Samples:
    """Sample k of a run: every picture comes once an epoch, in an order of its own each time."""

    def __init__(
        self,
        store: PictureStore,
        augmentation: Augmentation,
        *,
        sizes: NetworkSizes,
        letterbox: bool,
        seed: int,
        balanced_classes: int = 0,
    ) -> None:
        """`balanced_classes`: number of classes, to show pictures of rare ones oftener (`rarity_weights`); 0: not.

        Raises `DatasetError` for a store without pictures.
        """
        if not len(store):
            raise DatasetError("split train has no pictures; check the split of the data set")
        self.store = store
        self.augmentation = augmentation
        self.sizes = sizes
        self.letterbox = letterbox
        self.seed = seed
        weights = rarity_weights(store.images, balanced_classes) if balanced_classes else None
        self.order = SampleOrder(len(store), seed=seed, weights=weights)
        self._unusable: dict[int, SkippedPicture] = {}
        self._new: list[SkippedPicture] = []

    def sample(
        self, k: int, network_wh: tuple[int, int], canvas: UInt8Array | None = None
    ) -> tuple[Picture, tuple[str, ...]]:
        """The augmented picture number k, k = 0, 1, … without end, and the names of the files in it.

        `canvas` (H, W, 3) of the network's size: what its pixels are written into, in place.

        A picture that cannot be used is replaced by the next of a random stream of its place; `take_skipped` names it.
        Raises `TrainingError` where nothing usable is found.
        """
        rng = np.random.default_rng([self.seed, _SAMPLE, k])
        back = rng.integers(1, MOSAIC_WINDOW + 1, 3)
        places = (k, *(k - int(distance) for distance in back))
        names: dict[int, str] = {}

        def picture(number: int) -> Picture:
            index, found = self._usable(self.order.index(places[number]), k, number)
            names[number] = self.store.images[index].file_name
            return found

        made = augmented(picture, network_wh, self.augmentation, letterbox=self.letterbox, rng=rng, canvas=canvas)
        return made, tuple(names[number] for number in sorted(names))

    def batch(self, iteration: int, *, rank: int = 0, world_size: int = 1) -> Batch:
        """The pictures of update `iteration`, counted from 0; of `world_size` slices of them, the one of `rank`."""
        width, height, count = self.sizes.at(iteration)
        first = self.sizes.first_place(iteration)
        places = range(first + count * rank // world_size, first + count * (rank + 1) // world_size)
        images = np.empty((len(places), height, width, 3), np.uint8)
        made = [self.sample(k, (width, height), canvas) for k, canvas in zip(places, images, strict=True)]
        return collate(
            images,
            [picture for picture, _ in made],
            file_names=[names for _, names in made],
            num_pictures=count,
            skipped=self.take_skipped(),
        )

    def take_skipped(self) -> tuple[SkippedPicture, ...]:
        """The pictures found unusable since the last call."""
        found, self._new = tuple(self._new), []
        return found

    def _usable(self, index: int, k: int, number: int) -> tuple[int, Picture]:
        spares: np.random.Generator | None = None
        for _ in range(MOST_SPARES):
            if index not in self._unusable:
                try:
                    return index, self.store.picture(index, shown=number == 0)
                except PictureError as error:
                    name = self.store.images[index].file_name
                    self._unusable[index] = SkippedPicture(name, error.reason, str(error))
                    self._new.append(self._unusable[index])
            spares = spares or np.random.default_rng([self.seed, _SPARE, k, number])
            index = int(spares.integers(0, len(self.store)))
        reason = next(iter(self._unusable.values())).message
        raise TrainingError(f"{len(self._unusable)} training pictures cannot be used, one after another: {reason}")


def collate(
    images: UInt8Array,
    pictures: Sequence[Picture],
    *,
    file_names: Sequence[tuple[str, ...]] = (),
    num_pictures: int = 0,
    skipped: tuple[SkippedPicture, ...] = (),
) -> Batch:
    """A batch of pixels (B, H, W, 3), which it keeps, and of its pictures' boxes, which become shares of that size."""
    height, width = images.shape[1:3]
    size = np.array([width, height, width, height], np.float32)
    truths = join_truths(
        [xyxy_to_cxcywh(picture.boxes_xyxy / size) for picture in pictures],
        [picture.class_ids for picture in pictures],
        [picture.ignore for picture in pictures],
    )
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    return Batch(tensor, truths, tuple(file_names), num_pictures or len(pictures), skipped)


def batches(
    samples: Samples,
    *,
    first: int,
    last: int,
    workers: int,
    rank: int = 0,
    world_size: int = 1,
    skipped: SkippedPictures | None = None,
) -> Generator[Batch, None, None]:
    """The batches of iterations `first` to `last` - 1, counted from 0; always some are prepared ahead.

    `workers`: processes that prepare them; with 0 a thread of this one does. `rank` of `world_size`: the slice of each
    batch that is this process's. `skipped` is told of pictures that could not be used, here and in the processes that
    train with this one, and raises `TrainingError` where they are too many; without it, none may be.
    """
    if skipped is None:  # one that has met none yet is empty, and false
        skipped = SkippedPictures(len(samples.store), most=0.0)

    def made(iteration: int) -> Batch:
        return samples.batch(iteration, rank=rank, world_size=world_size)

    iterations = range(first, last)
    prepared = _in_processes(samples, made, iterations, workers) if workers else _ahead(made, iterations)
    with contextlib.closing(prepared):  # left to the garbage collector, a thread might come to wait for itself
        for batch in prepared:
            skipped.add(batch.skipped)
            yield batch


def _ahead(made: Callable[[int], Batch], iterations: range) -> Generator[Batch, None, None]:
    """The batches in order, those to come being made in a thread."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="pictures") as thread:
        try:
            for iteration in iterations:
                waiting.append(thread.submit(made, iteration))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Iterations(Dataset[Batch | TrafficYoloError]):
    """Batches by iteration, as the worker processes of PyTorch's loader ask for them."""

    def __init__(self, made: Callable[[int], Batch]) -> None:
        self._made = made

    def __getitem__(self, iteration: int) -> Batch | TrafficYoloError:
        try:
            return self._made(iteration)
        except TrafficYoloError as error:
            return error  # PyTorch would wrap it in its own traceback, as text


def _in_processes(
    samples: Samples, made: Callable[[int], Batch], iterations: range, workers: int
) -> Generator[Batch, None, None]:
    def start(_worker: int) -> None:
        samples.store.share_among(workers)

    with _forking():
        loader = DataLoader(
            _Iterations(made),
            batch_size=None,
            sampler=iterations,
            num_workers=workers,
            collate_fn=_as_it_is,  # type: ignore[arg-type]
            prefetch_factor=AHEAD,
            worker_init_fn=start,
            multiprocessing_context="fork",  # the cache and the samples are handed down, not copied
            generator=torch.Generator(),  # PyTorch's own would move on, and with it the dropout masks of the training
        )
        prepared = iter(loader)
    for _ in iterations:
        try:
            batch = next(prepared)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(
                f"a process that prepares pictures ended: {reason}; with too little memory (or too small a /dev/shm), "
                f"take fewer workers or a smaller cache_mib"
            ) from error
        if isinstance(batch, TrafficYoloError):
            raise batch
        yield batch


@contextlib.contextmanager
def _forking() -> Iterator[None]:
    """Around the start of processes: without OpenCV's threads, and without PyTorch's warning of many processes.

    The processes are the threads. OpenCV's own do not survive a fork, and a child that sets their number waits for them
    for ever: so they end before it, and come back in this process. More processes than processors are the caller's
    choice; PyTorch warns of them when the loader is made, and again when it begins.
    """
    kept = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            yield
    finally:
        cv2.setNumThreads(kept)


def _as_it_is(batch: Batch | TrafficYoloError) -> Batch | TrafficYoloError:
    return batch
