"""What a training that should change next to nothing does change: COCO weights on COCO pictures, at a tiny rate.

Yolo-Fastest with its own 80 classes trains on the reference's COCO pictures, all layers, batch-norm statistics
following, 200 updates of adamw at 1e-6; its AP (0.50:0.95) on the same pictures is taken before and after the last
update. A loss, a resizing or a statistic that is not the one that the weights were trained with would move them off.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cells import NETWORKS
from measure import Workplace, deliver_last, write_untouched

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import NmsOptions, suppressed_to_floor
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

NAME = "coco-drift"
NETWORK = "yolo-fastest"
UPDATES, RATE = 200, 1e-6
ALLOWED = 0.005  # AP that may be lost
# A training validates: the fewest pictures that a share gives, since nothing is chosen by them
SPLITS = "train=0.99,val=0.01"


@dataclass(frozen=True)
class Drift:
    """AP before and after, on so many pictures, of which `trained` were trained on."""

    before: float
    after: float
    pictures: int
    trained: int

    @property
    def text(self) -> str:
        """One line, with the verdict on what may be lost."""
        verdict = "holds" if self.before - self.after <= ALLOWED else "MISSED"
        return (
            f"AP {self.before:.4f} before, {self.after:.4f} after {UPDATES} updates on {self.trained} of "
            f"{self.pictures} COCO pictures: {self.after - self.before:+.4f}, may lose {ALLOWED}: {verdict}"
        )


def drift(place: Workplace) -> Drift:
    """Trains and measures; the data sets are kept in the folder of `place`."""
    judged, trained = (DataSet.open(_converted(place, f"coco-{splits}", splits)) for splits in ("test", SPLITS))
    files = NETWORKS[NETWORK]
    weights = place.reference / "weights"
    options = TrainingOptions(
        cfg=str(weights / files.cfg),
        weights=str(weights / files.weights),
        max_batches=UPDATES,
        evaluate_every=UPDATES,
        optimizer="adamw",
        learning_rate=RATE,
        fine_tune_layers="all",
        batch_norm="train",
    )
    with tempfile.TemporaryDirectory() as scratch:
        start, run = Path(scratch) / "start", Path(scratch) / "run"
        write_untouched(start, options, trained.classes)
        train(trained.root, run, options)
        deliver_last(run)
        before, after = _ap(start, judged), _ap(run, judged)
    return Drift(before, after, len(judged.split("test")), len(trained.split("train")))


def _ap(model: Path, data: DataSet) -> float:
    found = suppressed_to_floor(detect_split(ModelFolder.open(model), data, "test"), NmsOptions())
    return evaluate_coco(data.coco_path("test"), found, classes=data.classes).ap


def _converted(place: Workplace, name: str, splits: str) -> Path:
    path = place.folder / "data" / name
    if not path.exists():
        convert(ConvertOptions(str(place.reference / "coco" / "instances_val.json"), splits=splits), path)
    return path


def write(found: Drift, folder: Path) -> None:
    """Keeps the numbers beside the cells."""
    numbers = {"before": found.before, "after": found.after, "pictures": found.pictures, "trained": found.trained}
    (folder / f"{NAME}.json").write_text(json.dumps(numbers) + "\n")
