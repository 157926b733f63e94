"""A run that ends with a report: the tasks are the same, and the report comes after a failure as well."""

import re
from pathlib import Path

import pytest
from driver_replay import Compiled, Server, Task
from kfp import dsl

from traffic_yolo.cluster.settings import Summary
from traffic_yolo.container_images import image
from traffic_yolo.run_report.tasks import API_VARIABLE
from traffic_yolo.webhook import WEBHOOK_VARIABLE
from traffic_yolo_pipelines.catalogue import pipeline_named, pipeline_names
from traffic_yolo_pipelines.compile import compiled_for, write_package
from traffic_yolo_pipelines.local_run import run_locally
from traffic_yolo_pipelines.run_end import with_summary

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@dsl.component(base_image=image("train"), install_kfp_package=False)
def fail(text: str) -> None:
    """A task that fails."""
    raise SystemExit(text)


@dsl.pipeline(name="failing")
def failing(text: str = "no") -> None:
    """One task that fails."""
    fail(text=text)


def by_name(tasks: dict[str, Task]) -> dict[str, Task]:
    """The tasks by their names without kfp's numbers of groups."""
    return {re.sub(r"(for-loop|exit-handler|condition)-\d+/", r"\1/", name): task for name, task in tasks.items()}


def told(task: Task) -> dict[str, str]:
    """A task's own parameters, what other tasks left by their names without the exit handler."""
    own = {name: value for name, value in task.parameters.items() if not name.startswith("pipelinechannel")}
    return {name: re.sub(r"exit-handler-\d+/|-\d+(?=/)", "", str(value)) for name, value in own.items()}


@pytest.mark.many(2)
@pytest.mark.parametrize("name", sorted({*pipeline_names()} - {"retrain"}))
def test_tasks_and_form_are_those_of_the_pipeline(name: str, tmp_path: Path) -> None:
    pipeline = pipeline_named(name)
    write_package(compiled_for(pipeline), tmp_path / "plain.yaml")
    write_package(with_summary(pipeline, Summary()), tmp_path / "whole.yaml")
    plain, whole = (Compiled.read(tmp_path / f"{which}.yaml") for which in ("plain", "whole"))
    assert set(plain.parameters) == set(whole.parameters)
    assert plain.spec["pipelineInfo"] == whole.spec["pipelineInfo"]
    given = {key: f"nas://{key}" for key, spec in plain.parameters.items() if not spec.get("isOptional")}
    given |= {"nas_claim": "share"}
    before, after = (by_name(Server().run(compiled, given)) for compiled in (plain, whole))
    assert set(after) == {f"exit-handler/{task}" for task in before} | {"report-run"}
    for task, found in before.items():
        inside = after[f"exit-handler/{task}"]
        assert (inside.pod, inside.retry) == (found.pod, found.retry), task
        assert told(inside) == told(found), task
    report = after["report-run"]
    assert report.parameters["status"]["pipelineTaskName"] == "exit-handler-1"
    assert report.parameters["run_id"] == "run-1"
    assert (report.claims != {}) == ("zoo" in plain.parameters)


def test_pipeline_with_an_exit_handler_of_its_own_keeps_that_and_tells_the_webhook(tmp_path: Path) -> None:
    stated = Summary(webhook_secret="team-chat", webhook_key="url")
    write_package(with_summary(pipeline_named("retrain"), stated), tmp_path / "whole.yaml")
    tasks = Server().run(Compiled.read(tmp_path / "whole.yaml"), {"source": "nas://r", "zoo": "nas://z"})
    assert "report-run" not in tasks
    secret = {"name": "team-chat", "key": "url"}
    told = {name for name, task in tasks.items() if WEBHOOK_VARIABLE in task.environment}
    assert told == {"close-attempt"}
    reference = tasks["close-attempt"].environment[WEBHOOK_VARIABLE]["secretKeyRef"]
    assert {key: reference[key] for key in secret} == secret
    assert tasks["close-attempt"].claims == {"/nas": "nas-data"}


@pytest.mark.long
def test_report_is_written_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In kfp's own local run of the exit handler: the run fails all the same."""
    monkeypatch.setenv(API_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(RuntimeError):
        run_locally(with_summary(failing, Summary()), {}, tmp_path)
    (page,) = tmp_path.rglob("report-run/summary")
    assert page.read_text().startswith("# failing ended: ")
