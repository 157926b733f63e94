"""One cell of the accuracy benchmark: a training by the public functions, and what its weights find on the judged site."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cells import BINARY, LAST, NETWORKS, UNTOUCHED, Cell
from darknet_binary import darknet_binary, train_with_darknet

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import Detections, NmsOptions, suppressed_to_floor
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.training.checkpoint import read_last
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import resolve
from traffic_yolo.training.start import start_network
from traffic_yolo.training.trainer import train

CLASS_SEEDS = "MOTORCYCLE=motorbike"  # BUS, CAR and TRUCK are COCO's own names


@dataclass(frozen=True)
class Judged:
    """All pictures of the five sites with their truth; `image_ids` by file name."""

    truth: GroundTruth
    image_ids: dict[str, int]
    sites: list[str]


class Workplace:
    """The data sets of the folds, made once in a folder; `reference` is the folder of reference material."""

    def __init__(self, folder: Path, reference: Path) -> None:
        """Makes nothing yet."""
        self.folder, self.reference = folder, reference

    def fold(self, cell: Cell) -> Path:
        """The data set whose test split is the cell's site, and whose val split is the cell's other one."""
        return self._converted(f"fold-{cell.site}", test_sites=cell.site, val_sites=cell.val_site)

    def judged(self) -> Judged:
        """The truth of all sites in one file, by which the folds are judged together."""
        data = DataSet.open(self._converted("all", splits="test"))
        images = data.split("test")
        truth = read_ground_truth(data.coco_path("test"), data.classes)
        by_id = {image.image_id: image for image in images}
        return Judged(
            truth,
            {image.file_name: image.image_id for image in images},
            [by_id[int(image_id)].site for image_id in truth.image_ids],
        )

    def _converted(self, name: str, **choices: str) -> Path:
        path = self.folder / "data" / name
        if not path.exists():
            source = self.reference / "traffic"
            options = ConvertOptions(str(source / "recordings"), labels=str(source / "human_labels.json"), **choices)
            convert(options, path)
        return path


def measure(cell: Cell, place: Workplace, keep: Path) -> dict[str, float]:
    """Trains, detects on the judged site, and writes the detections to `keep` with the pictures' file names.

    Gives the seconds that the training took: by the clock, and of processors in this process and those it started. Ours
    include two validations and the report, Darknet's make none.
    """
    data = DataSet.open(place.fold(cell))
    files = NETWORKS[cell.network]
    weights = place.reference / "weights"
    start = {
        "cfg": str(weights / files.cfg),
        "weights": str(weights / files.weights),
        "weights_names": str(weights / "coco.names"),
        "class_seeds": CLASS_SEEDS,
    }
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        started, busy = time.monotonic(), _processor_seconds()
        if cell.recipe == UNTOUCHED:
            width, height = cell.network_wh
            write_untouched(run, TrainingOptions(**start, width=width, height=height), data.classes)
        elif cell.recipe == BINARY:
            options = TrainingOptions(**start, **cell.options())
            network = write_untouched(run, options, data.classes)
            settings = resolve(options, network, num_pictures=len(data.split("train")))
            train_with_darknet(darknet_binary(), data, run, settings)
        else:
            train(data.root, run, TrainingOptions(**start, **cell.options()))
        seconds, cpu_seconds = time.monotonic() - started, _processor_seconds() - busy
        if cell.recipe in LAST:
            deliver_last(run)
        raw = detect_split(ModelFolder.open(run), data, "test")
    found = suppressed_to_floor(raw, NmsOptions())
    names = {image.image_id: image.file_name for image in data.split("test")}
    np.savez_compressed(
        keep,
        file_names=np.array([names[int(image_id)] for image_id in found.image_ids]),
        boxes_xyxy=found.boxes_xyxy,
        scores=found.scores,
        class_ids=found.class_ids,
    )
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1)}


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def deliver_last(run: Path) -> None:
    """Replaces the weights of a run by those after its last update."""
    network = Network.from_cfg(run / "model.cfg")
    network.load_state_dict(read_last(run / "checkpoints").averaged)
    network.save_weights(run / "model.weights")


def write_untouched(run: Path, options: TrainingOptions, classes: tuple[str, ...]) -> Network:
    """The network that a training of these options starts from, written as a model folder."""
    network = start_network(options, classes)
    run.mkdir()
    network.save_weights(run / "model.weights")
    network.cfg.write(run / "model.cfg")
    (run / "classes.names").write_text("".join(f"{name}\n" for name in classes))
    return network


def kept_detections(path: Path, judged: Judged) -> Detections:
    """The detections that `measure` kept, on the pictures of `judged`."""
    with np.load(path) as arrays:
        return Detections(
            np.array([judged.image_ids[str(name)] for name in arrays["file_names"]], np.int64),
            arrays["boxes_xyxy"],
            arrays["scores"],
            arrays["class_ids"],
        )
