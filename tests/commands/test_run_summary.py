"""The summary of a local run hides nothing that speaks against its model."""

import json
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.cli import main
from traffic_yolo.commands.run_summary import run_summary, run_values
from traffic_yolo.html_report import page, paragraph
from traffic_yolo.page_origin import About
from traffic_yolo_pipelines import local_run

GATES = [
    {"name": "parity", "verdict": "failed", "measured": 0.2, "limit": "", "sentence": "AP50 falls"},
    {"name": "recordings", "verdict": "passed", "measured": 6, "limit": "at least 5", "sentence": "in split test"},
    {"name": "in_use_map50", "verdict": "undecided", "measured": -0.02, "limit": "above -0.01", "sentence": "too wide"},
]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """What the tasks of a run leave that the summary reads."""
    files: dict[str, Any] = {
        "evaluate/evaluation/record.json": {"split": "test", "metrics": {"ap": 0.1, "ap50": None}},
        "tune/tuning/operating_point.json": {
            "confidence_threshold": 0.3, "iou_threshold": 0.5, "test": {"precision": 0.0, "recall": 0.0, "f1": 0.0},
        },
        "validate/validation/parity.json": {
            "passed": False, "problems": ["AP50 falls"], "agreement": 0.2,
            "metrics": {"deepstream": {"ap50": 0.1}, "pytorch_single_label": {"ap50": None}},
        },
        "publish/publication": publication(),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    for report in ("train/run/report.html", "evaluate/evaluation/report.html"):
        (tmp_path / report).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / report).write_text("<html>")
    return tmp_path


def publication(**changes: Any) -> dict[str, Any]:
    made_up = {"name": "m", "version": "0002-x", "is_new": True, "is_current": False, "forced": False,
               "nothing_new": "", "bundle": "/zoo/m/0002-x", "gates": GATES}  # fmt: skip
    return {**made_up, **changes}


def row(text: str, name: str) -> str:
    (found,) = (line for line in text.splitlines() if line.strip().startswith(f"{name} "))
    return found.strip().removeprefix(name).strip()


def test_gates_f1_and_parity_stand_in_the_summary(finished: Path) -> None:
    text = run_summary(finished, "/zoo")
    assert row(text, "precision / recall / F1") == "0.000 / 0.000 / 0.000"
    assert row(text, "parity of the deployed model").startswith("FAILED: AP50 falls (0.200 of the boxes agree; ")
    assert "AP50 0.100 under nvinfer's rules, – in PyTorch" in row(text, "parity of the deployed model")
    assert row(text, "gate parity") == "FAILED 0.200 AP50 falls"
    assert row(text, "gate recordings") == "passed 6 (limit at least 5) in split test"
    assert row(text, "gate in_use_map50") == "UNDECIDED -0.020 (limit above -0.01) too wide"
    assert row(text, "m 0002-x") == "NOT IN USE"
    assert row(text, "model bundle") == "/zoo/m/0002-x"
    assert "model card" not in text


def test_the_card_of_the_publication_gets_a_name_that_browsers_know(finished: Path) -> None:
    (finished / "publish" / "card").write_text(page("Model card of m 0002-x", [("", paragraph("…"))], about=About()))
    card = finished / "publish" / "card.html"
    assert row(run_summary(finished, "/zoo"), "model card") == str(card)
    assert card.read_text() == (finished / "publish" / "card").read_text()
    assert 'href="publish/card.html">Model card of m 0002-x</a>' in (finished / "index.html").read_text()


def test_a_run_that_a_stage_of_the_waterfall_stopped_has_a_summary_without_a_publication(finished: Path) -> None:
    """Of a failed task kfp records nothing, so its numbers are those of its files."""
    (finished / "publish" / "publication").unlink()
    path = finished / "validate" / "validation" / "waterfall.json"
    path.write_text(json.dumps({"passed": False, "problems": ["ONNX: AP falls"], "stages": [{}, {}]}))
    text = run_summary(finished, "/zoo")
    assert row(text, "waterfall") == "FAILED: ONNX: AP falls"
    assert row(text, "published") == "nothing: the run ended before it"
    assert "model bundle" not in text
    path.write_text(json.dumps({"passed": True, "problems": [], "stages": [{}, {}]}))
    assert row(run_summary(finished, "/zoo"), "waterfall") == "every stage of 2 within its limits"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"is_current": True}, "in use (current)"),
        ({"is_current": True, "forced": True}, "IN USE BY FORCE, in spite of its gates"),
        (
            {"is_current": True, "nothing_new": "nothing was learnt", "gates": []},
            "in use as before: nothing was learnt",
        ),
    ],
)
def test_the_summary_says_what_came_of_the_gates(finished: Path, changes: dict[str, Any], outcome: str) -> None:
    (finished / "publish" / "publication").write_text(json.dumps(publication(**changes)))
    assert row(run_summary(finished, "/zoo"), "m 0002-x") == outcome


