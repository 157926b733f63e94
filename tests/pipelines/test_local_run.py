"""Local runs: the tasks see this machine's NAS, whatever path the pipeline gives it; what kfp exchanges is put back."""

import builtins
import logging
from pathlib import Path

import pytest
from kfp import dsl
from kfp.local import logging_utils

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


def test_tasks_that_run_at_once_leave_print_and_logger_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks of a loop enter and leave kfp's context in this order; the second puts the first one's print back."""
    first, second = logging_utils.indented_print(), logging_utils.indented_print()
    one_logger, other_logger = logging_utils.local_logger_context(), logging_utils.local_logger_context()

    def run_loop(_: object) -> None:
        for context in (first, one_logger, second, other_logger):
            context.__enter__()
        for context in (first, one_logger, second, other_logger):
            context.__exit__(None, None, None)
        assert builtins.print is not kept[0]

    root = logging.getLogger()
    kept = builtins.print, root.level, root.handlers[:]
    monkeypatch.setattr("traffic_yolo_pipelines.local_run.without_cluster_roots", lambda _: lambda: run_loop(None))
    with pytest.raises(ValueError, match="not enough values"):  # it wrote no folder of a run
        run_locally(one_task, {}, tmp_path / "runs")
    assert (builtins.print, root.level, root.handlers) == kept


def test_an_artifact_is_told_of_in_one_line_and_empty_metadata_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    from kfp import dsl
    from kfp.local.logging_utils import make_log_lines_for_outputs

    from traffic_yolo_pipelines.local_run import _short_artifacts

    outputs = {
        "model": dsl.Model(name="model", uri="/runs/1/train/model"),
        "metrics": dsl.Metrics(name="metrics", uri="/runs/1/train/metrics", metadata={"ap": 0.5}),
        "verdict": "improved",
    }
    with caplog.at_level("INFO"), _short_artifacts():
        for line in make_log_lines_for_outputs(outputs):
            logging.info(line)
    assert [record.getMessage() for record in caplog.records] == [
        "    model: /runs/1/train/model",
        "    metrics: /runs/1/train/metrics",
        "             {'ap': 0.5}",
        "    verdict: 'improved'",
    ]
