"""What a network scores on a split while it is trained, to choose the best weights: `evaluate`'s own numbers.

Pictures come from the training's cache of decoded ones; boxes, suppression, matching and AP are those that `evaluate`
uses, with its defaults, so that both state one number of the same weights on the same pictures.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import Detector, Picture
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import Detections, NmsOptions, suppressed_to_floor
from traffic_yolo.detection.protocol import images_fingerprint
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.errors import TrainingError
from traffic_yolo.metrics.coco import CocoMetrics, evaluate_coco
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.metrics.label_attributes import read_label_attributes
from traffic_yolo.metrics.matching import match
from traffic_yolo.metrics.operating_point import operating_point
from traffic_yolo.training.augment import UInt8Array
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import PictureStore

SPLIT = "val"


@dataclass(frozen=True)
class Measured:
    """A network on a split. `detections` went through NMS down to the floor; `f1` is that above the threshold."""

    detections: Detections
    coco: CocoMetrics
    f1: float

    @property
    def ap(self) -> float:
        """AP over IoU 0.50 to 0.95 in [0, 1]; 0 where no class has a true box."""
        return self.coco.ap or 0.0

    @property
    def ap50(self) -> float:
        """AP at IoU 0.5 in [0, 1], as `evaluate` states it; 0 where no class has a true box."""
        return self.coco.ap50 or 0.0


class Validation:
    """The pictures of a split with their truth, and a way to measure a network on them."""

    def __init__(
        self,
        data: DataSet,
        options: InferenceOptions,
        *,
        cache: PictureCache,
        split: str = SPLIT,
        nms: NmsOptions | None = None,
    ) -> None:
        """`nms`: `evaluate`'s by default.

        Raises `TrainingError` for a split without pictures, and for val without a box that counts.
        """
        self.split, self.images = split, data.split(split)
        if not self.images:
            raise TrainingError(
                f"split {split} has no pictures, so the best weights cannot be told; {data.filled_splits}"
            )
        self._classes = data.classes
        path = data.coco_path(split)
        self.truth = read_ground_truth(path, data.classes)
        if split == SPLIT and not self.truth.num_truths.any():
            raise TrainingError(
                f"{path}: split {split} has no box that counts, so the best weights cannot be told; look at its "
                f"labels, or convert with other splits (shares such as 0.8/0.1/0.1) or val_sites"
            )
        self.labels = read_label_attributes(path, self.truth)
        self._fingerprint = images_fingerprint(data, split)
        self._options, self.nms = options, nms or NmsOptions()
        self._read = _reader(PictureStore(self.images, cache=cache))

    def prepare(self, network: Network) -> None:
        """Refuses now what the first validation would refuse, and lets the runtime "auto" choose once for the run.

        Raises `OptionsError` for a runtime or precision that this machine does not have.
        """
        if (self._options.runtime, self._options.precision) != ("pytorch", "float32"):
            chosen = self._open(network).protocol.runtime
            self._options = dataclasses.replace(self._options, runtime=chosen)

    def measure(self, network: Network) -> Measured:
        """Detections and numbers of the network, which runs where its weights lie and stays as it is.

        Memory holds one batch of raw detections, and at most `nms.max_detections` boxes of each picture.
        """
        batches = self._open(network).run(self.images, self._read)
        found = Detections.concatenate([suppressed_to_floor(raw, self.nms) for raw in batches])
        return Measured(found, evaluate_coco(self.truth, found), self._f1(found))

    def _f1(self, found: Detections) -> float:
        point = operating_point(
            match(found, self.truth),
            self.truth.classes,
            confidence_threshold=self.nms.confidence_threshold,
            iou_threshold=self.nms.iou_threshold,
        )
        return point.f1

    def _open(self, network: Network) -> Detector:
        protocol = Protocol(
            cfg_sha256="",  # the weights are in memory, and these detections are never written
            weights_sha256="",
            network_hw=network.input_hw,
            resize="letterbox" if network.letterbox else "stretch",
            images_fingerprint=self._fingerprint,
        )
        return Detector.open(
            network,
            classes=self._classes,
            protocol=protocol,
            options=self._options,
            num_pictures=len(self.images),
        )


def _reader(store: PictureStore) -> Callable[[Picture], UInt8Array]:
    """Pixels from the store by picture."""
    place_of = {image.image_id: place for place, image in enumerate(store.images)}
    return lambda picture: store.pixels(place_of[picture.image_id])
