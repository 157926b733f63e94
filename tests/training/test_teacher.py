"""The model that a training learns from: where it may lie, what is refused of it, and trainings that have one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from traffic_yolo.cli import main
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import TrafficYoloError, TrainingError
from traffic_yolo.trained_on import TrainedOn
from traffic_yolo.training.history import read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.run import Run
from traffic_yolo.training.teacher import KeptOutputs, Teacher, fast_precision
from traffic_yolo.training.teacher_files import TeacherFiles
from traffic_yolo.training.trainer import train

CPU = torch.device("cpu")
TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "traffic_yolo.cli"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_cfg_text: str) -> Path:
    """A model folder of the tiny network with random weights, which says that it has seen one picture."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.cfg").write_text(tiny_cfg_text)
    (folder / "classes.names").write_text("red\nblue\n")
    network = Network.from_cfg(folder / "model.cfg", seed=3)
    with torch.no_grad():
        for head in network.heads:  # objects are few
            network.layers[head.layer_index - 1].conv.bias.view(head.num_anchors, -1)[:, 4] = -3
    network.save_weights(folder / "model.weights")
    TrainedOn("f" * 64, ("0123456789abcdef",), (), "", "").write(folder / "trained_on.json")
    return folder


@pytest.fixture
def options(tiny_cfg: Path, model: Path) -> TrainingOptions:
    """Four updates from nothing, taught by a network that knows the pictures."""
    return TrainingOptions(
        cfg=str(tiny_cfg), teacher=str(model), batch=4, max_batches=4, evaluate_every=2, jitter=0, flip=0, hue=0,
        saturation=1, exposure=1, optimizer="sgd", learning_rate=0.001, device="cpu",
    )  # fmt: skip


