"""The component under kfp.local: what a failed gate makes of a run, and what the run shows of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judged_runs import publish as publish_at_hand
from kfp import dsl

from traffic_yolo.registry.component import publish
from traffic_yolo.registry.zoo import current_version
from traffic_yolo_pipelines.local_run import StoppedByGates, run_locally

MakeRun = Callable[..., dict[str, Path]]
# kfp draws each with a decorator that warns about nothing we could change (see setup.cfg)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")


def pipeline_of(run: dict[str, Path], champion: dict[str, Path], **options: Any) -> Any:
    """Publishes a run that lies there; `champion`: the run of the version in use."""

    def given(path: Path, kind: Any) -> Any:
        return dsl.importer(artifact_uri=str(path), artifact_class=kind).output

    @dsl.pipeline(name="publish-alone")
    def alone() -> None:
        publish(
            model=given(run["model"], dsl.Model),
            dataset=given(run["model"].parent / "dataset", dsl.Dataset),
            champion=given(champion["evaluation"], dsl.Artifact),
            **{name: given(run[name], dsl.Artifact) for name in ("evaluation", "tuning", "validation")},
            **options,
        )

    return alone


@pytest.mark.long
def test_a_failed_gate_stops_the_run_or_is_kept_as_a_metric(make_run: MakeRun, tmp_path: Path) -> None:
    zoo, runs = tmp_path / "zoo", [make_run(0, boxes=10), make_run(1, boxes=10, found=0.5)]
    good = publish_at_hand(**runs[0], zoo=zoo, name="m")
    options = {"zoo": str(zoo), "model_name": "m"}
    with pytest.raises(
        StoppedByGates, match=r"^m 0002-\w+ is in the zoo, but not in use: in_use_map50: FAILED"
    ) as ended:
        run_locally(pipeline_of(runs[1], runs[0], **options), {}, tmp_path / "runs")
    folder = ended.value.folder
    assert folder.parent == tmp_path / "runs"
    document = json.loads((folder / "publish" / "publication").read_text())
    assert (document["is_current"], document["version"][:5]) == (False, "0002-")
    assert {"in_use_map50": "failed", "parity": "passed"}.items() <= {
        gate["name"]: gate["verdict"] for gate in document["gates"]
    }.items()
    assert "| in_use_map50 | failed |" in (folder / "publish" / "gates").read_text()
    card = (folder / "publish" / "card").read_text()
    assert f"<h1>Model card of m {document['version']}</h1>" in card
    assert "Its gates kept it out of use" in card

    kept = run_locally(pipeline_of(runs[1], runs[0], **options, on_failed_gate="keep"), {}, tmp_path / "runs")
    written = json.loads((kept.folder / "publish" / "executor_output.json").read_text())
    metrics = written["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert metrics["in_use_map50"] == pytest.approx(-0.495, abs=0.01)
    assert metrics["gates_against"] == 3
    assert written["parameterValues"]["Output"] == document["bundle"]
    assert current_version(zoo, "m") == good.version
