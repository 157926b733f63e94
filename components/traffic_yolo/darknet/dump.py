"""Everything between a network's input and its detections as arrays, to compare two implementations number by number.

The keys are those of the golden files: `yolo_I_in`, `yolo_I_out`, `layer_stats`, `det_tT_*`, `nms_tT_nN_KIND_*`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traffic_yolo.darknet.decode import Decoded, decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.nms import NMS_KINDS, NmsRule, darknet_nms
from traffic_yolo.darknet.picture_detections import above_threshold, letterboxed_to_picture
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath, atomic_file, input_path

Float32Array = NDArray[np.float32]

NUM_SAMPLES = 20  # of each layer's output, at flat index k * (outputs - 1) // 19


@dataclass(frozen=True)
class DumpOptions:
    """Which detections are written: for each of `thresholds`, `iou_thresholds` and `kinds` one array of survivors.

    `letterbox`: whether the input was letterboxed, None for what the cfg says; boxes are put back onto the picture
    where its size is known. Raises `OptionsError` for values out of range.
    """

    thresholds: tuple[float, ...] = (0.25,)
    iou_thresholds: tuple[float, ...] = (0.45,)
    kinds: tuple[str, ...] = NMS_KINDS
    letterbox: bool | None = None

    def __post_init__(self) -> None:
        for name, values in (("threshold", self.thresholds), ("IoU threshold", self.iou_thresholds)):
            for value in values:
                if not 0 <= value <= 1:
                    raise OptionsError(f"{name} is {value}, expected a number in [0, 1]")
        for kind in self.kinds:
            if kind not in NMS_KINDS:
                raise OptionsError(f"NMS kind {kind!r} is unknown; expected one of {', '.join(NMS_KINDS)}")


@dataclass(frozen=True)
class DumpInput:
    """A network input `image` (3, H, W) float32 RGB in [0, 1], and the picture's `image_wh` where it is known."""

    image: Float32Array
    image_wh: tuple[int, int] | None = None


def read_input(path: AnyPath) -> DumpInput:
    """Reads key `input`, and `image_wh` where there is one, of an .npz file.

    Raises `StorageError` where it cannot be read, `OptionsError` for another shape, dtype or value range.
    """
    path = input_path(path, what="input")
    try:
        with path.open("rb") as opened, np.load(opened) as file:  # numpy leaves a file open that it finds damaged
            arrays = {key: file[key] for key in ("input", "image_wh") if key in file.files}
    except FileNotFoundError as error:
        raise StorageError(f"input not found: {path}") from error
    except Exception as error:  # a flipped bit of a zip comes out as a dozen kinds, RuntimeError among them
        raise StorageError(f"input is no .npz file: {path}") from error
    if "input" not in arrays:
        raise OptionsError(f"{path}: expected key 'input', found none; save it with numpy.savez(path, input=array)")
    image = arrays["input"]
    if image.ndim != 3 or image.dtype != np.float32 or image.size == 0:
        raise OptionsError(f"{path}: input: expected (3, H, W) float32, found {image.shape} {image.dtype}")
    if not (np.isfinite(image).all() and image.min(initial=0) >= 0 and image.max(initial=0) <= 1):
        raise OptionsError(f"{path}: input: expected values from 0 to 1, found {image.min()} to {image.max()}")
    if "image_wh" not in arrays:
        return DumpInput(image)
    sides = arrays["image_wh"]
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1:
        raise OptionsError(f"{path}: image_wh: expected two whole numbers from 1, found {shown(sides.tolist())}")
    width, height = map(int, sides)
    return DumpInput(image, (width, height))


