"""Runs a network once over pictures and keeps every box above the floor: the raw detections."""

import contextlib
import dataclasses
import itertools
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traffic_yolo.beside import ahead
from traffic_yolo.darknet.decode import Decoded, decode
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.resize import letterbox, letterbox_into, network_boxes_to_picture, stretch, stretch_into
from traffic_yolo.darknet.rgb_input import require_rgb
from traffic_yolo.darknet.runtimes.base import Runtime
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.dataset.pictures.decode import decode_rgb, stated_size
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.raw_detections import Protocol, RawDetections, offsets_of
from traffic_yolo.errors import EvaluationError, PictureError
from traffic_yolo.progress import progress

READERS = 2  # threads that decode and resize the next batch while the network runs those before it
BATCHES = 4  # in work at once: one is read, one waits, and of two the logits are computed or awaited


class Picture(typing.Protocol):
    """What detection needs of a labelled picture; `dataset.data_set.LabelledImage` is one."""

    @property
    def image_id(self) -> int:
        """The picture's id in the truth's COCO file."""

    @property
    def path(self) -> Path:
        """The JPEG file."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""


Reader = Callable[[Picture], NDArray[np.uint8]]


def detect(
    network: Network,
    pictures: Sequence[Picture],
    *,
    classes: Sequence[str],
    protocol: Protocol,
    options: InferenceOptions | None = None,
) -> RawDetections:
    """Every box of every picture with a class score above `protocol.confidence_floor`, before NMS.

    Runs on the device of the network's weights at `protocol.network_hw`, pictures resized as `protocol.resize` says, by
    the runtime of `options` (PyTorch by default), whose name and precision stand in the protocol of what is returned;
    their device and processes are left to the caller.

    Raises `EvaluationError` for class names that do not fit the network, `DatasetError` for a picture that cannot be
    decoded or has another size than its label says, `OptionsError` for a runtime that this machine cannot run.
    """
    options = options or InferenceOptions()
    detector = Detector.open(network, classes=classes, protocol=protocol, options=options, num_pictures=len(pictures))
    steps = -(-len(pictures) // options.batch)
    parts = progress(detector.run(pictures), description="detecting", unit="batch", total=steps)
    return RawDetections.concatenate([detector.nothing(), *parts])


@dataclass(frozen=True)
class Detector:
    """A network at work: `run` gives the raw detections of pictures `batch` by `batch`. Made by `open`.

    `protocol`: what the detections are made under, runtime and precision included.
    """

    protocol: Protocol
    classes: tuple[str, ...]
    batch: int
    _heads: Sequence[YoloHead]
    _runtime: Runtime

    @classmethod
    def open(
        cls,
        network: Network,
        *,
        classes: Sequence[str],
        protocol: Protocol,
        options: InferenceOptions,
        num_pictures: int,
    ) -> "Detector":
        """Takes the network's weights as they are now; arguments and errors as `detect` has them."""
        require_rgb(network.cfg)
        if len(classes) != network.num_classes:
            raise EvaluationError(f"{len(classes)} class names for a network of {network.num_classes} classes")
        runtime = open_runtime(network, options, input_hw=protocol.network_hw, pictures=num_pictures)
        protocol = dataclasses.replace(protocol, runtime=runtime.name, precision=runtime.precision)
        return cls(protocol, tuple(classes), options.batch, network.heads, runtime)

    def run(self, pictures: Iterable[Picture], read: Reader | None = None) -> Generator[RawDetections, None, None]:
        """The raw detections of each batch of pictures, in order. `read` gives pixels as `read_rgb`, the default.

        Of `pictures`, which may be a stream, no more than `BATCHES` batches are taken ahead, in other threads.
        """
        batches = _read_batches(pictures, self.protocol, self.batch, read or read_rgb)
        with contextlib.closing(_computed(self._runtime, batches)) as computed:
            for shown, logits in computed:
                with torch.inference_mode():  # not around the yield: the caller's own work is none of inference
                    decoded = decode(self._heads, logits, self.protocol.network_hw)
                    kept = list(_boxes_of_batch(shown, decoded, self.protocol))
                yield _joined(shown, kept, self.classes, self.protocol)

    def nothing(self) -> RawDetections:
        """The raw detections of no pictures."""
        return _joined([], [], self.classes, self.protocol)


class _Boxes(typing.NamedTuple):
    """What one picture's boxes have above the floor; `counts`: how many scores each box has."""

    boxes_xyxy: NDArray[np.float32]
    objectness: NDArray[np.float16]
    counts: NDArray[np.int64]
    class_ids: NDArray[np.int16]
    scores: NDArray[np.float32]


