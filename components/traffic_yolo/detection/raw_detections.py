"""Raw detections: every box a model gave above a low floor, before NMS, with the protocol they were made under.

One inference writes them; every threshold, curve and metric afterwards reads them.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.array_file import map_arrays, write_arrays
from traffic_yolo.errors import EvaluationError
from traffic_yolo.storage import AnyPath, atomic_file, input_path, json_value, output_path

SCHEMA_VERSION = 2
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
    """Boxes of M pictures, N in all, with S scores for C classes; checked when made.

    `image_ids` (M,) int64, each once. `image_hw` (M, 2) int32, the pictures' height and width. `offsets` (M + 1,)
    int64: boxes `offsets[m]:offsets[m + 1]` belong to picture m, in the order of the network (head, cell row by row,
    anchor). `boxes_xyxy` (N, 4) float32 in picture pixels, not clipped. `objectness` (N,) float16 in [0, 1].

    A score is objectness x class probability; those not above the protocol's floor are left out. Scores
    `score_offsets[n]:score_offsets[n + 1]` ((N + 1,) int64) are of box n: `scores` (S,) float32 and `score_class_ids`
    (S,) int16, which rise within a box.

    float32 where a metric depends on it: float16 boxes or scores move AP by more than 1e-6 (they make ties, and move
    overlaps across thresholds); objectness enters no metric. Raises `EvaluationError` for arrays that do not fit each
    other and for numbers that are not finite.

    `shard`: "2/4" for the second of four parts of a split, "" for the whole.
    """

    image_ids: NDArray[np.int64]
    image_hw: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]
    objectness: NDArray[np.float16]
    score_offsets: NDArray[np.int64]
    score_class_ids: NDArray[np.int16]
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    protocol: Protocol
    shard: str = ""

    def __post_init__(self) -> None:
        pictures, boxes, scores = len(self.image_ids), len(self.boxes_xyxy), len(self.scores)
        expected = {
            "image_ids": (pictures,),
            "image_hw": (pictures, 2),
            "offsets": (pictures + 1,),
            "boxes_xyxy": (boxes, 4),
            "objectness": (boxes,),
            "score_offsets": (boxes + 1,),
            "score_class_ids": (scores,),
            "scores": (scores,),
        }
        for name, shape in expected.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise EvaluationError(f"raw detections: {name} has shape {found.shape}, expected {shape}")
            if found.dtype != DTYPES[name]:
                raise EvaluationError(f"raw detections: {name} is {found.dtype}, expected {DTYPES[name]}")
        for name, what, count in (("offsets", "boxes", boxes), ("score_offsets", "scores", scores)):
            steps = getattr(self, name)
            if steps[0] != 0 or steps[-1] != count or (np.diff(steps) < 0).any():
                raise EvaluationError(f"raw detections: {name} must rise from 0 to {count}, the number of {what}")
        if len(np.unique(self.image_ids)) != pictures:
            raise EvaluationError("raw detections: an image id occurs twice")
        for name in ("boxes_xyxy", "objectness", "scores"):
            if not np.isfinite(getattr(self, name)).all():
                raise EvaluationError(f"raw detections: {name} holds NaN or infinity; the model's output is broken")
        self._check_class_ids()

    def _check_class_ids(self) -> None:
        if not len(self.scores):
            return
        if int(self.score_class_ids.min()) < 0 or int(self.score_class_ids.max()) >= len(self.classes):
            raise EvaluationError(f"raw detections: a class id is not among the {len(self.classes)} classes")
        rises = np.diff(self.score_class_ids) > 0
        begins = self.score_offsets[1:-1][np.diff(self.score_offsets[1:]) > 0]
        rises[begins[begins > 0] - 1] = True  # a new box begins
        if not rises.all():
            raise EvaluationError("raw detections: class ids must rise within a box")

    @classmethod
    def from_dense(
        cls,
        *,
        image_ids: NDArray[np.int64],
        image_hw: NDArray[np.int32],
        offsets: NDArray[np.int64],
        boxes_xyxy: NDArray[np.float32],
        objectness: NDArray[np.floating],
        class_scores: NDArray[np.float32],
        classes: tuple[str, ...],
        protocol: Protocol,
    ) -> "RawDetections":
        """From a table of scores (N, C) in which 0 stands for a score that is left out."""
        if class_scores.shape != (len(boxes_xyxy), len(classes)):
            expected = (len(boxes_xyxy), len(classes))
            raise EvaluationError(f"raw detections: class_scores has shape {class_scores.shape}, expected {expected}")
        boxes, class_ids = np.nonzero(class_scores)
        return cls(
            image_ids=image_ids.astype(np.int64, copy=False),
            image_hw=image_hw.astype(np.int32, copy=False),
            offsets=offsets.astype(np.int64, copy=False),
            boxes_xyxy=boxes_xyxy,
            objectness=objectness.astype(np.float16),
            score_offsets=np.searchsorted(boxes, np.arange(len(boxes_xyxy) + 1)).astype(np.int64),
            score_class_ids=class_ids.astype(np.int16),
            scores=class_scores[boxes, class_ids],
            classes=classes,
            protocol=protocol,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["RawDetections"]) -> "RawDetections":
        """The pictures of all parts, in order, as one whole.

        Raises `EvaluationError` for none, for parts of different classes or protocols, and for a picture in two.
        """
        if not parts:
            raise EvaluationError("raw detections: nothing to merge")
        first = parts[0]
        for part in parts[1:]:
            if part.classes != first.classes:
                raise EvaluationError(f"raw detections of different classes: {first.classes} and {part.classes}")
            for name, value in dataclasses.asdict(first.protocol).items():
                if getattr(part.protocol, name) != value:
                    raise EvaluationError(
                        f"raw detections of different protocols: {name} is {value} and {getattr(part.protocol, name)}; "
                        f"detect all shards alike"
                    )
        joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES}
        for name in ("offsets", "score_offsets"):
            joined[name] = offsets_of(np.concatenate([np.diff(getattr(part, name)) for part in parts]))
        return cls(**joined, classes=first.classes, protocol=first.protocol)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.image_ids)

    def boxes_of(self, picture: int) -> slice:
        """The rows of the box arrays that belong to the picture at index `picture` (not its image id)."""
        return slice(int(self.offsets[picture]), int(self.offsets[picture + 1]))

    def class_scores_of(self, rows: slice) -> NDArray[np.float32]:
        """(n, C) float32: a table of the scores of the boxes `rows`, as `boxes_of` gives them; 0 where one is left out.

        It is made anew, and large for many pictures.
        """
        start, stop, _ = rows.indices(len(self.boxes_xyxy))
        first, last = int(self.score_offsets[start]), int(self.score_offsets[stop])
        dense = np.zeros((stop - start, len(self.classes)), np.float32)
        boxes = np.repeat(np.arange(stop - start), np.diff(self.score_offsets[start : stop + 1]))
        dense[boxes, self.score_class_ids[first:last]] = self.scores[first:last]
        return dense

    def save(self, path: AnyPath) -> None:
        """Writes the file, atomically. Equal detections give equal bytes."""
        header = {
            "schema_version": SCHEMA_VERSION,
            "classes": list(self.classes),
            "protocol": dataclasses.asdict(self.protocol),
            "shard": self.shard,
        }
        encoded = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
        with atomic_file(output_path(path)) as file:
            write_arrays(file, {"header": encoded, **{name: getattr(self, name) for name in DTYPES}})

    @classmethod
    def load(cls, path: AnyPath) -> "RawDetections":
        """Reads what `save` wrote; the arrays stay in the file until they are used.

        Raises `EvaluationError` for a missing or damaged file, or one of another schema version.
        """
        path = input_path(path, what="raw detections")
        try:
            arrays = map_arrays(path)
            header = json_value(arrays.pop("header").tobytes())
            version = header["schema_version"]
            if version != SCHEMA_VERSION:
                raise EvaluationError(
                    f"{path}: schema version {version}, this program reads {SCHEMA_VERSION}; detect again"
                )
            protocol = {**header["protocol"], "network_hw": tuple(header["protocol"]["network_hw"])}
            names, shard = tuple(header["classes"]), header["shard"]
            return cls(**arrays, classes=names, protocol=Protocol(**protocol), shard=shard)
        except FileNotFoundError as error:
            raise EvaluationError(
                f"raw detections not found: {path}; make them with evaluate (--split, --also), or with detect"
            ) from error
        except EvaluationError as error:
            raise error if str(path) in str(error) else EvaluationError(f"{path}: {error}") from error
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise EvaluationError(f"{path}: not a raw-detections file, or a damaged one: {error}") from error


def offsets_of(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """(n + 1,): where each of n runs of these lengths begins, and the end of the last."""
    return np.append(0, np.cumsum(counts)).astype(np.int64)


DTYPES: dict[str, type[Any]] = {
    "image_ids": np.int64,
    "image_hw": np.int32,
    "offsets": np.int64,
    "boxes_xyxy": np.float32,
    "objectness": np.float16,
    "score_offsets": np.int64,
    "score_class_ids": np.int16,
    "scores": np.float32,
}
