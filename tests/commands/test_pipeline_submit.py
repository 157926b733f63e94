"""`traffic-yolo pipeline submit`: every pipeline can be started, with its form's fields as flags and its tasks' checks."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from kfp_client_alone import alone
from kfp_server import KfpServer, kfp_server

from traffic_yolo.cli import main
from traffic_yolo.commands.form_flags import OF_PODS, PipelineForm
from traffic_yolo.commands.pipeline import submit_command
from traffic_yolo_pipelines.catalogue import pipeline_named, pipeline_names

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
DATA, ZOO = {"source": "nas://recordings"}, {"zoo": "nas://zoo"}
# What each pipeline cannot do without
NEEDED = {
    "compress": {"dataset": "nas://dataset", **ZOO},
    "convert": DATA,
    "evaluate": {"dataset": "nas://dataset", **ZOO, "model-name": "traffic"},
    "finetune": {**DATA, **ZOO},
    "retrain": {**DATA, **ZOO},
    "shards": {**DATA, **ZOO},
    "trainjob": {**DATA, **ZOO, "train-work": "nas://.work"},
    "tune": {"search-experiment": "nas://experiment.yaml"},
}


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[KfpServer]:
    """One for all: each test asks for its own run's id."""
    with kfp_server() as running:
        yield running