def read_rgb(picture: Picture, *, at_least_wh: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The picture (H, W, 3) uint8, RGB, as stored: an EXIF orientation is not applied, nor does Darknet apply it.

    Raises `PictureError` when it is missing, cannot be read or decoded, is damaged (`decode_rgb`) or is not of the
    stated size, and `DatasetError` when it has more pixels than the limit. `at_least_wh` as in `decode_rgb`: the
    picture may come smaller.
    """
    try:
        data = picture.path.read_bytes()
    except FileNotFoundError as error:
        advice = "convert the data set again"
        raise PictureError(f"picture not found: {picture.path}; {advice}", reason="missing") from error
    except OSError as error:
        raise PictureError(f"picture cannot be read: {picture.path}: {error.strerror}", reason="unreadable") from error
    size = stated_size(data)
    if size is not None and size != (picture.width, picture.height):
        raise PictureError(
            f"{picture.path} is {size[0]} x {size[1]} pixels, its label says {picture.width} x {picture.height}; the "
            f"boxes would lie elsewhere",
            reason="of another size",
        )
    return decode_rgb(data, what=str(picture.path), at_least_wh=at_least_wh)


def network_input(picture: Picture, network_hw: tuple[int, int], *, letterboxed: bool) -> NDArray[np.float32]:
    """(3, h, w) in [0, 1] of one picture, resized as Darknet does; raises as `read_rgb`."""
    height, width = network_hw
    return (letterbox if letterboxed else stretch)(read_rgb(picture), (width, height))


def _read_batches(
    pictures: Iterable[Picture], protocol: Protocol, batch: int, read_pixels: Reader
) -> Iterator[tuple[Sequence[Picture], NDArray[np.float32]]]:
    """(pictures, network input (B, 3, h, w)), the next batch always being read already.

    An input's memory is used again for the `BATCHES`th batch after it, whose reading begins when the one before that is
    asked for: fresh memory costs more than what is written to it.
    """
    resize_into = letterbox_into if protocol.resize == "letterbox" else stretch_into
    height, width = protocol.network_hw

    def read(picture: Picture, out: NDArray[np.float32]) -> None:
        resize_into(read_pixels(picture), out)

    # Its loop is compiled or loaded here, by one thread
    resize_into(np.zeros((1, 1, 3), np.uint8), np.empty((3, height, width), np.float32))
    stream = iter(pictures)
    memory = itertools.cycle([np.empty((batch, 3, height, width), np.float32) for _ in range(BATCHES)])
    with ThreadPoolExecutor(READERS) as readers:

        def start() -> tuple[list[Picture], NDArray[np.float32], list[Future[None]]]:
            group = list(itertools.islice(stream, batch))
            inputs = next(memory)[: len(group)]
            return group, inputs, [readers.submit(read, *each) for each in zip(group, inputs, strict=True)]

        group, inputs, waiting = start()
        while group:
            following = start()
            for future in waiting:
                future.result()
            yield group, inputs
            group, inputs, waiting = following


def _computed(
    runtime: Runtime, batches: Iterator[tuple[Sequence[Picture], NDArray[np.float32]]]
) -> Generator[tuple[Sequence[Picture], list[Tensor]], None, None]:
    """(pictures, the heads' logits) of each batch, in order; while the caller works on one, the network runs the next.

    A network that waits for its caller after every batch, and a caller that waits for the network, cost yolov4-tiny on
    two processors a tenth of its pictures a second.
    """
    begun = list(itertools.islice(batches, 2))
    if len(begun) < 2:  # a picture or a few: threads would only be in the way
        yield from ((shown, runtime(inputs)) for shown, inputs in begun)
        return
    # A thread's first question makes PyTorch's number of threads there what it is elsewhere; else a convolution would
    # take all processors, in each of several processes that have a share of them
    begin = torch.get_num_threads
    with ThreadPoolExecutor(runtime.batches_at_once, thread_name_prefix="network", initializer=begin) as network:
        # Two at most are with the network or computed when the next is asked for: that which the caller waits for, and
        # one that waits in the queue. So the memory of every other batch is free (`_read_batches`).
        given = ((shown, network.submit(runtime, inputs)) for shown, inputs in itertools.chain(begun, batches))
        with contextlib.closing(ahead(given, 1)) as waiting:
            for shown, logits in waiting:
                yield shown, logits.result()


def _boxes_of_batch(pictures: Sequence[Picture], decoded: Decoded, protocol: Protocol) -> Iterator[_Boxes]:
    # Darknet: objectness above the floor first, then each product (yolo_layer.c get_yolo_detections).
    above = decoded.objectness > protocol.confidence_floor  # (B, N)
    is_letterbox = protocol.resize == "letterbox"
    for index, picture in enumerate(pictures):
        rows = above[index]
        objectness = decoded.objectness[index][rows]
        scores = objectness[:, None] * decoded.class_probabilities[index][rows]  # (n, C)
        is_kept = scores > protocol.confidence_floor
        counts = is_kept.sum(dim=1)
        useful = counts > 0
        boxes = decoded.boxes_cxcywh_norm[index][rows][useful].cpu().numpy()
        yield _Boxes(
            network_boxes_to_picture(boxes, (picture.height, picture.width), protocol.network_hw, is_letterbox),
            objectness[useful].cpu().numpy().astype(np.float16),
            counts[useful].cpu().numpy(),
            is_kept.nonzero()[:, 1].cpu().numpy().astype(np.int16),
            scores[is_kept].cpu().numpy(),
        )


def _joined(
    pictures: Sequence[Picture], kept: Sequence[_Boxes], classes: tuple[str, ...], protocol: Protocol
) -> RawDetections:
    columns = [np.concatenate(column) for column in zip(_NOTHING, *kept, strict=True)]
    boxes_xyxy, objectness, counts, class_ids, scores = columns
    return RawDetections(
        image_ids=np.array([picture.image_id for picture in pictures], np.int64),
        image_hw=np.array([(picture.height, picture.width) for picture in pictures], np.int32).reshape(-1, 2),
        offsets=offsets_of([len(boxes.objectness) for boxes in kept]),
        boxes_xyxy=boxes_xyxy,
        objectness=objectness,
        score_offsets=offsets_of(counts),
        score_class_ids=class_ids,
        scores=scores,
        classes=classes,
        protocol=protocol,
    )


_NOTHING = _Boxes(
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float16),
    np.zeros(0, np.int64),
    np.zeros(0, np.int16),
    np.zeros(0, np.float32),
)
