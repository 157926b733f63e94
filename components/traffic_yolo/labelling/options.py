"""What a user may choose about a selection; light, for the command line."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.dataset.options import SourceChoice, check_confidence
from traffic_yolo.dataset.picture_choice import PictureChoice
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import option


@dataclass(frozen=True, kw_only=True)
class SelectOptions(PictureChoice, SourceChoice):
    """One choice of pictures to be labelled. Raises `OptionsError` for values that make no sense."""

    keep_splits: str = option(
        dataclasses.MISSING,
        "Data set, or its splits.yaml: pictures of its val and test groups, and those that it has, are never taken.",
        location="read",
    )
    budget: int = option(200, "Most pictures that are taken.", least=1)
    detections: str = option(
        "",
        "What a model found: detections.jsonl of predict, or labels with scores in any format; empty: the boxes that "
        "the source has (of its device).",
        location="read",
    )
    calibration: str = option(
        "", "Camera calibration, or a folder of them; empty: those beside the recordings.", location="read"
    )
    confidence_threshold: float = option(
        0.3, "Score from which a box is reported, (0, 1): boxes near it are the most uncertain.", least=0, most=1
    )
    min_confidence: float = option(0.1, "Pre-labels with less confidence are left out of the task.", least=0, most=1)
    uncertainty_weight: float = option(1.0, "Weight of boxes whose score is near the threshold.", least=0)
    rare_weight: float = option(1.0, "Weight of classes of which few boxes are labelled.", least=0)
    radar_weight: float = option(1.0, "Weight of tracks without a box and boxes without a track.", least=0)
    near_distance: int = option(
        4, "Bits of 64 by which hashes of two pictures of a camera must differ more, to take both.", least=0, most=15
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_confidence(self.min_confidence)
        if not self.keep_splits:
            raise OptionsError("keep_splits: expected a data set, or its splits.yaml, found nothing")
        if not 0 < self.confidence_threshold < 1:
            raise OptionsError(
                f"confidence_threshold: expected a number in (0, 1), found {self.confidence_threshold:g}"
            )
        if not self.uncertainty_weight + self.rare_weight + self.radar_weight:
            raise OptionsError("uncertainty_weight, rare_weight, radar_weight: all are 0; give one of them a weight")