def stop_after(monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """The process dies in the update after `updates`."""
    update = Run._update

    def dying(run: Run, *arguments: Any) -> None:
        if run.iteration == updates:
            raise KeyboardInterrupt
        update(run, *arguments)

    monkeypatch.setattr(Run, "_update", dying)


def as_pair(model: Path, folder: Path) -> Path:
    """The model as a Darknet pair with its names."""
    folder.mkdir()
    for name in ("model.cfg", "model.weights"):
        shutil.copy(model / name, folder / name)
    shutil.copy(model / "classes.names", folder / "model.names")
    return folder / "model.weights"


def test_a_pair_of_darknet_files_is_the_teacher_that_its_folder_is(model: Path, tmp_path: Path) -> None:
    pair = TeacherFiles.find(as_pair(model, tmp_path / "pair"))
    assert pair.sha256 == TeacherFiles.find(model).sha256
    assert pair.classes == ("red", "blue")
    assert pair.trained_on is None
    assert TeacherFiles.find(model).trained_on is not None


def other_cfg(model: Path, folder: Path, *changes: tuple[str, str]) -> str:
    """A model folder whose cfg differs, with random weights for it."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("checkpoints"))
    text = (model / "model.cfg").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "model.cfg").write_text(text)
    Network.from_cfg(folder / "model.cfg").save_weights(folder / "model.weights")
    return str(folder)


def without_second_head(model: Path, folder: Path) -> str:
    text = (model / "model.cfg").read_text()
    return other_cfg(model, folder, (text[text.index("[route]") :], ""))


def with_other_names(model: Path, folder: Path) -> str:
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("checkpoints"))
    (folder / "classes.names").write_text("blue\nred\n")
    return str(folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _, new: str(new), "teacher not found: .*; check the path"),
        (with_other_names, r"knows 2 classes \(blue, red\), the data set has 2 \(red, blue\); expected the same in the same order"),
        (without_second_head, "has 1 heads, the network has 2; expected as many"),
        (
            lambda model, new: other_cfg(model, new, ("anchors=12,10, 24,18, 44,34", "anchors=12,10, 24,18, 44,36")),
            r"head 2 of .*model.cfg \(layer 8\) has anchors 44x36, that of the network \(layer 8\) 44x34",
        ),
        (
            lambda model, new: other_cfg(model, new, ("filters=16\nsize=3\nstride=2", "filters=16\nsize=3\nstride=1")),
            r"head 1 of .* has stride 2, that of the network \(layer 4\) 8; expected the same",
        ),
        (lambda model, new: str(as_pair(model, new).rename(new / "alone.weights")), "alone.weights: cfg not found: .*alone.cfg; put it there"),
    ],
)  # fmt: skip
def test_a_teacher_that_cannot_teach_is_one_line(
    make: Callable[[Path, Path], str], message: str, model: Path, tmp_path: Path, rectangles: Path,
    options: TrainingOptions,
) -> None:  # fmt: skip
    with pytest.raises(TrafficYoloError, match=message) as refused:
        train(rectangles, tmp_path / "run", replace(options, teacher=make(model, tmp_path / "other")))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--teacher nowhere", "error: --teacher: nowhere: not found; check the path, or that the share is mounted"),
        ("--teacher-weight 0", "error: --teacher-weight: expected a number above 0, found 0; leave teacher out to have none"),
    ],
)  # fmt: skip
def test_the_command_refuses_a_teacher_with_exit_code_2(
    flags: str, message: str, rectangles: Path, tiny_cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = f"train --dataset {rectangles} --cfg {tiny_cfg} --out {tmp_path / 'run'} {flags}"
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [message]


def test_what_is_kept_is_what_is_computed_and_no_more_than_fits(model: Path) -> None:
    files, network = TeacherFiles.find(model), Network.read(model / "model.cfg", model / "model.weights")
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    names = [("a",), ("b",), ("a",)]
    images[2] = images[0]
    plain = Teacher(files, network, device=CPU, keep_mib=None)(images, names)
    keeping = Teacher(files, network, device=CPU, keep_mib=1)
    first = keeping(images, names)
    for once, again, fresh in zip(first, keeping(images, names), plain, strict=True):
        assert once.shape == fresh.shape
        assert once.equal(again)
        torch.testing.assert_close(once, fresh)
    noise = torch.zeros_like(images)
    assert all(x.equal(y) for x, y in zip(keeping(noise, names), first, strict=True))  # nothing is computed again
    small = KeptOutputs(most_bytes=100)
    small.put("a", [torch.zeros(20)])
    small.put("b", [torch.zeros(20)])
    assert small.get("a") is not None
    assert (small.get("b"), small.num_bytes) == (None, 80)


def test_bfloat16_is_near_float32(model: Path) -> None:
    files, network = TeacherFiles.find(model), Network.read(model / "model.cfg", model / "model.weights")
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    exact, near = (
        Teacher(files, network, device=CPU, keep_mib=None, precision=precision)(images, [("a",), ("b",)])
        for precision in ("float32", "bfloat16")
    )
    for one, other in zip(exact, near, strict=True):
        assert other.dtype == torch.float32
        assert not one.equal(other)
        assert (one - other).abs().max() < 0.03 * one.abs().max()


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_a_gpu_computes_in_bfloat16_where_it_knows_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert fast_precision(torch.device("cuda")) == expected


@pytest.fixture
def figures_drawn_once() -> None:
    """A test here looks at its own curves."""


@pytest.mark.long
def test_a_taught_training_learns_from_it_and_says_so(
    rectangles: Path, tmp_path: Path, model: Path, options: TrainingOptions
) -> None:
    told: list[str] = []
    faster = replace(options, max_batches=12, evaluate_every=12, optimizer="adamw", learning_rate=0.01)
    train(rectangles, tmp_path / "run", faster, tell=told.append)
    parts = [row.distillation for row in read_history(tmp_path / "run" / "history.csv")]
    assert None not in parts
    assert parts[-1] < 0.8 * parts[0]  # type: ignore[operator]
    assert any(f"teacher {model.name}, in float32: its outputs are kept" in line for line in told)
    assert "distillation" in (tmp_path / "run" / "curves.svg").read_text()
    seen = TrainedOn.read(tmp_path / "run" / "trained_on.json")
    assert seen.teacher_weights == "model.weights"
    assert (len(seen.pictures), seen.pictures[-1]) == (5, "0123456789abcdef")


@pytest.mark.long
def test_a_taught_training_is_that_of_no_interruption(
    rectangles: Path, tmp_path: Path, model: Path, options: TrainingOptions
) -> None:
    # Batches of 3 of 4 pictures: of one after the interruption some outputs had been kept, and some not
    options = replace(options, batch=3, weights=str(model / "model.weights"))
    whole = train(rectangles, tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_after(monkeypatch, 2)
        with pytest.raises(KeyboardInterrupt):
            train(rectangles, tmp_path / "parts", options)
    parts = train(rectangles, tmp_path / "parts", options, resume=True)
    assert replace(parts, seconds=0) == replace(whole, seconds=0)
    assert [verdict.split for verdict in parts.verdicts] == ["val"]
    assert (tmp_path / "parts" / "model.weights").read_bytes() == (tmp_path / "whole" / "model.weights").read_bytes()


def test_another_teacher_under_the_same_name_is_not_resumed_with(
    rectangles: Path, tmp_path: Path, model: Path, options: TrainingOptions
) -> None:
    teacher = as_pair(model, tmp_path / "pair")
    options = replace(options, teacher=str(teacher), max_batches=1)
    train(rectangles, tmp_path / "run", options)
    Network.from_cfg(teacher.with_suffix(".cfg"), seed=5).save_weights(teacher)
    with pytest.raises(TrainingError, match="model.weights is not the teacher that the run began with: expected SHA"):
        train(rectangles, tmp_path / "run", options, resume=True)


@pytest.mark.skipif(
    os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="slow (TRAFFIC_YOLO_SLOW=1): two processes start torch"
)
def test_two_processes_are_taught_as_one_is(
    rectangles: Path, tiny_cfg: Path, model: Path, tmp_path: Path, options: TrainingOptions
) -> None:
    train(rectangles, tmp_path / "1", options)
    values: dict[str, Any] = {
        "cfg": tiny_cfg, "teacher": model, "batch": 4, "max-batches": 4, "evaluate-every": 2, "jitter": 0, "flip": 0,
        "hue": 0, "saturation": 1, "exposure": 1, "optimizer": "sgd", "learning-rate": 0.001, "device": "cpu",
    }  # fmt: skip
    flags = [text for name, value in values.items() for text in (f"--{name}", value)]
    command = [*TORCHRUN, "train", "--dataset", str(rectangles), *map(str, flags), "--out", str(tmp_path / "2")]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (read_history(tmp_path / name / "history.csv") for name in ("1", "2"))
    losses = np.array([[(row.loss, row.distillation) for row in rows] for rows in (one, two)], float)
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4)
    weights = [read_weights(tmp_path / name / "model.weights").values for name in ("1", "2")]
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-3, atol=1e-3)


def test_the_classes_of_the_data_are_the_teachers(model: Path, rectangles: Path) -> None:
    network = Network.read(model / "model.cfg", model / "model.weights")
    Teacher.open(model, network, DataSet.open(rectangles).classes, device=CPU)
    with pytest.raises(TrainingError, match=r"the data set has 1 \(red\)"):
        Teacher.open(model, network, ["red"], device=CPU)
