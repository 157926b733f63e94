"""The work that a stored training stands for: train, then detect once on the validation split. Needs torch."""

from pathlib import Path

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

__all__ = ["infer", "train"]


def infer(run: Path, data: DataSet, split: str, out: Path, training: TrainingOptions) -> None:
    """Writes the raw detections of a split by a finished training, inferred as its validations were."""
    detect_split(ModelFolder.open(run), data, split, training.validation()).save(out)
