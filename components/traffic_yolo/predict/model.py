"""A model at work: pictures in, what it reports out, by the one inference that `detect` and `evaluate` use."""

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.detect import Detector
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.open_network import open_network
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import CFG_NAME, WEIGHTS_NAME
from traffic_yolo.predict.arrays import picture_of
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.model_source import found_model
from traffic_yolo.predict.options import ModelOptions
from traffic_yolo.predict.prediction import Prediction
from traffic_yolo.predict.reporting import Reporting
from traffic_yolo.storage import AnyPath


@dataclass(frozen=True, repr=False)
class Model:
    """A network with its weights and the thresholds at which it reports; made by `open`, or by `traffic_yolo.load`."""

    name: str
    classes: tuple[str, ...]
    reporting: Reporting
    _detector: Detector

    @classmethod
    def open(
        cls,
        model: AnyPath,
        options: ModelOptions | None = None,
        inference: InferenceOptions | None = None,
        *,
        num_pictures: int = 1,
    ) -> "Model":
        """Reads the model that `model` names (`model_source.found_model` says how) onto the device of `inference`.

        `num_pictures`: about how many it will see; runtime "auto" compiles only for many. Raises `OptionsError`,
        `ModelError`, `StorageError` or `DarknetFormatError`, each one line.
        """
        options, inference = options or ModelOptions(), inference or InferenceOptions()
        if inference.processes > 1:
            raise OptionsError("processes: one process reads and draws; leave processes at 1")
        with found_model(model, options) as found:
            folder = found.folder
            reporting = Reporting.chosen(folder.classes, found.point, options, where=found.point_where)
            protocol = Protocol(
                cfg_sha256=folder.sha256(CFG_NAME),
                weights_sha256=folder.sha256(WEIGHTS_NAME),
                network_hw=folder.network_hw,
                resize=folder.resize,
                images_fingerprint="",
                # Boxes below the lowest threshold change nothing above it: they need not be kept
                confidence_floor=reporting.nms.confidence_threshold,
            )
            detector = Detector.open(
                open_network(folder, inference),
                classes=folder.classes,
                protocol=protocol,
                options=inference,
                num_pictures=num_pictures,
            )
        return cls(found.name, folder.classes, reporting, detector)

    def detect(self, pictures: Iterable[InputPicture]) -> Generator[tuple[InputPicture, Detections], None, None]:
        """Each picture with what is reported of it, in order; a stream is read no more than four batches ahead.

        Close what is returned before the stream: it is read by a thread of its own.
        """
        shown: deque[InputPicture] = deque()

        def kept() -> Iterator[InputPicture]:
            for picture in pictures:
                shown.append(picture)
                yield picture

        with contextlib.closing(self._detector.run(kept(), _pixels)) as batches:
            for raw in batches:
                found = self.reporting.reported(raw)
                ends = np.searchsorted(found.image_ids, raw.image_ids, side="right")
                begins = np.searchsorted(found.image_ids, raw.image_ids, side="left")
                for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
                    yield shown.popleft(), found.select(np.arange(begin, end))

    @overload
    def __call__(self, pictures: str | Path | NDArray[np.uint8], *, channels: str = "bgr") -> Prediction: ...

    @overload
    def __call__(self, pictures: list[Any] | tuple[Any, ...], *, channels: str = "bgr") -> list[Prediction]: ...

    @overload
    def __call__(self, pictures: Any, *, channels: str = "bgr") -> Any: ...

    def __call__(self, pictures: Any, *, channels: str = "bgr") -> Any:
        """What is reported of a picture; of a list or tuple of them a list; of an iterator, an iterator.

        A picture is a path (text or `Path`) of a JPEG, PNG or BMP, a PIL image of mode RGB or L, or an array (H, W, 3)
        uint8 whose `channels` are "bgr", as OpenCV and supervision have them, or "rgb"; it is kept, not copied, so that
        a prediction's picture changes with it. Raises `OptionsError` for what is none of these, `PictureError` for a
        file that cannot be read or decoded.
        """
        if channels not in ("bgr", "rgb"):
            raise OptionsError(f"channels: expected 'bgr' or 'rgb', found {channels!r}")
        if isinstance(pictures, list | tuple):
            return list(self._predictions(pictures, channels))
        if isinstance(pictures, Iterator):
            return self._predictions(pictures, channels)
        return next(self._predictions([pictures], channels))

    def _predictions(self, pictures: Iterable[Any], channels: str) -> Iterator[Prediction]:
        opened = (
            picture_of(each, image_id=number, channels=channels) for number, each in zip(itertools.count(1), pictures)
        )
        for picture, found in self.detect(opened):
            yield Prediction(picture.name, found.boxes_xyxy, found.scores, found.class_ids, self.classes, picture.rgb())

    @property
    def runtime(self) -> str:
        """What computes, and in which numbers."""
        return f"{self._detector.protocol.runtime} in {self._detector.protocol.precision}"

    @property
    def batch(self) -> int:
        """How many pictures come out at a time."""
        return self._detector.batch

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width of the network's input in pixels."""
        return self._detector.protocol.network_hw

    def __repr__(self) -> str:
        height, width = self.network_hw
        thresholds = self.reporting.described(self.classes)
        return f"<Model {self.name}: {', '.join(self.classes)}; {width} x {height}, {self.runtime}; {thresholds}>"


def _pixels(picture: Any) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = picture.rgb()
    return pixels
