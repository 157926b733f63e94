"""The pipeline that makes a model smaller: compiled as committed, and from Darknet's files to a version of the zoo."""

import inspect
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from quick_yaml import load_documents

from traffic_yolo.cli import main
from traffic_yolo.compression.component import compression_report, prune
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.pruned_from import PrunedFrom
from traffic_yolo.registry.zoo_list import list_zoo
from traffic_yolo.trained_on import TrainedOn
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.compress_pipeline import compress_pipeline
from traffic_yolo_pipelines.local_run import LocalRun

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
MOST_BYTES = 200_000  # Argo refuses workflows above 256 KiB; kfp puts every component's source into the pipeline


def documents(path: Path) -> list[Any]:
    loaded = load_documents(path.read_text())
    for document in loaded:
        document.pop("sdkVersion", None)
    return loaded


def test_committed_yaml_is_what_the_source_compiles_to(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TRAFFIC_YOLO_IMAGE_PREFIX", "TRAFFIC_YOLO_KFP_SERVER"):
        monkeypatch.delenv(variable, raising=False)
    compile_to(compress_pipeline, tmp_path / "compiled.yaml")
    committed = repository / "pipelines" / "compress_pipeline.yaml"
    assert documents(committed) == documents(tmp_path / "compiled.yaml"), "stale; run `make compile`"
    assert committed.stat().st_size < MOST_BYTES


def test_training_starts_from_the_pruned_model_and_not_from_the_files_of_the_form(repository: Path) -> None:
    (pipeline, *_) = load_documents((repository / "pipelines" / "compress_pipeline.yaml").read_text())
    inputs = pipeline["root"]["dag"]["tasks"]["train"]["inputs"]
    assert inputs["artifacts"]["start"]["taskOutputArtifact"]["producerTask"] == "prune"
    assert not {"cfg", "weights", "weights_names", "class_seeds"} & set(inputs["parameters"])


@pytest.mark.parametrize("component", [prune, compression_report], ids=["prune", "compression_report"])
def test_every_parameter_of_a_component_is_described(component: Any) -> None:
    documented = inspect.getdoc(component.python_func) or ""
    for name in inspect.signature(component.python_func).parameters:
        assert f"{name}:" in documented, name


@pytest.fixture(scope="module")
def calm_model(tmp_path_factory: pytest.TempPathFactory, untrained_model: Path) -> Path:
    """The untrained model with heads whose boxes stay within all numbers when batch-norm is measured anew."""
    folder = shutil.copytree(untrained_model, tmp_path_factory.mktemp("calm") / "model")
    network = Network.read(folder / "model.cfg", folder / "model.weights")
    for head in network.heads:
        network.layers[head.layer_index - 1].get_parameter("conv.weight").data /= 700
    network.save_weights(folder / "model.weights")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, calm_model: Path, small_data_set: Path) -> LocalRun:
    """A whole run on Darknet's files, two updates long."""
    if not os.environ.get("TRAFFIC_YOLO_SLOW"):
        pytest.skip("set TRAFFIC_YOLO_SLOW: nine tasks, minutes")
    folder = tmp_path_factory.mktemp("compressed")
    names = {"cfg": "model.cfg", "weights": "model.weights", "weights-names": "classes.names"}
    places = {key: calm_model / name for key, name in names.items()}
    places |= {"dataset": small_data_set, "zoo": folder / "zoo", "out": folder / "runs"}
    short = ("--bflops-ratio=0.3", "--prune-settings={reestimate_pictures: 2}", "--max-batches=2", "--batch=2")
    flags = [*short, "--accept-few", "--force-reason=a test", "--on-failed-gate=keep"]
    with pytest.raises(SystemExit) as ended:
        main(["compress", "run", *(f"--{key}={place}" for key, place in places.items()), *flags])
    assert not ended.value.code
    (run,) = (folder / "runs").iterdir()
    return LocalRun(run)


def test_a_smaller_model_goes_to_the_zoo_and_says_what_it_was_pruned_from(finished: LocalRun, calm_model: Path) -> None:
    model = finished.artifact("export", "model")
    before, after = Cfg.read(calm_model / "model.cfg"), Cfg.read(model / "model.cfg")
    filters = [[layer.get_int("filters", 0) for layer in cfg.layers] for cfg in (before, after)]
    assert sum(filters[1]) < sum(filters[0])
    pruned = PrunedFrom.read(model / "pruned.json")
    assert pruned.after.bflops <= 0.7 * pruned.before.bflops
    assert TrainedOn.read(model / "trained_on.json").start_weights_sha256 == pruned.weights_sha256
    (version,) = (path for path in finished.folder.parent.parent.glob("zoo/*/*") if (path / "card.json").is_file())
    lineage = json.loads((version / "card.json").read_text())["lineage"]
    assert lineage["pruned_from"]["weights_sha256"] == pruned.parent_weights_sha256
    assert (version / "pruned.json").is_file()
    assert list_zoo(finished.folder.parent.parent / "zoo")


def test_the_report_sets_both_side_by_side(finished: LocalRun) -> None:
    folder = finished.artifact("compression-report", "comparison")
    found = json.loads((folder / "compression.json").read_text())
    assert found["after"]["bflops"] < found["before"]["bflops"]
    assert {row["runtime"] for row in found["latency_ms"]} >= {"pytorch", "onnxruntime"}
    assert {row["name"] for row in found["comparison"]["differences"]} >= {"f1"}
    page = finished.artifact("compression-report", "report").read_text()
    assert "Filters by layer" in page
