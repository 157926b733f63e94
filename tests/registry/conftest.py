"""The four folders that a bundle is made of, and a data set beside them, with contents that agree with each other."""

import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judged_runs import detections, publish, write_set
from records import TRAINED_ON, made_up_record

from traffic_yolo.detection.protocol import detections_name
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.metrics.bootstrap import resample_weights

CFG = """[net]
width=96
height=64
channels=3

[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=16,12, 30,40
classes=2
num=2
"""

MakeRun = Callable[..., dict[str, Path]]
RESAMPLING = "traffic_yolo.registry.gates.judge.resample_weights"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


few = functools.partial(resample_weights, resamples=200)


@pytest.fixture(autouse=True)
def a_few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imagined models differ by much or by nothing: a tenth of the resamples tells."""
    monkeypatch.setattr(RESAMPLING, few)


@pytest.fixture
def make_run(make_run_in: Callable[[Path], MakeRun], tmp_path: Path) -> MakeRun:
    """Writes the folders of one run, and the data set `dataset` beside them, into the test's folder."""
    return make_run_in(tmp_path)


@pytest.fixture(scope="session")
def make_run_in() -> Callable[[Path], MakeRun]:
    """A `make_run` that writes into this folder."""
    return _make_run_in


@pytest.fixture(scope="session")
def small_and_large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo that nobody changes: see `zoo`."""
    place = tmp_path_factory.mktemp("zoo")
    make_run, folder = _make_run_in(place), place / "zoo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RESAMPLING, few)
        for year, (name, run) in enumerate(
            [("small", make_run(seed, ap=0.4 + seed / 100)) for seed in range(3)]
            + [("large", make_run(3, passed=False))],
            start=2020,
        ):
            for module in ("ledger", "history", "numbered_files"):
                patch.setattr(f"traffic_yolo.registry.{module}._now", lambda year=year: f"{year}0101T000000Z")
            publish(**run, zoo=folder, name=name)
    return folder


@pytest.fixture
def zoo(small_and_large: Path, tmp_path: Path) -> Path:
    """Three versions of `small`, the last in use, and one of `large` that failed its parity. Records of 2020 to 2023."""
    return shutil.copytree(small_and_large, tmp_path / "zoo", symlinks=True)


def _make_run_in(place: Path) -> MakeRun:
    """Writes the folders of one run, and the data set `dataset` beside them.

    `seed` changes the weights, `data` the data set, `found` what the model finds of the true boxes (`detections`).
    """

    def make(
        seed: int = 0,
        *,
        ap: float | None = 0.4,
        data: str = "d" * 64,
        passed: bool = True,
        network_size: int = 96,
        verdict: str = "not seen",
        found: dict[str, float] | float = 1.0,
        f1: float | None = 0.75,
        **of_set: int,
    ) -> dict[str, Path]:
        root = place / f"run{len(list(place.glob('run*')))}"
        folders = {name: root / name for name in ("model", "evaluation", "tuning", "validation")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        files = {
            "model.cfg": CFG.replace("width=96", f"width={network_size}").encode(),
            "model.weights": f"weights {seed}".encode(),
            "classes.names": b"CAR\ntraffic light\n",
            "labels.txt": b"CAR\ntraffic_light\n",
            "model.onnx": f"graph {seed}".encode(),
            "trained_on.json": json.dumps(TRAINED_ON).encode(),
        }
        for name, content in files.items():
            (folders["model"] / name).write_bytes(content)
        hashes = {key: sha256(files[f"model.{key}"]) for key in ("cfg", "weights", "onnx")}
        model = {"cfg_sha256": hashes["cfg"], "weights_sha256": hashes["weights"]}
        write(folders["model"] / "export.json", {"seen": 6400, "training": {"seed": seed}, "versions": {"torch": "2"}})
        judged = write_set(root / "dataset", data, **of_set)
        truth = sha256(judged.coco_path("test").read_bytes())
        record = evaluation_record(model, ap=ap, data=data, size=network_size, verdict=verdict, truth=truth)
        record.write(folders["evaluation"] / "record.json")
        made = detections(judged, Protocol(**record.protocol), found)
        made.save(folders["evaluation"] / detections_name("test"))
        thresholds = {"confidence_threshold": 0.35, "iou_threshold": 0.5}
        at_point = {"precision": 0.8, "recall": 0.7, "f1": f1}
        write(folders["tuning"] / "operating_point.json", {**thresholds, "model": model, "test": at_point})
        parity = {
            "passed": passed,
            "problems": [] if passed else ["AP50 falls from 0.6 to 0.3"],
            "agreement": 0.97,
            "explained_agreement": 0.99,
            "nms": thresholds,
            "protocol": model,
            "onnx_sha256": hashes["onnx"],
        }
        write(folders["validation"] / "parity.json", parity)
        for name in ("config_infer_primary.txt", "config_infer_primary_darknet.txt"):
            (folders["validation"] / name).write_text(f"[property]\n# {name}\n")
        return folders

    return make


def evaluation_record(
    model: dict[str, str], *, ap: float | None, data: str, size: int, verdict: str, truth: str
) -> EvaluationRecord:
    made_up = made_up_record()
    seen = {"verdict": verdict, "pictures": 9 if verdict in ("seen", "may have seen") else 0}
    return dataclasses.replace(
        made_up,
        metrics={**made_up.metrics, "ap": ap, "ap50": ap and ap + 0.05, "ap75": ap},
        protocol={**made_up.protocol, **model, "network_hw": (64, size), "images_fingerprint": f"{data}/test"},
        data={**made_up.data, "fingerprint": data, "ground_truth_sha256": truth},
        provenance={**made_up.provenance, **seen},
    )


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
