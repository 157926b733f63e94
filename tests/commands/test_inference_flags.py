"""Every command that runs a network has the same flags for it, and says in one line that there is no GPU."""

import dataclasses
import json
import shutil
from pathlib import Path

import click
import pytest
import torch

from traffic_yolo.cli import main, traffic_yolo
from traffic_yolo.detection.inference_options import InferenceOptions


def flags_of(*names: str) -> dict[str, click.Option]:
    """The flags of a command, by the name of their option."""
    command: click.Command | None = traffic_yolo
    for name in names:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    return {str(option.name): option for option in command.params if isinstance(option, click.Option)}


@pytest.mark.parametrize("name", ["detect", "evaluate", "validate"])
def test_commands_that_infer_have_the_fields_of_the_options_as_flags(name: str) -> None:
    flags = flags_of(name)
    for field in dataclasses.fields(InferenceOptions):
        assert flags[field.name].opts == [f"--{field.name}"]
        assert flags[field.name].default == field.default
        assert flags[field.name].help == field.metadata["help"]


@pytest.mark.parametrize("names", [("train",), ("trial", "fine-tuning")])
def test_a_training_names_those_of_its_validation_and_shares_its_device(names: tuple[str, ...]) -> None:
    flags = flags_of(*names)
    for name in ("runtime", "precision", "batch"):
        assert flags[f"validation_{name}"].default == getattr(InferenceOptions(), name)
    assert flags["device"].default == InferenceOptions().device


@pytest.mark.parametrize(
    "arguments",
    [
        "detect --model {model} --dataset {data} --out {out}/d.npz",
        "evaluate --model {model} --dataset {data} --out {out}/evaluation",
        "validate --model {model} --dataset {data} --tuning {tuning} --out {out}/validation",
        "train --dataset {data} --out {out}/run --width 160 --height 96",
        "trial fine-tuning --dataset {data} --work {out}/work --width 160 --height 96",
    ],
    ids=lambda text: text.split()[0],
)
def test_a_gpu_that_is_not_there_is_one_line_and_exit_code_two(
    arguments: str,
    untrained_model: Path,
    small_data_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = shutil.copytree(untrained_model, tmp_path / "model")
    (model / "model.onnx").touch()  # the device is refused before anything is loaded
    (tmp_path / "tuning").mkdir()
    point = {"confidence_threshold": 0.3, "iou_threshold": 0.5}
    (tmp_path / "tuning" / "operating_point.json").write_text(json.dumps(point))
    out = tmp_path / "out"
    out.mkdir()
    places = {"model": model, "data": small_data_set, "tuning": tmp_path / "tuning", "out": out}
    with pytest.raises(SystemExit) as caught:
        main([*arguments.format(**places).split(), "--device", "cuda"])
    assert caught.value.code == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert printed[-1] == "error: device is cuda, but PyTorch sees no GPU; use cpu or auto"
    assert not any("Traceback" in line for line in printed)
    assert not list(out.rglob("*.npz"))
    assert not list(out.rglob("record.json"))
