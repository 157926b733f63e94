"""AP50 on the validation split while a training runs, to choose the best weights: `evaluate`'s own number.

Pictures come from the training's cache of decoded ones; boxes, suppression, matching and AP are those that `evaluate`
uses, with its defaults, so that both state one number of the same weights on the same pictures.
"""

import dataclasses
from collections.abc import Callable

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import Detector, Picture
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import Detections, NmsOptions, suppressed_to_floor
from traffic_yolo.detection.protocol import images_fingerprint
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.errors import TrainingError
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.training.augment import UInt8Array
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import PictureStore

SPLIT = "val"


class Validation:
    """The pictures of the validation split with their truth, and a way to measure a network on them."""

    def __init__(
        self, data: DataSet, options: InferenceOptions, *, cache: PictureCache, nms: NmsOptions | None = None
    ) -> None:
        """`nms`: `evaluate`'s by default. Raises `TrainingError` for a split without pictures."""
        self.images = data.split(SPLIT)
        if not self.images:
            raise TrainingError(
                f"split {SPLIT} has no pictures, so the best weights cannot be told; {data.filled_splits}"
            )
        self._classes = data.classes
        self._truth = read_ground_truth(data.coco_path(SPLIT), data.classes)
        self._fingerprint = images_fingerprint(data, SPLIT)
        self._options, self._nms = options, nms or NmsOptions()
        self._read = _reader(PictureStore(self.images, cache=cache))

    def prepare(self, network: Network) -> None:
        """Refuses now what the first validation would refuse, and lets the runtime "auto" choose once for the run.

        Raises `OptionsError` for a runtime or precision that this machine does not have.
        """
        if (self._options.runtime, self._options.precision) != ("pytorch", "float32"):
            chosen = self._open(network).protocol.runtime
            self._options = dataclasses.replace(self._options, runtime=chosen)

    def ap50(self, network: Network) -> float:
        """AP at IoU 0.5 in [0, 1], as `evaluate_coco` has it; 0 where no class has a true box.

        The network runs where its weights lie and stays as it is. Memory holds one batch of raw detections, and at most
        `nms.max_detections` boxes of each picture.
        """
        batches = self._open(network).run(self.images, self._read)
        found = Detections.concatenate([suppressed_to_floor(raw, self._nms) for raw in batches])
        return evaluate_coco(self._truth, found).ap50 or 0.0

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