def write_dump(path: AnyPath, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Writes a compressed .npz file atomically; raises `StorageError` where the system refuses."""
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def dump(network: Network, source: DumpInput, options: DumpOptions) -> dict[str, NDArray[np.generic]]:
    """All arrays of one input under the golden keys, in Darknet's order.

    yolo_I_in and yolo_I_out: (anchors, 5 + classes, h, w), what enters and leaves the head at layer I. layer_stats:
    (layers, 24) mean, rms, min, max and 20 samples. det_tT_rel_box: (N, 5) centre x, y, w, h in shares of the picture,
    objectness above T; det_tT_rel_prob: (N, C) objectness * class, 0 where not above T. nms_tT_nN_KIND_rel: (K, 7)
    x, y, w, h, objectness, class, score. With a known picture size also `_pix_`. Raises `OptionsError` for an input of
    another size than the network's.
    """
    expected = (network.input_channels, *network.input_hw)
    if source.image.shape != expected:
        raise OptionsError(f"input: expected {expected} as in {network.cfg.file}, found {source.image.shape}")
    images = torch.from_numpy(source.image)[None]
    network.eval()
    with torch.no_grad():
        outputs = network.layer_outputs(images)
        inputs = [outputs[network.sections[head.layer_index].inputs[0]] for head in network.heads]
        decoded = decode(network.heads, inputs, network.input_hw)
    arrays: dict[str, NDArray[np.generic]] = {"input": source.image}
    if source.image_wh is not None:
        arrays["image_wh"] = np.array(source.image_wh, np.int64)
    arrays["layer_stats"] = np.stack([layer_statistics(output) for output in outputs])
    for head, head_input in zip(network.heads, inputs, strict=True):
        for name, tensor in (("in", head_input), ("out", outputs[head.layer_index])):
            values = tensor[0].reshape(head.num_anchors, -1, *tensor.shape[2:])
            arrays[f"yolo_{head.layer_index}_{name}"] = values.numpy()
    arrays.update(_detections(network, source, options, decoded))
    return arrays


def layer_statistics(output: Tensor) -> Float32Array:
    """(24,) float32: mean, root mean square, least, largest, then 20 samples spread over the layer's output."""
    values = output.reshape(-1).numpy()
    samples = values[np.arange(NUM_SAMPLES) * (len(values) - 1) // (NUM_SAMPLES - 1)]
    mean, rms = values.mean(dtype=np.float64), np.sqrt(np.square(values, dtype=np.float64).mean())
    return np.concatenate([[mean, rms, values.min(), values.max()], samples]).astype(np.float32)


def _detections(
    network: Network, source: DumpInput, options: DumpOptions, decoded: Decoded
) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {}
    beta = network.heads[-1].beta_nms  # network.c: the last head's kind and beta count
    for threshold in options.thresholds:
        boxes, objectness, scores = above_threshold(decoded, 0, threshold)
        for unit, placed in _placed_boxes(network, source, options, boxes):
            prefix = f"det_t{threshold:g}_{unit}"
            arrays[f"{prefix}_box"] = np.concatenate([placed, objectness[:, None]], axis=1)
            arrays[f"{prefix}_prob"] = scores
            for iou_threshold in options.iou_thresholds:
                for kind in options.kinds:
                    rule = NmsRule(kind, iou_threshold, beta)
                    key = f"nms_t{threshold:g}_n{iou_threshold:g}_{kind}_{unit}"
                    arrays[key] = darknet_nms(placed, objectness, scores, rule)
    return arrays


def _placed_boxes(
    network: Network, source: DumpInput, options: DumpOptions, boxes: Float32Array
) -> Iterator[tuple[str, Float32Array]]:
    """("rel", boxes (N, 4) in shares of the picture), and ("pix", in its pixels) where its size is known."""
    letterbox = network.letterbox if options.letterbox is None else options.letterbox
    if source.image_wh is None:
        if options.letterbox:
            raise OptionsError("letterbox: the input needs a key image_wh (width, height of the picture), found none")
        yield "rel", boxes
        return
    width, height = source.image_wh
    placed = letterboxed_to_picture(boxes, (height, width), network.input_hw) if letterbox else boxes
    yield "rel", placed
    yield "pix", placed * np.array([width, height, width, height], np.float32)
