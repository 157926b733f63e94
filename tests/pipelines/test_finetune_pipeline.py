"""The pipeline: its YAML is what the source says, its parameters are the options, and it runs to the end."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from artifact_table import differing_files
from quick_yaml import load_documents, load_yaml

from traffic_yolo.commands.run_summary import run_summary
from traffic_yolo.container_images import IMAGES, image
from traffic_yolo.dataset.component import convert, convert_files
from traffic_yolo.deepstream.component import validate
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.evaluation.component import evaluate
from traffic_yolo.evaluation.evaluate import evaluate as evaluate_model
from traffic_yolo.export.component import export
from traffic_yolo.preflight.component import preflight
from traffic_yolo.registry.component import publish
from traffic_yolo.registry.zoo import current_version
from traffic_yolo.snapshot.component import snapshot
from traffic_yolo.tracking.step_numbers import read_step
from traffic_yolo.training.component import train
from traffic_yolo.tuning.component import tune
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline
from traffic_yolo_pipelines.local_run import run_locally

COMPONENTS = (preflight, snapshot, convert_files, convert, train, export, evaluate, tune, validate, publish)
# kfp draws each with a decorator that warns about nothing we could change (see setup.cfg)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def documents(path: Path) -> list[Any]:
    loaded = load_documents(path.read_text())
    for document in loaded:
        document.pop("sdkVersion", None)
    return loaded


def defaults(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def test_committed_yaml_is_what_the_source_compiles_to(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRAFFIC_YOLO_IMAGE_PREFIX", "TRAFFIC_YOLO_KFP_SERVER"):
        monkeypatch.delenv(name, raising=False)
    compile_to(finetune_pipeline, tmp_path / "compiled.yaml")
    committed = repository / "pipelines" / "finetune_pipeline.yaml"
    assert documents(committed) == documents(tmp_path / "compiled.yaml"), (
        "the committed YAML is stale; run `make compile`"
    )


def test_workflow_stays_far_below_what_an_api_server_takes(repository: Path) -> None:
    """Argo refuses workflows above 256 KiB; kfp puts every component's source into the pipeline."""
    assert (repository / "pipelines" / "finetune_pipeline.yaml").stat().st_size < 150_000


def test_every_executor_runs_an_image_of_ours(repository: Path) -> None:
    specification = documents(repository / "pipelines" / "finetune_pipeline.yaml")[0]
    executors = specification["deploymentSpec"]["executors"]
    assert len(executors) == len(COMPONENTS)
    used = {executor["container"]["image"] for executor in executors.values()}
    assert used <= {image(name) for name in IMAGES}
    assert not any("pip install" in " ".join(e["container"]["command"]) for e in executors.values())


def test_evaluate_component_has_the_suppression_defaults() -> None:
    given = defaults(evaluate.python_func)
    assert given["confidence_threshold"] == NmsOptions().confidence_threshold
    assert given["iou_threshold"] == NmsOptions().iou_threshold


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_every_parameter_of_a_component_is_described(component: Any) -> None:
    documented = inspect.getdoc(component.python_func) or ""
    for name in inspect.signature(component.python_func).parameters:
        assert f"{name}:" in documented, name