def run_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *flags: str, command: str = "run"
) -> tuple[Any, int | str | None]:
    """What `run --local`, or another command, prints, and its exit code."""
    (folder / "share").mkdir()
    (folder / "share" / "a.txt").write_text("a")
    monkeypatch.setattr("traffic_yolo.commands.run_checks.check_local_run", lambda *_, **__: None)
    with pytest.raises(SystemExit) as ended:
        main([command, "--local", "--source", str(folder / "share"), "--zoo", str(folder / "zoo"),
              "--out", str(folder / "runs"), *flags])  # fmt: skip
    return capsys.readouterr(), ended.value.code


@pytest.mark.parametrize("is_stopped", [False, True], ids=["done", "stopped by gates"])
def test_json_of_a_run_is_all_that_is_on_stdout(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_stopped: bool,
) -> None:
    def ran(*_: Any) -> local_run.LocalRun:
        print("a task prints")
        if is_stopped:
            raise local_run.StoppedByGates("m 0002-x: parity: FAILED", finished)
        return local_run.LocalRun(finished)

    monkeypatch.setattr(local_run, "run_locally", ran)
    printed, code = run_here(tmp_path, monkeypatch, capsys, "--json")
    assert code == (1 if is_stopped else 0)
    assert "a task prints" in printed.err
    values = json.loads(printed.out)
    assert values["command"] == "run"
    assert values["metrics"] == {"ap": 0.1, "ap50": None}
    assert values["parity"] == {
        "passed": False,
        "problems": ["AP50 falls"],
        "agreement": 0.2,
        "metrics": {"deepstream": {"ap50": 0.1}, "pytorch_single_label": {"ap50": None}},
    }
    assert [gate["verdict"] for gate in values["gates"]] == ["failed", "passed", "undecided"]
    assert (values["version"], values["is_current"]) == ("0002-x", False)
    assert values["reports"]["training"] == str(finished / "train" / "run" / "report.html")


def test_a_run_that_ended_before_publish_has_values_too(finished: Path) -> None:
    (finished / "publish" / "publication").unlink()
    (finished / "validate" / "validation" / "waterfall.json").write_text(
        json.dumps({"passed": False, "problems": ["onnx: AP falls"], "stages": []})
    )
    values = run_values(finished)
    assert values["waterfall"] == {"passed": False, "problems": ["onnx: AP falls"]}
    assert not {"version", "bundle", "is_current"} & set(values)


def test_a_run_that_gates_stopped_shows_its_summary_and_ends_with_exit_code_1(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> None:
        raise local_run.StoppedByGates("m 0002-x is in the zoo, but not in use: parity: FAILED", finished)

    monkeypatch.setattr(local_run, "run_locally", stopped)
    printed, code = run_here(tmp_path, monkeypatch, capsys)
    assert code == 1
    assert "gate in_use_map50" in printed.out
    assert printed.err == "gates failed: m 0002-x is in the zoo, but not in use: parity: FAILED\n"


def test_a_retraining_that_a_stage_stopped_shows_its_summary_and_ends_as_the_stage_does(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "publish" / "publication").unlink()

    def stopped(*_: Any) -> None:
        raise local_run.StoppedByGates("waterfall: ONNX: AP falls", finished)

    monkeypatch.setattr(local_run, "run_locally", stopped)
    printed, code = run_here(tmp_path, monkeypatch, capsys, "--json", command="retrain")
    assert code == 1
    assert printed.err.splitlines()[-1] == "gates failed: waterfall: ONNX: AP falls"
    values = json.loads(printed.out)
    assert (values["command"], values["metrics"]["ap"]) == ("retrain", 0.1)
    assert "version" not in values
