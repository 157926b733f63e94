"""When an experiment is over: what counts as a trial that has ended."""

from pathlib import Path

from traffic_yolo.katib.run.collector import LogFormat
from traffic_yolo.katib.run.experiment_state import Limits, ending
from traffic_yolo.katib.run.journal import Journal

LOG = LogFormat(("score",), {"score": "max"})
LIMITS = Limits(maximise=True, goal=None, max_trials=1, max_failed=None, parallel=1)


def test_a_trial_that_was_cut_off_has_not_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add("a", {"x": "1"})
    journal.cut_off("a", "cut off by an interrupt")
    assert journal.trials["a"].state == "Killed"
    assert ending(journal, LOG, LIMITS, exhausted=True) is None
    journal.note_process("a", {"pid": 1, "started": "2"})
    assert (journal.trials["a"].state, journal.trials["a"].message) == ("Running", "")
    journal.end("a", "Failed", message="exit code 1")
    over = ending(Journal(tmp_path / "journal.jsonl"), LOG, LIMITS, exhausted=True)
    assert over is not None
    assert over.reason == "ExperimentMaxTrialsReached"