def test_user_error_is_one_line_before_the_first_task(tmp_path: Path) -> None:
    arguments = ["run", "--local", "--source", str(tmp_path / "no share"), "--zoo", str(tmp_path / "zoo")]
    finished = subprocess.run(
        [sys.executable, "-m", "traffic_yolo.cli", *arguments, "--out", str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith("error: ")
    assert "no share" in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stdout + finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_pipeline_runs_to_the_end_on_a_synthetic_share(tmp_path: Path) -> None:
    """Every task for real, in a process of its own; the training is too short to learn much, the wiring is all there."""
    from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share

    options = SyntheticOptions(sites=3, recordings_per_site=1, frames_per_recording=6, image_wh=(320, 192), seed=3)
    write_share(tmp_path / "nas", options)
    run = run_locally(
        finetune_pipeline,
        {
            "source": str(tmp_path / "nas" / "recordings"),
            "labels": str(tmp_path / "nas" / "human_labels.json"),
            "zoo": str(tmp_path / "zoo"),
            "width": "160",
            "height": "96",
            "batch": 4,
            "max_batches": 3,
            "train_settings": "mosaic: 0.25\nevaluate_every: 2",
            "tune_settings": "{confidences: 0.1:0.9:9}",
            "model_name": "smoke",
            "on_failed_gate": "keep",
        },
        tmp_path / "runs",
    )
    options = load_yaml((run.artifact("train", "run") / "options.yaml").read_text())
    assert (options["width"], options["mosaic"], options["evaluate_every"]) == (160, 0.25, 2)
    record = json.loads((run.artifact("evaluate", "evaluation") / "record.json").read_text())
    assert record["metrics"]["ap50"] is not None
    chosen = json.loads((run.artifact("tune", "tuning") / "operating_point.json").read_text())
    assert 0 < chosen["confidence_threshold"] < 1
    for task, report in [("convert", "report"), ("evaluate", "report"), ("tune", "report"), ("validate", "report")]:
        assert "<html" in run.artifact(task, report).read_text()
    written = json.loads((run.folder / "publish" / "executor_output.json").read_text())
    published = Path(written["parameterValues"]["Output"])
    assert {"model.cfg", "model.weights", "model.onnx", "SHA256SUMS"} <= set(os.listdir(published))
    assert published.is_relative_to(tmp_path / "zoo")
    # docs/architecture.md has each of these folders' files
    for artifact, folder in (
        ("data set", run.artifact("convert", "dataset")),
        ("training run", run.artifact("train", "run")),
        ("model folder", run.artifact("export", "model")),
        ("evaluation", run.artifact("evaluate", "evaluation")),
        ("tuning", run.artifact("tune", "tuning")),
        ("validation", run.artifact("validate", "validation")),
        ("bundle", published),
    ):
        assert differing_files(artifact, folder) == set(), artifact
        if artifact not in ("data set", "model folder"):
            assert len(read_step(folder).metrics) > 4, artifact

    # One recording in the test split decides nothing unless that is accepted: a gate says so, and nothing is in use
    assert current_version(tmp_path / "zoo", "smoke") is None
    assert written["artifacts"]["metrics"]["artifacts"][0]["metadata"]["recordings"] == 1
    summary = run_summary(run.folder, str(tmp_path / "zoo"))
    assert "FAILED 1 (limit at least 5) split test has 1 recording" in summary
    assert f"smoke {published.name}" in summary
    assert "NOT IN USE" in summary

    # The evaluation made both splits' detections, and all after it inferred nothing on them again
    assert record["detections"] == {"test": "made", "val": "made"}
    parity = json.loads((run.artifact("validate", "validation") / "parity.json").read_text())
    assert {**parity["protocol"], "network_hw": None} == {**record["protocol"], "network_hw": None}

    # A bundle tells what its weights have seen, and how they were trained, wherever it is carried
    bundle, data = shutil.copytree(published, tmp_path / "bundle"), run.artifact("convert", "dataset")
    again = evaluate_model(bundle, data, tmp_path / "again", split="val").record
    assert again.provenance["verdict"] == "seen"
    assert again.provenance["pictures"] == again.data["pictures"] > 0
    assert "the best weights were chosen on" in again.provenance["reasons"][0]
    assert again.training is not None
    assert (again.training["width"], again.training["max_batches"]) == (160, 3)
    metrics = json.loads((run.folder / "train" / "executor_output.json").read_text())["artifacts"]["metrics"]
    assert metrics["artifacts"][0]["metadata"]["val_ap50"] == again.metrics["ap50"]


@pytest.mark.long
def test_truncated_recording_stops_the_pipeline_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "nas" / "20210901_siteA").mkdir(parents=True)
    (tmp_path / "nas" / "20210901_siteA" / "20210901120000_0.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    parameters = {"source": str(tmp_path / "nas"), "zoo": str(tmp_path / "zoo")}
    with pytest.raises(TrafficYoloError, match=r"20210901120000_0\.h5"):
        run_locally(finetune_pipeline, parameters, tmp_path / "runs")
    assert not (tmp_path / "zoo").exists()
