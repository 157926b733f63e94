"""The components of the step: each alone, and the gate in a pipeline that branches on it."""

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from traffic_yolo.snapshot.changes import GATES, GateOptions
from traffic_yolo.snapshot.component import gate, keep_snapshot, snapshot
from traffic_yolo_pipelines.local_run import run_locally

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def retrain(marker: str) -> None:
    """Stand for a training: leave a mark that this branch ran."""
    from pathlib import Path

    Path(marker).touch()


@dsl.pipeline(name="gated")
def gated(source: str, kept: str, cache: str, marker: str, min_new_frames: int = 1) -> None:
    taken = snapshot(source=source, previous=kept, snapshot_cache=cache)
    word = gate(listing=taken.outputs["listing"], previous=kept, min_new_frames=min_new_frames, min_new_sites=0)
    with dsl.If(word.output == "new"):
        trained = retrain(marker=marker)
        keep_snapshot(listing=taken.outputs["listing"], location=kept).after(trained)


def run(tmp_path: Path, number: int, **more: Any) -> bool:
    """Runs the pipeline and says whether the branch ran."""
    marker = tmp_path / f"trained-{number}"
    parameters = {
        "source": str(tmp_path / "share"),
        "kept": str(tmp_path / "kept.json"),
        "cache": str(tmp_path / "cache"),
    }
    run_locally(gated, {**parameters, "marker": str(marker), **more}, tmp_path / "runs")
    return marker.exists()


def test_branch_runs_when_there_is_new_data_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "1.jpg").write_bytes(b"one")
    assert run(tmp_path, 1)
    (tmp_path / "share" / "2.jpg").write_bytes(b"two")
    assert not run(tmp_path, 3, min_new_frames=2)
    (tmp_path / "share" / "3.jpg").write_bytes(b"three")
    assert run(tmp_path, 4, min_new_frames=2)
    assert len(json.loads((tmp_path / "kept.json").read_text())["files"]) == 3
    markdown = max((tmp_path / "runs").glob("*/snapshot/changes"), key=lambda path: path.stat().st_mtime_ns)
    assert markdown.read_text().startswith("**+2 frames; files: 2 new**")


def test_gate_has_the_defaults_and_words_of_the_options() -> None:
    parameters = inspect.signature(gate.python_func).parameters
    given = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert given == {field.name: field.default for field in dataclasses.fields(GateOptions)}
    assert not any("'" in word or '"' in word for word in GATES)


def test_gate_has_one_output_for_a_branch_to_see() -> None:
    assert list(gate.component_spec.outputs) == ["Output"]


@pytest.mark.parametrize("component", [snapshot, gate, keep_snapshot], ids=lambda component: component.name)
def test_every_parameter_is_described(component: Any) -> None:
    documented = inspect.getdoc(component.python_func) or ""
    for name in inspect.signature(component.python_func).parameters:
        assert f"{name}:" in documented, name
