"""A stand-in for nvinfer without a GPU: onnxruntime between nvinfer's own pre- and post-processing rules.

It shows what the configuration does to a model's boxes. What TensorRT's arithmetic and the hardware scaler do on top,
only a GPU node shows (`deepstream_app` writes the run, `kitti` reads what it left).
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.simulate.postprocess import Objects, cluster, parse_yolo, to_frame
from traffic_yolo.deepstream.simulate.preprocess import BLACK, Placement, preprocess
from traffic_yolo.detection.detect import Picture, read_rgb
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR
from traffic_yolo.errors import ModelError
from traffic_yolo.onnx_session import cpu_session
from traffic_yolo.progress import progress

FLOOR = CONFIDENCE_FLOOR  # rows below are not kept
AT_ONCE = 8  # most pictures beside one another, each with the network's memory of its own
AHEAD = 2  # pictures that wait for each of them

# What the simulator takes for granted: another value would make its answer wrong, so it is refused.
SIMULATED = {
    "process-mode": 1,
    "network-type": 0,
    "cluster-mode": 2,
    "network-input-order": 0,
    "input-tensor-from-meta": 0,
    "interval": 0,
}


@dataclass(frozen=True)
class FrameOutput:
    """What the network gave for one frame: `rows` (n, 6) float32 x1, y1, x2, y2, score, label in network pixels."""

    image_id: int
    frame_hw: tuple[int, int]
    placement: Placement
    rows: NDArray[np.float32]


class Simulator:
    """Runs the ONNX file that `config` names (relative to `folder`) as nvinfer would; `padding` as in `preprocess`.

    Several pictures run beside one another, a thread on each: threads that share a picture wait for one another after
    every layer. `at_once`: at most so many; with 1 all threads share each.

    Raises `ModelError` for a configuration that cannot be simulated, and a file that does not fit it.
    """

    def __init__(self, config: NvinferConfig, folder: Path, *, padding: int = BLACK, at_once: int = AT_ONCE) -> None:
        check_simulated(config)
        self._padding = padding
        path = folder / config.required("onnx-file")
        if not path.is_file():
            raise ModelError(f"{path} is missing; {config.source} names it as onnx-file")
        threads = torch.get_num_threads()
        self._at_once = max(1, min(at_once, threads))
        # A call runs in its caller's thread and in those of the session, which all callers share
        self._session = cpu_session(path, threads=threads - self._at_once + 1)
        self.config = config
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.network_hw = _network_hw(self._session, config, path)

    def run(self, pictures: Sequence[Picture]) -> list[FrameOutput]:
        """One inference per picture, in order; only rows with a score of at least 0.001 are kept.

        Raises `DatasetError` for a picture that cannot be decoded.
        """
        outputs = []
        waiting: deque[Future[FrameOutput]] = deque()
        with ThreadPoolExecutor(self._at_once) as workers:
            try:
                for number, _ in enumerate(progress(pictures, description="simulating", unit="picture")):
                    while len(waiting) < AHEAD * self._at_once and number + len(waiting) < len(pictures):
                        waiting.append(workers.submit(self._run_one, pictures[number + len(waiting)]))
                    outputs.append(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()
        return outputs

    def detections(self, frames: Sequence[FrameOutput], config: NvinferConfig | None = None) -> Detections:
        """What reaches the metadata, in frame pixels; picture by picture, in a picture by falling score.

        `config` replaces the simulator's own, to see other thresholds without another inference; its thresholds
        must not be below 0.001.
        """
        rules = config or self.config
        attributes = [rules.class_attributes(class_id) for class_id in range(rules.integer("num-detected-classes"))]
        if min(each.pre_cluster_threshold for each in attributes) < FLOOR:
            raise ModelError(f"{rules.source}: a pre-cluster-threshold is below {FLOOR}, where rows are not kept")
        crop = rules.integer("crop-objects-to-roi-boundary") == 1
        parts = []
        for frame in frames:
            objects = cluster(parse_yolo(frame.rows, self.network_hw, attributes), attributes)
            objects = to_frame(objects, frame.placement, frame.frame_hw, attributes, crop_to_frame=crop)
            parts.append(_as_detections(objects, frame.image_id))
        return Detections.concatenate(parts)

    def rows(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network gives for one input (3, H, W): rows (n, 6) as in `FrameOutput`, with scores from 0.001 up.

        A score that is NaN is among them: the parser refuses it.
        """
        rows: NDArray[np.float32] = self._session.run(["output"], {"input": tensor[None]})[0][0]
        return rows[~(rows[:, 4] < np.float32(FLOOR))]

    def _run_one(self, picture: Picture) -> FrameOutput:
        tensor, placement = preprocess(read_rgb(picture), self.config, self.network_hw, padding=self._padding)
        return FrameOutput(picture.image_id, (picture.height, picture.width), placement, self.rows(tensor))


def check_simulated(config: NvinferConfig) -> None:
    """Raises `ModelError` for a setting whose effect is not simulated."""
    for key, value in SIMULATED.items():
        if config.integer(key) != value:
            raise ModelError(f"{config.source}: {key}={config.integer(key)} cannot be simulated; expected {value}")
    if config.integer("model-color-format") not in (0, 1):
        raise ModelError(f"{config.source}: model-color-format=2 (grey) cannot be simulated; expected 0 or 1")
    if config.integer("scaling-filter") not in (0, 1, 6):
        found = config.text("scaling-filter")
        raise ModelError(f"{config.source}: scaling-filter={found} cannot be simulated; expected 1 (bilinear)")
    if config.integer("num-detected-classes") < 1:
        raise ModelError(f"{config.source}: num-detected-classes is missing or 0")
    for key in ("mean-file", "filter-out-class-ids"):
        if config.has(key):
            raise ModelError(f"{config.source}: {key} cannot be simulated; remove it")


def _as_detections(objects: Objects, image_id: int) -> Detections:
    ranked = objects.select(np.argsort(-objects.scores, kind="stable"))
    image_ids = np.full(len(ranked.scores), image_id, np.int64)
    return Detections(image_ids, xywh_to_xyxy(ranked.boxes_xywh), ranked.scores, ranked.class_ids)


def _network_hw(session: onnxruntime.InferenceSession, config: NvinferConfig, path: Path) -> tuple[int, int]:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [each.name for each in inputs] != ["input"] or [each.name for each in outputs] != ["output"]:
        names = f"{[each.name for each in inputs]} -> {[each.name for each in outputs]}"
        raise ModelError(f"{path}: has {names}; expected ['input'] -> ['output'], as export writes it")
    shape = inputs[0].shape
    wanted = list(config.input_chw)
    if wanted and wanted != shape[1:]:
        raise ModelError(f"{path}: its input is {shape[1:]}, but infer-dims of {config.source} is {wanted}")
    return int(shape[2]), int(shape[3])
