"""What the benchmark measures on: two networks, their data, their budgets, and the trainings that its kinds share."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

FOUND = "found"  # what a kind lost, judged by the value itself
LOW = "low"  # judged by the lower end of the paired interval


@dataclass(frozen=True)
class Case:
    """A network, its budget in updates, and the target of pruning: `saved` of the BFLOPs at a loss of AP50 below `lost`."""

    name: str
    saved: float
    lost: float
    judged_by: str  # FOUND or LOW
    first: int  # updates of the first training, from which every kind starts
    then: int  # updates after pruning; of the unpruned one as many
    qat: int  # updates of the one that feels INT8
    student: int  # updates of a student, with a teacher and without; 0: none

    def with_updates(self, updates: int) -> "Case":
        """The same with another budget, in the same proportions."""
        share = updates / self.first
        return replace(
            self, first=updates, then=round(self.then * share), qat=round(self.qat * share),
            student=round(self.student * share),
        )  # fmt: skip


CASES = {
    each.name: each
    for each in (
        Case("demo", saved=0.5, lost=0.01, judged_by=FOUND, first=300, then=300, qat=100, student=300),
        Case("yolo-fastest", saved=0.3, lost=0.02, judged_by=LOW, first=100, then=100, qat=50, student=0),
    )
}


@dataclass(frozen=True)
class Place:
    """Where one case and seed works: `folder` is its own, `dataset` that of the case; `importance` is of pruning."""

    case: Case
    seed: int
    folder: Path
    dataset: Path
    reference: Path
    importance: str

    def trained(self, name: str, start: dict[str, Any], updates: int, **options: Any) -> Path:
        """The folder of a training of that name; what is there already is taken, what is half there goes on."""
        run = self.folder / name
        if not (run / "summary.json").is_file():
            told = TrainingOptions(**start, max_batches=updates, seed=self.seed, **options)
            train(self.dataset, run, told, resume="auto")
        return run

    def before(self) -> Path:
        """The first training, from which every kind starts."""
        return self.trained("before", start_of(self.case, self.reference), self.case.first)


def place_of(case: Case, seed: int, out: Path, reference: Path, importance: str) -> Place:
    """The place of a case and seed within the results folder; converts the data set where it is not there."""
    folder = out / f"{case.name}-{case.first}-{case.then}-{seed}"
    return Place(case, seed, folder, data_of(case, out, reference), reference, importance)


def data_of(case: Case, out: Path, reference: Path) -> Path:
    """The data set of a case, converted once: validation and test are a site each."""
    folder = out / f"{case.name}-dataset"
    if folder.is_dir():
        return folder
    if case.name == "demo":
        write_share(out / "nas", SyntheticOptions())
        source, labels, sites = out / "nas" / "recordings", out / "nas" / "human_labels.json", "DE"
    else:
        traffic = reference / "traffic"
        source, labels, sites = traffic / "recordings", traffic / "human_labels.json", "CE"
    convert(ConvertOptions(str(source), labels=str(labels), val_sites=sites[0], test_sites=sites[1]), folder)
    return folder


def start_of(case: Case, reference: Path) -> dict[str, Any]:
    """What the first training starts from: the demo's cfg, or COCO's weights."""
    if case.name == "demo":
        return {}
    weights = reference / "weights"
    return {
        "cfg": str(weights / "yolo-fastest-1.1.cfg"),
        "weights": str(weights / "yolo-fastest-1.1.weights"),
        "weights_names": str(weights / "coco.names"),
        "class_seeds": "BUS=bus,TRUCK=truck,CAR=car,MOTORCYCLE=motorbike",
    }


def files_of(folder: Path) -> dict[str, Any]:
    """The options of a training that starts from a model folder."""
    names = {"cfg": "model.cfg", "weights": "model.weights", "weights_names": "classes.names"}
    return {key: str(folder / name) for key, name in names.items()}
