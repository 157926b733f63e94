"""What a model reports of one picture: boxes, scores and classes, and the ways to look at them or hand them on."""

import importlib
import importlib.util
from collections import Counter
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import xyxy_to_xywh
from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.errors import OptionsError
from traffic_yolo.predict.drawing import draw


@dataclass(frozen=True, repr=False, eq=False)
class Prediction:
    """K detections of one picture by falling score.

    `boxes_xyxy` (K, 4) float32 left, top, right, bottom in the picture's pixels, cut at its edges; `scores` (K,)
    float32 in [0, 1]; `class_ids` (K,) int64, indices into `classes`. `image_rgb` (H, W, 3) uint8. `name` is the
    picture's.
    """

    name: str
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    classes: tuple[str, ...]
    image_rgb: NDArray[np.uint8]

    def __len__(self) -> int:
        """The number of detections."""
        return len(self.scores)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class of each detection."""
        return tuple(self.classes[class_id] for class_id in self.class_ids.tolist())

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        height, width = self.image_rgb.shape[:2]
        return height, width

    def plot(self) -> NDArray[np.uint8]:
        """A new picture (H, W, 3) uint8 BGR, as OpenCV shows and writes it, with the boxes drawn."""
        image_bgr = np.asarray(cv2.cvtColor(self.image_rgb, cv2.COLOR_RGB2BGR), np.uint8)
        draw(image_bgr, self.boxes_xyxy, self.scores, self.class_ids, self.classes)
        return image_bgr

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """COCO results: `image_id`, `category_id` (class id + 1), `bbox` left, top, width, height, and `score`."""
        boxes_xywh = xyxy_to_xywh(self.boxes_xyxy.astype(np.float64))
        rows = zip(boxes_xywh.tolist(), self.class_ids.tolist(), self.scores.tolist(), strict=True)
        return [
            {"image_id": image_id, "category_id": category_id(class_id), "bbox": bbox, "score": score}
            for bbox, class_id, score in rows
        ]

    def to_supervision(self) -> Any:
        """A `supervision.Detections` with `class_name` in its data; `OptionsError` without that package."""
        if importlib.util.find_spec("supervision") is None:
            raise OptionsError("to_supervision: the package supervision is not installed; run pip install supervision")
        supervision = importlib.import_module("supervision")
        return supervision.Detections(
            xyxy=self.boxes_xyxy.copy(),
            confidence=self.scores.copy(),
            class_id=self.class_ids.copy(),
            data={"class_name": np.array(self.class_names, dtype=str)},
        )

    def __repr__(self) -> str:
        height, width = self.image_hw
        counts = Counter(self.class_names)
        found = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "no detections"
        return f"<Prediction {self.name}: {width} x {height} pixels, {found}>"

    def _repr_html_(self) -> str:
        """The drawn picture, for notebooks."""
        from traffic_yolo.dataset.pictures.drawn_boxes import sample_jpeg
        from traffic_yolo.html_report import picture

        return str(picture(sample_jpeg(self.plot()), repr(self)[1:-1]))
