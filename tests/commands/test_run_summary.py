"""The summary of a local run hides nothing that speaks against its model."""

import json
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.cli import main
from traffic_yolo.commands.run_summary import run_summary
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
        "validate/validation/parity.json": {"passed": False, "problems": ["AP50 falls"]},
        "validate/executor_output.json": {
            "artifacts": {"metrics": {"artifacts": [{"metadata": {"parity_agreement": 0.2, "ap50_deepstream": 0.1}}]}}
        },
        "publish/publication": publication(),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
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


def test_a_run_that_gates_stopped_shows_its_summary_and_ends_with_exit_code_1(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> None:
        raise local_run.StoppedByGates("m 0002-x is in the zoo, but not in use: parity: FAILED", finished)

    monkeypatch.setattr(local_run, "run_locally", stopped)
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "a.txt").write_text("a")
    monkeypatch.setattr("traffic_yolo.commands.run_checks.check_local_run", lambda *_, **__: None)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--local", "--source", str(tmp_path / "share"), "--zoo", str(tmp_path / "zoo"),
              "--out", str(tmp_path / "runs")])  # fmt: skip
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "gate in_use_map50" in printed.out
    assert printed.err == "gates failed: m 0002-x is in the zoo, but not in use: parity: FAILED\n"
