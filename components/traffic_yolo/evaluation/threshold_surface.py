"""The surface of F1 over both thresholds, as a sweep left it, for the report."""

import csv
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import EvaluationError, StorageError
from traffic_yolo.storage import AnyPath, input_path

SWEEP_NAME = "sweep.csv"  # of the step tune; a test compares the names
COLUMNS = ("confidence_threshold", "iou_threshold", "f1")


@dataclass(frozen=True)
class ThresholdSurface:
    """`f1` (P, Q) float64 at P `confidences` and Q `iou_thresholds`, both rising; NaN for a cell that was not asked."""

    confidences: NDArray[np.float64]
    iou_thresholds: NDArray[np.float64]
    f1: NDArray[np.float64]


def read_surface(path: AnyPath) -> ThresholdSurface:
    """Reads sweep.csv, or that of the folder of a tune step.

    Raises `StorageError` for a missing file, `EvaluationError` for one without the columns or with no numbers in them.
    """
    path = input_path(path, what="sweep")
    file = path / SWEEP_NAME if path.is_dir() else path
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"sweep not found: {file}; give the folder that tune or sweep wrote") from error
    try:
        cells = np.array([[float(row[name]) for name in COLUMNS] for row in rows]).reshape(-1, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"{file}: expected numbers in the columns {', '.join(COLUMNS)}: {error}") from error
    if not len(cells):
        raise EvaluationError(f"{file}: the sweep has no cells")
    confidences, at_confidence = np.unique(cells[:, 0], return_inverse=True)
    ious, at_iou = np.unique(cells[:, 1], return_inverse=True)
    f1 = np.full((len(confidences), len(ious)), np.nan)
    f1[at_confidence, at_iou] = cells[:, 2]
    return ThresholdSurface(confidences, ious, f1)
