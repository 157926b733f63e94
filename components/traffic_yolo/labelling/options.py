"""What a user may choose about a selection; light, for the command line."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.dataset.options import SourceChoice, check_confidence
from traffic_yolo.dataset.pictures.choice import PictureChoice
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option


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
    drift: str = option(
        "",
        "drift.json of `traffic-yolo drift`: pictures of cameras and hours that drifted are worth more.",
        location="read",
    )
    drift_weight: float = option(1.0, "Weight of cameras and hours that drifted; without --drift nothing.", least=0)
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


@dataclass(frozen=True)
class DriftOptions:
    """One comparison of deployed detections with those of validation. Raises `OptionsError` for what makes no sense."""

    deployed: str = option(
        dataclasses.MISSING,
        "What the deployed model found: detections.jsonl of predict, KITTI dumps of DeepStream, labels with scores.",
        location="read",
    )
    validation: str = option(
        dataclasses.MISSING,
        "What the same model found on the validation split, at the same thresholds; in any of these forms.",
        location="read",
    )
    drift_limit: float = option(
        0.2, "Distance of distributions, beyond what chance gives, from which a camera and hour has drifted.",
        least=0, most=1,
    )  # fmt: skip
    least_pictures: int = option(20, "A camera and hour of fewer pictures is not judged.", least=2)

    def __post_init__(self) -> None:
        check_options(self)
