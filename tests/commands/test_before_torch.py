"""What is refused is refused before anything slow is loaded: over every command, in one process that can load nothing."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from location_flags import EVERY, Flag

SLOW = ("torch", "numba", "scipy", "matplotlib", "kfp", "cv2", "onnxruntime", "openvino", "pycocotools", "h5py")
# Runs every list of arguments of argv[1]; a module that is slow cannot be imported, and says so
RUNNER = """
import contextlib, io, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in SLOW:
            raise RuntimeError(f"{name} was loaded")

sys.meta_path.insert(0, Blocker())
from traffic_yolo.cli import main

answers = []
for arguments in json.loads(sys.argv[1]):
    said = io.StringIO()
    code = "none"
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
        except RuntimeError as error:
            code = str(error)
    answers.append([code, said.getvalue().strip()])
print(json.dumps(answers))
"""
# Commands whose locations are not this machine's, so that nothing can be looked for
ELSEWHERE = ("pipeline submit", "schedule create", "schedule emit-cronjob")
READS_NOTHING_EARLY = {
    "run": "looks at all places at once (preflight)",
    "retrain": "looks at all places at once (preflight)",
    "compress run": "looks at all places at once (preflight), after kfp was loaded for its form",
}
OF_A_FORM = ("pipeline submit", "compress run")  # flags are made of a pipeline's form, for which kfp is loaded
# Values of flags that are needed, where any text will not do
PLAUSIBLE = {"--cron": "@daily", "--target": "onnx", "--fine-tune-layers": "heads", "--width": "416", "--height": "416",
             "--layers": "3", "--lease-seconds": "60", "--class-map": ""}  # fmt: skip


def answers(calls: list[list[str]], folder: Path) -> list[tuple[object, str]]:
    """Exit code (or what was loaded) and what was printed, for each call."""
    finished = subprocess.run(
        [sys.executable, "-c", f"SLOW = {SLOW!r}\n{RUNNER}", json.dumps(calls)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return [(code, said) for code, said in json.loads(finished.stdout)]


def call_of(command: tuple[str, ...], there: Path, **given: str) -> list[str]:
    """A call of a command with all that it needs, `there` for what is read, and what is `given` by parameter name."""
    flags, arguments = [], []
    for flag in (one for one in EVERY if one.command == command):
        name = str(flag.parameter.name)
        if name not in given and not flag.parameter.required:
            continue
        value = given.get(name, _plausible(flag, there))
        if isinstance(flag.parameter, click.Argument):
            arguments.append(value)
        else:
            flags += [flag.name, value]
    return [*command, *flags, *arguments]


def _plausible(flag: Flag, there: Path) -> str:
    if flag.use == "write":
        return "out"
    if flag.use:
        return str(there)
    if isinstance(flag.parameter.type, click.Choice):
        return str(flag.parameter.type.choices[0])
    return PLAUSIBLE.get(flag.name, "a")


def _is_elsewhere(flag: Flag) -> bool:
    path = " ".join(flag.command)
    return path.startswith(ELSEWHERE) or path in READS_NOTHING_EARLY


READ = [flag for flag in EVERY if flag.use == "read" and not _is_elsewhere(flag)]


def test_a_path_that_is_not_there_is_refused_by_its_flag_with_nothing_slow_loaded(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    assert len(READ) > 60
    calls = [call_of(flag.command, there, **{str(flag.parameter.name): "no/such/place"}) for flag in READ]
    others: list[Flag] = []
    for flag, call, (code, said) in zip(READ, calls, answers(calls, tmp_path), strict=True):
        if flag.parameter.name == "previous":  # the first of its kind has none
            assert code != 2 or "previous" not in said
            continue
        assert code == 2, (call, code, said)
        assert "\n" not in said, (call, said)
        if "no/such/place" not in said:  # flags that want another one beside them say so before
            others.append(flag)
            assert said.startswith("error: --"), (call, said)
            continue
        assert flag.name.removesuffix("s").lower() in said.lower() or f"--{flag.parameter.name}" in said, (call, said)
    assert len(others) < 0.15 * len(READ), [str(flag) for flag in others]


def test_an_unknown_flag_of_any_command_loads_nothing_slow(tmp_path: Path) -> None:
    commands = sorted({flag.command for flag in EVERY if not " ".join(flag.command).startswith(OF_A_FORM)})
    assert len(commands) > 50
    calls = [[*command, "--no-such-flag"] for command in commands]
    for call, (code, said) in zip(calls, answers(calls, tmp_path), strict=True):
        assert code == 2, (call, code, said)
        assert "--no-such-flag" in said


BAD_VALUES = {
    "train": ("max_batches", "0"),
    "convert": ("splits", "thirds"),
    "check": ("fail_on", "perhaps"),
    "export-labels": ("min_confidence", "7"),
    "drift": ("drift_limit", "2"),
    "select": ("confidence_threshold", "1"),
    "import-model": ("version", "v1"),
    "evaluate": ("iou_threshold", "1.5"),
    "detect": ("confidence_floor", "2"),
    "sweep": ("iou_thresholds", "a half"),
    "tune": ("least_truths", "-1"),
    "validate": ("batch", "0"),
    "quantize": ("split", "train"),
    "publish": ("minimum", "ap"),
    "predict": ("stride", "0"),
    "snapshot": ("jobs", "0"),
    "trial fine-tuning": ("confidence_threshold", "1"),
    "trial thresholds": ("iou_threshold", "0"),
    "zoo gc": ("keep", "0"),
    "storage gc": ("older_than", "1y"),
    "run": ("max_batches", "0"),
    "retrain": ("max_batches", "0"),
    "schedule create": ("timezone", "Mars/Base"),
}


def test_a_value_out_of_range_is_refused_with_nothing_slow_loaded(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    names = list(BAD_VALUES)
    known = {(" ".join(flag.command), flag.parameter.name) for flag in EVERY}
    assert {(name, BAD_VALUES[name][0]) for name in names} <= known
    calls = [call_of(tuple(name.split()), there, **{BAD_VALUES[name][0]: BAD_VALUES[name][1]}) for name in names]
    calls[names.index("storage gc")].append("--no-zoo")
    for call, (code, said) in zip(calls, answers(calls, tmp_path), strict=True):
        assert code == 2, (call, code, said)
        assert said.startswith("error: "), (call, said)
        assert "\n" not in said, (call, said)


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--help"]], ids=" ".join)
def test_the_package_runs_as_a_module(arguments: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "traffic_yolo", *arguments], capture_output=True, text=True, check=True
    )
    assert "traffic-yolo" in finished.stdout
