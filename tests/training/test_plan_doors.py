"""A plan by regular expression comes in through settings files and Python, and through no other door."""

from pathlib import Path

import pytest

from traffic_yolo.cli import main
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import described
from traffic_yolo.training.checkpoint import read_checkpoint
from traffic_yolo.training.options import TrainingOptions

EXPRESSION = "re:[67]_conv.*"
SAID = f"takes no text that begins with re:, found '{EXPRESSION}'; give it in"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "command",
    [
        "train --dataset {} --out {}/out --weights w",
        "train --dataset {} --out {}/out --weights w --emit trainjob",
        "trial fine-tuning --dataset {} --work {}/out --weights w",
        "run --source {} --zoo {}/zoo --weights w",
        "run --submit --host http://localhost --source {} --zoo {}/zoo --weights w",
    ],
    ids=["train", "train-emit", "trial", "run", "run-submit"],
)
def test_no_flag_takes_it(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, *command.replace("{}", str(tmp_path)).split(), f"--fine-tune-layers={EXPRESSION}")
    assert line.startswith(f"error: --fine-tune-layers: a flag {SAID} a settings file (--settings FILE")
    assert list(tmp_path.iterdir()) == []


def test_darknet_freeze_has_no_settings_and_names_python(
    tiny_cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--cfg", tiny_cfg, "--fine-tune-layers", EXPRESSION, "--out", tmp_path / "f.cfg")
    line = refused(capsys, "darknet", "freeze", *arguments)
    assert line == f"error: --fine-tune-layers: a flag {SAID} Python (traffic_yolo.training.freeze)"
    assert not (tmp_path / "f.cfg").exists()


def test_no_parameter_of_a_pipeline_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dsl = pytest.importorskip("kfp.dsl", reason="kfp is not installed")
    from traffic_yolo.training.component import train

    artifacts = {
        "dataset": dsl.Dataset(uri=str(tmp_path / "dataset")), "run": dsl.Model(uri=str(tmp_path / "run")),
        "report": dsl.HTML(uri=str(tmp_path / "report")), "metrics": dsl.Metrics(uri=str(tmp_path / "metrics")),
    }  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        train.python_func(**artifacts, weights="w", fine_tune_layers=EXPRESSION)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: fine_tune_layers: a parameter {SAID} a settings file")
    with pytest.raises(SystemExit):  # its settings do: what is missing now is the data set
        train.python_func(**artifacts, weights="w", settings=f"fine_tune_layers: '{EXPRESSION}'")
    assert capsys.readouterr().err.startswith("error: data set not found")


def test_no_value_of_katib_takes_it() -> None:
    pytest.importorskip("kubeflow_katib_api", reason="kubeflow-katib-api is not installed")
    from traffic_yolo.tuning.fine_tuning_experiment import FineTuningOptions

    with pytest.raises(OptionsError, match="fine_tune_layers: a value of Katib takes no text that begins with re:"):
        FineTuningOptions("/nas/d", "/nas/s", TrainingOptions(weights="w"), fine_tune_layers=("all", EXPRESSION))


def test_a_settings_file_takes_it(
    rectangles: Path, tiny_cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Network.from_cfg(tiny_cfg, seed=3)
    start.save_weights(tmp_path / "start.weights")
    options = TrainingOptions(
        cfg=str(tiny_cfg), weights=str(tmp_path / "start.weights"), fine_tune_layers=EXPRESSION, batch=2, max_batches=1,
        burn_in=0, device="cpu",
    )  # fmt: skip
    (tmp_path / "settings.yaml").write_text(described(options))
    with pytest.raises(SystemExit) as ended:
        main(f"train --dataset {rectangles} --settings {tmp_path / 'settings.yaml'} --out {tmp_path / 'run'}".split())
    assert ended.value.code == 0
    assert "2 of 9 layers train" in capsys.readouterr().out
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt").network
    changed = {int(name.split(".")[1]) for name, value in start.state_dict().items() if not value.equal(last[name])}
    assert changed == {6, 7}
    assert TrainingOptions.read(tmp_path / "run" / "settings.yaml").fine_tune_layers == EXPRESSION


def test_a_trainjob_passes_it_on_as_settings() -> None:
    """The pods' command line is one that takes flags, and its flag refuses the expression."""
    pytest.importorskip("kubeflow_trainer_api", reason="kubeflow-trainer-api is not installed")
    from traffic_yolo.commands import train
    from traffic_yolo.training.trainjob import training_command

    options = TrainingOptions(weights="/nas/w", fine_tune_layers="re:1: '[0-9]\"#é", batch=8)
    command = training_command("/nas/d", "/nas/r", options, max_restarts=0)
    context = train.command.make_context("train", command[command.index("train") + 1 :])
    names = set(TrainingOptions.__dataclass_fields__)
    assert TrainingOptions(**{name: value for name, value in context.params.items() if name in names}) == options
