"""Raw detections: every box a model gave above a low floor, before NMS, with the protocol they were made under.

One inference writes them; every threshold, curve and metric afterwards reads them.
"""

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import EvaluationError
from traffic_yolo.storage import atomic_file

SCHEMA_VERSION = 1
CONFIDENCE_FLOOR = 0.001  # `darknet detector valid` uses the same; lower boxes move AP by less than 1e-4


@dataclass(frozen=True)
class Protocol:
    """What decides the raw detections of a model, besides the pictures' content.

    `cfg_sha256`, `weights_sha256`: hexadecimal hashes of the model's files. `network_hw`: input height and width in
    pixels. `resize`: "stretch" or "letterbox". `images_fingerprint`: the data set's fingerprint with the split's name
    ("<fingerprint>/test"). `confidence_floor`: only scores strictly above it are kept. `runtime`: "pytorch" or
    "onnxruntime". `precision`: dtype of the network's arithmetic.
    """

    cfg_sha256: str
    weights_sha256: str
    network_hw: tuple[int, int]
    resize: str
    images_fingerprint: str
    confidence_floor: float = CONFIDENCE_FLOOR
    runtime: str = "pytorch"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.resize not in ("stretch", "letterbox"):
            raise EvaluationError(f"protocol: resize is {self.resize!r}, expected 'stretch' or 'letterbox'")
        if not 0 <= self.confidence_floor < 1:
            raise EvaluationError(f"protocol: confidence_floor is {self.confidence_floor}, expected [0, 1)")


@dataclass(frozen=True)
class RawDetections:
    """Boxes of M pictures, N in all, with a score for each of C classes; checked when made.

    `image_ids` (M,) int64, each once. `image_hw` (M, 2) int32, the pictures' height and width. `offsets` (M + 1,)
    int64: boxes `offsets[m]:offsets[m + 1]` belong to picture m, in the order of the network (head, cell row by row,
    anchor). `boxes_xyxy` (N, 4) float32 in picture pixels, not clipped. `objectness` (N,) float32 in [0, 1].
    `class_scores` (N, C) float32 = objectness x class probability, 0 where that is not above the protocol's floor.

    Raises `EvaluationError` for shapes that do not fit each other and for numbers that are not finite.
    """

    image_ids: NDArray[np.int64]
    image_hw: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]
    objectness: NDArray[np.float32]
    class_scores: NDArray[np.float32]
    classes: tuple[str, ...]
    protocol: Protocol

    def __post_init__(self) -> None:
        pictures, boxes = len(self.image_ids), len(self.boxes_xyxy)
        expected = {
            "image_ids": (pictures,),
            "image_hw": (pictures, 2),
            "offsets": (pictures + 1,),
            "boxes_xyxy": (boxes, 4),
            "objectness": (boxes,),
            "class_scores": (boxes, len(self.classes)),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise EvaluationError(f"raw detections: {name} has shape {found}, expected {shape}")
        steps = np.diff(self.offsets)
        if self.offsets[0] != 0 or self.offsets[-1] != boxes or (steps < 0).any():
            raise EvaluationError(f"raw detections: offsets must rise from 0 to {boxes}, the number of boxes")
        if len(np.unique(self.image_ids)) != pictures:
            raise EvaluationError("raw detections: an image id occurs twice")
        for name in ("boxes_xyxy", "objectness", "class_scores"):
            if not np.isfinite(getattr(self, name)).all():
                raise EvaluationError(f"raw detections: {name} holds NaN or infinity; the model's output is broken")

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.image_ids)

    def boxes_of(self, picture: int) -> slice:
        """The rows of the box arrays that belong to the picture at index `picture` (not its image id)."""
        return slice(int(self.offsets[picture]), int(self.offsets[picture + 1]))

    def save(self, path: Path) -> None:
        """Writes a compressed npz, atomically; only scores above 0 are stored. Equal detections give equal bytes."""
        box, class_id = np.nonzero(self.class_scores)
        header = {
            "schema_version": SCHEMA_VERSION,
            "classes": list(self.classes),
            "protocol": dataclasses.asdict(self.protocol),
        }
        with atomic_file(path) as file:
            np.savez_compressed(
                file,
                header=np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8),
                image_ids=self.image_ids,
                image_hw=self.image_hw,
                offsets=self.offsets,
                boxes_xyxy=self.boxes_xyxy,
                objectness=self.objectness,
                score_box=box.astype(np.int32),
                score_class=class_id.astype(np.int16),
                score=self.class_scores[box, class_id],
            )

    @classmethod
    def load(cls, path: Path) -> "RawDetections":
        """Reads what `save` wrote.

        Raises `EvaluationError` for a missing or damaged file, or one of another schema version.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(arrays.pop("header").tobytes())
            return cls._from_arrays(arrays, header, path)
        except FileNotFoundError as error:
            raise EvaluationError(f"raw detections not found: {path}; run the evaluate step first") from error
        except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, EOFError) as error:
            if isinstance(error, EvaluationError):
                raise
            raise EvaluationError(f"{path}: not a raw-detections file, or a damaged one: {error}") from error

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]], header: dict[str, Any], path: Path) -> "RawDetections":
        version = header["schema_version"]
        if version != SCHEMA_VERSION:
            raise EvaluationError(
                f"{path}: schema version {version}, this program reads {SCHEMA_VERSION}; run the evaluate step again"
            )
        protocol = dict(header["protocol"])
        protocol["network_hw"] = tuple(protocol["network_hw"])
        classes = tuple(header["classes"])
        class_scores = np.zeros((len(arrays["boxes_xyxy"]), len(classes)), np.float32)
        class_scores[arrays["score_box"], arrays["score_class"]] = arrays["score"]
        return cls(
            image_ids=arrays["image_ids"],
            image_hw=arrays["image_hw"],
            offsets=arrays["offsets"],
            boxes_xyxy=arrays["boxes_xyxy"],
            objectness=arrays["objectness"],
            class_scores=class_scores,
            classes=classes,
            protocol=Protocol(**protocol),
        )
