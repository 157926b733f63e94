"""Whoever checks, converts, lints and compares needs no PyTorch: it is an extra, and its absence is one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from odd_recordings import write_good

REPOSITORY = Path(__file__).resolve().parents[2]
# Runs every list of arguments of argv[1] as if PyTorch had never been installed
RUNNER = """
import contextlib, io, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from traffic_yolo.cli import main

answers = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code or 0
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""
CFG = str(REPOSITORY / "components" / "traffic_yolo" / "training" / "cfg" / "traffic-small.cfg")
EXPERIMENT = str(REPOSITORY / "katib" / "thresholds_experiment.yaml")
ABSENT = 'error: this needs torch, which is not installed: pip install "traffic-yolo[train]"\n'


@pytest.fixture(scope="module")
def answers(small_data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """The first words of each command -> exit code, stdout and stderr; all of one process."""
    place = tmp_path_factory.mktemp("without torch")
    recording = write_good(place / "nas" / "one.h5")
    zoo = place / "zoo" / "small"
    zoo.mkdir(parents=True)
    for name in ("model.cfg", "model.weights", "classes.names"):
        (zoo / name).write_text("")
    dataset, model = str(small_data_set), str(place / "model")
    Path(model).mkdir()
    calls = {
        "--help": ["--help"],
        "check": ["check", dataset],
        "atm inspect": ["atm", "inspect", str(recording.parent)],
        "convert": ["convert", "--source", dataset, "--out", str(place / "converted")],
        "diff": ["diff", dataset, str(place / "converted")],
        "export-labels": ["export-labels", "--source", dataset, "--to", "kitti", "--out", str(place / "kitti")],
        "darknet show": ["darknet", "show", "--cfg", CFG],
        "darknet lint": ["darknet", "lint", "--cfg", CFG, "--target", "deepstream-yolo"],
        "katib check": ["katib", "check", EXPERIMENT],
        "zoo list": ["zoo", "list", "--zoo", str(zoo.parent)],
        "doctor": ["doctor"],
        "train": ["train", "--dataset", dataset, "--out", str(place / "run")],
        "evaluate": ["evaluate", "--model", model, "--dataset", dataset, "--out", str(place / "evaluation")],
        "predict": ["predict", model, dataset, "--out", str(place / "predicted")],
        "left": [],  # nothing of what was refused
    }
    finished = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps([call for call in calls.values() if call])],
        capture_output=True,
        text=True,
        check=True,
        cwd=place,
    )
    found = dict(zip(calls, map(tuple, json.loads(finished.stdout)), strict=False))
    left = {"run", "evaluation", "predicted"} & {path.name for path in place.iterdir()}
    return {**found, "left": (len(left), "", "")}


@pytest.mark.parametrize(
    ("command", "codes", "words"),
    [
        ("--help", (0,), "From roadside ATM recordings"),
        ("check", (0, 1), "frames"),
        ("atm inspect", (0,), "atm220-2021"),
        ("convert", (0,), "report "),
        ("diff", (0, 1), "the same"),
        ("export-labels", (0,), "kitti"),
        ("darknet show", (0,), "BFLOPS"),
        ("darknet lint", (0, 1), "deepstream-yolo"),
        ("katib check", (0, 1), "thresholds"),
        ("zoo list", (0,), "small"),
        ("doctor", (0, 1), "PyTorch"),
    ],
)
def test_what_needs_no_network_runs(
    command: str, codes: tuple[int, ...], words: str, answers: dict[str, tuple[int, str, str]]
) -> None:
    code, out, err = answers[command]
    assert code in codes, err
    assert words in out


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_what_runs_a_network_says_which_extra_it_wants(command: str, answers: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = answers[command]
    assert (code, out, err) == (2, "", ABSENT)
    assert answers["left"][0] == 0
