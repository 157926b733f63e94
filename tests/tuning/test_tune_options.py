"""The texts that `sweep` and `tune` take: their defaults are the library's, and each reaches its option."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from traffic_yolo.cli import main
from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.metrics.objective import Objective
from traffic_yolo.tuning.sweep_options import SweepOptions
from traffic_yolo.tuning.tune_options import TuneOptions


def read(*arguments: str) -> SweepOptions:
    seen: list[SweepOptions] = []

    @click.command()
    @step_options(TuneOptions)
    def command(**flags: Any) -> None:
        seen.append(TuneOptions(**flags).sweep())

    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_without_flags_the_options_are_the_defaults() -> None:
    assert read() == SweepOptions()


def test_every_flag_reaches_its_option() -> None:
    options = read(
        *("--objective", "cost", "--miss-cost", "3", "--false-alarm-cost", "0.5", "--class-costs", "BUS=5:1"),
        *("--false-positives-per-picture", "0.2", "--confidences", "0.1:0.3:3", "--iou-thresholds", "0.4,0.5"),
        *("--kinds", "all", "--topk", "100,300", "--method", "adaptive", "--per-class", "--least-truths", "7"),
    )
    assert options == SweepOptions(
        objective=Objective("cost", 0.2, 3.0, 0.5, {"BUS": (5.0, 1.0)}),
        confidences=(0.1, 0.2, 0.3),
        iou_thresholds=(0.4, 0.5),
        kinds=("default", "greedynms", "diounms"),
        limits=(100, 300),
        method="adaptive",
        per_class=True,
        least_truths=7,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--detections", "no.npz", "--truth", "t.json", "--out", "o"], "--detections: no.npz: not found"),
        (["merge-detections", "no.npz", "--out", "o"], "SHARDS: no.npz: not found"),
        (["compare", "a", "b", "--dataset", "d"], "FIRST: a: not found"),
        (
            ["tune", "--evaluation", "{tmp}", "--dataset", "{tmp}", "--out", "o", "--topk", "x"],
            "topk: expected whole numbers",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
