"""Training's loader beside a loop as PyTorch ports of YOLO have it: mosaics of 416 x 416, one process, one thread.

Both end with a batch of float32 tensors in [0, 1] and their boxes. Pictures: the reference's traffic cameras as they are
(960 x 540), and four of them as one of 1920 x 1080. Without the reference folder there are no rows.

Uncached: the data set is far larger than the cache, so that each picture of an epoch is decoded anew; ours keeps those
that came last for the mosaics to come. Cached: both have decoded every picture before.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from harness import Row, Work, interleaved
from peer_loader import PeerLoader
from training_data import BATCH, REFERENCE, reference_cfg

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.dataset.pictures.decode import decode_rgb
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.augmentation_settings import augmentation_of
from traffic_yolo.training.loader import MOSAIC_WINDOW, Samples
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import NeededSize, PictureStore

TOPIC = "loader"
CFG = "cfg/yolov4.cfg"  # jitter .3, hue .1, saturation and exposure 1.5, mosaic
MINI_BATCH = 8  # pictures of a batch that a training of this cfg runs at once: 64 / 8
SIZE = 416
EPOCH = 10_000  # pictures of the data set that no cache holds: names for the same files again and again
CACHE_MIB = 1024  # the option's default
QUALITY = 90  # of the JPEGs of four pictures
REPEATS = 9


def rows() -> Iterator[Row]:
    """Samples a second, both sizes, uncached, cached and with decoding at a reduced scale."""
    cfg = reference_cfg(CFG, size_wh=(SIZE, SIZE))
    if cfg is None:
        return
    augmentation = augmentation_of(TrainingOptions(mosaic=1.0), cfg)
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-loader-") as folder:
            small = traffic_pictures()
            for pictures in (small, fours(small, Path(folder))):
                yield from _rows(pictures, augmentation)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def _rows(pictures: list[LabelledImage], augmentation: Augmentation) -> Iterator[Row]:
    name = f"{pictures[0].width} x {pictures[0].height}"
    many = [pictures[number % len(pictures)] for number in range(EPOCH)]
    rivals: dict[str, Work] = {
        "ours": Ours(many, augmentation).in_the_middle(),
        "reduced": Ours(many, augmentation, reduced_decode=True).in_the_middle(),
        "peer": PeerLoader(many, augmentation, SIZE, BATCH),
        "ours cached": Ours(pictures, augmentation).filled(),
        "peer cached": PeerLoader(pictures, augmentation, SIZE, BATCH, cached=True).filled(),
        "decode": Decoding(pictures),
    }
    timings = interleaved(rivals, repeats=REPEATS, clock=time.process_time)
    found = {name: timing.median_s for name, timing in timings.items()}
    sample_ms = {name: 1e3 * seconds / BATCH for name, seconds in found.items()}
    for what, ours, peer, target in (
        ("uncached", "ours", "peer", "at least 3"),
        ("cached", "ours cached", "peer cached", "at least 3.25"),
        ("uncached, reduced decoding", "reduced", "peer", "at least 3"),
    ):
        yield Row(
            TOPIC, f"{name}: a mosaic, {what}", sample_ms[ours], "ms", f"plain loop {sample_ms[peer]:.2f} ms",
            found[peer] / found[ours], target,
        )  # fmt: skip
    yield Row(
        TOPIC, f"{name}: decoding one picture", sample_ms["decode"], "ms", f"all of ours {sample_ms['ours']:.2f} ms",
        found["decode"] / found["ours"],
    )  # fmt: skip


class Ours:
    """The next batch of our loader at each call, made into float32 as the training does it, slice by slice."""

    def __init__(
        self, pictures: list[LabelledImage], augmentation: Augmentation, *, reduced_decode: bool = False
    ) -> None:
        """Decodes nothing yet."""
        store = PictureStore(
            pictures,
            cache=PictureCache(CACHE_MIB),
            needed=NeededSize(augmentation, (SIZE, SIZE), False, reduced_decode),
            window=MOSAIC_WINDOW + 1,
        )
        sizes = NetworkSizes(SIZE, SIZE, batch=BATCH, max_batches=EPOCH, seed=0)
        self.samples = Samples(store, augmentation, sizes=sizes, letterbox=False, seed=0)
        self.iteration = MOSAIC_WINDOW // BATCH

    def filled(self) -> "Ours":
        """Itself with every picture in the cache."""
        store = self.samples.store
        if store.num_kept < len(store):
            raise ValueError(f"{CACHE_MIB} MiB hold {store.num_kept} of {len(store)} pictures; expected all of them")
        for index in range(len(store)):
            store.pixels(index)
        return self

    def in_the_middle(self) -> "Ours":
        """Itself with the pictures kept that would have come last, had it begun at the start of the epoch."""
        for place in range(self.iteration * BATCH):
            self.samples.store.pixels(self.samples.order.index(place))
        return self

    def __call__(self) -> None:
        batch = self.samples.batch(self.iteration)
        self.iteration += 1
        for part in batch.images.split(MINI_BATCH):
            part.float().div_(255)


class Decoding:
    """Reads and decodes as many pictures as a batch has, one after another: what no uncached loader can do without."""

    def __init__(self, pictures: list[LabelledImage]) -> None:
        """Decodes nothing yet."""
        self.pictures, self.next = pictures, 0

    def __call__(self) -> None:
        for _ in range(BATCH):
            read_rgb(self.pictures[self.next % len(self.pictures)])
            self.next += 1


def traffic_pictures() -> list[LabelledImage]:
    """The reference's traffic pictures with the boxes of their YOLO labels."""
    found = []
    for number, path in enumerate(sorted((REFERENCE / "traffic" / "images").glob("*.jpg"))):
        height, width = decode_rgb(path.read_bytes(), what=path.name).shape[:2]
        lines = (REFERENCE / "traffic" / "labels" / f"{path.stem}.txt").read_text(encoding="utf-8").split("\n")
        labels = np.array([line.split() for line in lines if line], np.float32).reshape(-1, 5)
        centres, sides = labels[:, 1:3], labels[:, 3:]
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1) * np.float32([width, height] * 2)
        found.append(_labelled(number, path, (width, height), boxes, labels[:, 0].astype(np.int64)))
    return found


def fours(pictures: list[LabelledImage], folder: Path) -> list[LabelledImage]:
    """Each picture with the three after it as one of twice the width and height, written to `folder` as a JPEG."""
    found = []
    for number, image in enumerate(pictures):
        parts = [pictures[(number + place) % len(pictures)] for place in range(4)]
        pixels = [cv2.imread(os.fspath(part.path)) for part in parts]
        path = folder / f"{number}.jpg"
        grid = np.vstack([np.hstack(pixels[:2]), np.hstack(pixels[2:])])
        cv2.imwrite(os.fspath(path), grid, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        corners = [np.float32([image.width * (place % 2), image.height * (place // 2)] * 2) for place in range(4)]
        boxes = np.concatenate([part.boxes_xyxy + corner for part, corner in zip(parts, corners, strict=True)])
        class_ids = np.concatenate([part.class_ids for part in parts])
        found.append(_labelled(number, path, (2 * image.width, 2 * image.height), boxes, class_ids))
    return found


def _labelled(
    number: int, path: Path, size_wh: tuple[int, int], boxes_xyxy: np.ndarray, class_ids: np.ndarray
) -> LabelledImage:
    no = np.zeros(len(boxes_xyxy), bool)
    return LabelledImage(number, path, path.name, *size_wh, "", "", boxes_xyxy, class_ids, no, no)
