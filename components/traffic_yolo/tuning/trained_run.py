"""The work that a stored training stands for: train, then detect once on the validation split. Needs torch."""

from pathlib import Path

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import detect_split
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import choose_device, train

__all__ = ["infer", "train"]


def infer(run: Path, data: DataSet, split: str, out: Path, training: TrainingOptions) -> None:
    """Writes the raw detections of a split by a finished training."""
    model = ModelFolder.open(run)
    network = Network.read(model.cfg_path, model.weights_path)
    network.to(choose_device(training))
    detect_split(network, model, data, split).save(out)
