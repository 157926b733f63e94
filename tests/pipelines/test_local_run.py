"""Local runs: the tasks see this machine's NAS, whatever path the pipeline gives it on a cluster."""

from pathlib import Path

import pytest
from kfp import dsl

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.snapshot.component import snapshot
from traffic_yolo.storage import NAS_ROOT_VARIABLE
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline
from traffic_yolo_pipelines.local_run import run_locally, without_cluster_roots

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")


@dsl.pipeline(name="one-task")
def one_task(source: str) -> None:
    """Takes a snapshot on a cluster's NAS."""
    task = snapshot(source=source)
    task.set_env_variable(NAS_ROOT_VARIABLE, NAS_MOUNT_PATH)
    task.set_env_variable("ANOTHER", "kept")


def test_task_reads_the_nas_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nas" / "recordings").mkdir(parents=True)
    (tmp_path / "nas" / "recordings" / "labels.txt").write_text("here\n")
    monkeypatch.setenv(NAS_ROOT_VARIABLE, str(tmp_path / "nas"))
    run = run_locally(one_task, {"source": "nas://recordings"}, str(tmp_path / "runs"))
    assert "labels.txt" in run.artifact("snapshot", "listing").read_text()


def test_user_without_a_nas_is_told_so_by_the_task_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(NAS_ROOT_VARIABLE, raising=False)
    with pytest.raises(TrafficYoloError, match=f"nas://recordings: set {NAS_ROOT_VARIABLE}"):
        run_locally(one_task, {"source": "nas://recordings"}, tmp_path / "runs")
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("pipeline", [one_task, finetune_pipeline], ids=["one task", "finetune"])
def test_only_the_nas_root_is_taken_out_and_only_of_the_copy(pipeline: object) -> None:
    def variables(of: object) -> list[str]:
        executors = of.pipeline_spec.deployment_spec["executors"].values()  # type: ignore[attr-defined]
        return [e["name"] for each in executors if "env" in each["container"] for e in each["container"]["env"]]

    before = variables(pipeline)
    assert NAS_ROOT_VARIABLE in before
    assert variables(without_cluster_roots(pipeline)) == [name for name in before if name != NAS_ROOT_VARIABLE]
    assert variables(pipeline) == before