def submit(host: str, name: str, *flags: str, **given: str) -> int:
    """The exit code of `pipeline submit` with what the pipeline needs, and `given` in place of some of it."""
    needed = {**NEEDED[name], **{key.replace("_", "-"): value for key, value in given.items()}}
    texts = [f"--{key}={value}" for key, value in needed.items() if value]
    with pytest.raises(SystemExit) as caught:
        main(["pipeline", "submit", name, "--host", host, "--namespace", "team-vision", *texts, *flags])
    return int(caught.value.code or 0)


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was said, of what was not done."""
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    return line.removeprefix("error: ")


@pytest.mark.many(3)
@pytest.mark.parametrize("name", pipeline_names())
def test_every_pipeline_can_be_started(name: str, server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(server.host, name) == 0
    assert server.faults == []
    run = server.started[capsys.readouterr().out.splitlines()[-1]]
    made = server.pipeline_of(run)
    assert made.spec["pipelineInfo"]["name"] == f"traffic-yolo-{name}"
    # All other fields have the values that the form's own defaults are
    given = run["runtime_config"]["parameters"]
    assert set(given) == set(made.parameters)
    defaults = {key: one["defaultValue"] for key, one in made.parameters.items() if "defaultValue" in one}
    needed = {key.replace("-", "_").removeprefix("search_"): value for key, value in NEEDED[name].items()}
    assert given == defaults | needed


@pytest.mark.parametrize("name", pipeline_names())
def test_every_field_of_a_form_has_a_flag_that_is_explained(name: str) -> None:
    command = submit_command.get_command(click.Context(submit_command), name)
    assert command is not None
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []
    flags = {one.name for one in command.params}
    fields = {field.name: flag for flag, field in PipelineForm.of(name).fields.items()}
    assert {*fields, *(set(OF_PODS) & flags)} == set(inspect.signature(pipeline_named(name).pipeline_func).parameters)
    assert set(fields.values()) <= flags


def test_settings_and_documents_of_this_machine_are_sent_as_text(
    server: KfpServer, tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.yaml").write_text("mosaic: 0.25\npolicy: cosine\n")
    (tmp_path / "job.yaml").write_text("nodes: 2\n")
    flags = [
        "--train-settings",
        str(tmp_path / "train.yaml"),
        "--trainjob",
        str(tmp_path / "job.yaml"),
        "--width",
        "64",
    ]
    assert submit(server.host, "trainjob", *flags) == 0
    given = server.started[capsys.readouterr().out.splitlines()[-1]]["runtime_config"]["parameters"]
    assert (given["train_settings"], given["trainjob"]) == ("mosaic: 0.25\npolicy: cosine\n", "nodes: 2\n")
    assert given["width"] == "64"
    file = repository / "katib" / "thresholds_experiment.yaml"
    assert submit(server.host, "tune", "--search-namespace", "team-katib", search_experiment=str(file)) == 0
    given = server.started[capsys.readouterr().out.splitlines()[-1]]["runtime_config"]["parameters"]
    assert (given["experiment"], given["namespace"]) == (file.read_text(), "team-katib")


def test_a_training_of_what_is_pruned_may_freeze_layers(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    """It starts from weights, though no file of the form has them yet."""
    flags = ["--fine-tune-layers=neck_and_heads", "--train-settings={batch_norm: frozen}"]
    assert submit(server.host, "compress", *flags) == 0
    given = server.started[capsys.readouterr().out.splitlines()[-1]]["runtime_config"]["parameters"]
    assert (given["fine_tune_layers"], given["cfg"], given["weights"]) == ("neck_and_heads", "", "")
    assert submit(server.host, "compress", "--fine-tune-layers=tail") == 2
    assert refused(capsys).startswith("--fine-tune-layers")


def test_cluster_file_gives_names_and_gpus(
    server: KfpServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cluster.yaml").write_text("nas: {claim: share}\ngpu: {count: 2}\nservice_account: runner\n")
    assert submit(server.host, "evaluate", "--cluster", str(tmp_path / "cluster.yaml")) == 0
    run = server.started[capsys.readouterr().out.splitlines()[-1]]
    assert run["service_account"] == "runner"
    given = run["runtime_config"]["parameters"]
    assert given["gpus"] == "2"
    assert not {"nas_claim", "s3_secret"} & set(given)
    assert submit(server.host, "evaluate", "--cluster", str(tmp_path / "cluster.yaml"), "--nas-claim", "x") == 2
    assert refused(capsys) == "--nas-claim: the cluster file names it; leave the flag out"


REFUSED = {
    ("finetune", "--gpus=-1"): "--gpus: expected a whole number of 0 or more, found -1",
    ("finetune", "--gpus=1 --train-settings={device:cpu}"): "--gpus asks for 1, but --device is cpu",
    ("finetune", "--source=recordings"): "--source: recordings: a relative path means nothing in a pod",
    ("finetune", "--train-work=/home/me/work"): "--train-work: /home/me/work: a path of this machine",
    ("finetune", "--model-name=a/b"): "model name 'a/b'",
    ("finetune", "--minimum=map50"): "--minimum",
    ("shards", "--data-store=store"): "--data-store: store: a relative path means nothing in a pod",
    ("trainjob", "--trainjob={nodes:0}"): "--trainjob: nodes: expected at least 1, found 0",
    ("trainjob", "--trainjob=nothing.yaml"): "--trainjob: file not found: nothing.yaml",
    ("convert", "--splits=some"): "splits",
    ("convert", "--convert-settings={bach:8}"): "--convert-settings: unknown option 'bach'",
    ("convert", "--nas-claim=Not_A_Name"): "--nas-claim: expected a name in Kubernetes",
    ("evaluate", "--weights=nas://w"): "--zoo: weights names another model",
    ("evaluate", "--source=nas://r"): "--dataset: it is taken as it was converted, source would be without effect",
    ("evaluate", "--compare-with=s3://lab/zoo"): "--compare-with: s3://lab/zoo: a pod has no credentials",
    ("evaluate", "--gpus=1 --evaluate-settings={device:cpu}"): "--gpus asks for 1, but device cpu",
    ("evaluate", "--evaluate-settings={shards:2}"): "--evaluate-settings: unknown option 'shards'",
    ("tune", "--search-experiment=nothing.yaml"): "--search-experiment: file not found: nothing.yaml",
    ("tune", "--search-experiment={broken}"): "--search-experiment: ",
    ("tune", "--timeout-hours=0"): "--timeout-hours: expected a time above 0",
    ("retrain", "--max-batches=0"): "--max-batches: expected at least 1",
}


@pytest.mark.parametrize(("name", "flags"), REFUSED, ids=map(" ".join, REFUSED))
def test_what_a_task_would_refuse_is_refused_before_the_server_is_asked(
    name: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.yaml").write_text("kind: Experiment\nspec: {}\n")
    words = REFUSED[name, flags]
    given = [flag.replace(":", ": ") if "={" in flag else flag for flag in flags.split()]
    given = [flag.replace("{broken}", "broken.yaml") for flag in given]
    assert submit("http://127.0.0.1:9", name, *given) == 2
    assert words in refused(capsys)


def test_pipeline_that_is_none_is_a_wrong_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["pipeline", "submit", "finetun"])
    assert caught.value.code == 2
    assert "No such command 'finetun'" in capsys.readouterr().err
