"""The end of an attempt: what the training left is written down before it is published, and what became of it after."""

from datetime import datetime
from pathlib import Path

from traffic_yolo.messages import one_line
from traffic_yolo.model_folder import WEIGHTS_NAME
from traffic_yolo.registry.homes import open_home
from traffic_yolo.retraining.attempts import Attempt, Attempts, Ended, Weights, time_text
from traffic_yolo.retraining.outcome import outcome_in_zoo
from traffic_yolo.run_id import known_run_id
from traffic_yolo.storage import AnyPath, sha256_of_file
from traffic_yolo.verdict_file import read_verdict

MOST_REASON = 500  # characters of what a server says of a failed task


def note_model(run_id: str, model: Path, *, zoo: AnyPath, model_name: str, now: datetime) -> str:
    """Notes the weights of a model folder as what this run's training left; returns a line for people.

    Without an attempt of the run there is nothing to note.
    """
    attempts = Attempts.read(open_home(zoo, model_name).location)
    attempt = attempts.of_run(known_run_id(run_id))
    if attempt is None:
        return "no attempt of this run"
    verdict = read_verdict(model)
    sha256 = sha256_of_file(model / WEIGHTS_NAME)
    attempts.note_weights(attempt, Weights(sha256, verdict is None or verdict.learnt, time_text(now)))
    return f"{attempt.name} left weights {sha256[:12]}"


def close(run_id: str, *, zoo: AnyPath, model_name: str, failure: str, now: datetime) -> str:
    """Ends this run's attempt by what the zoo says, or as failed with `failure`; returns a line for people.

    Where the attempt has the same end already, or the run began none, nothing is written.
    """
    attempts = Attempts.read(open_home(zoo, model_name).location)
    attempt = attempts.of_run(known_run_id(run_id))
    if attempt is None:
        return "no attempt was begun"
    found = outcome_in_zoo(zoo, model_name, attempt, now=now)
    if found is None:
        found = Ended("failed", "", (one_line(failure)[:MOST_REASON],), time_text(now))
    if attempt.ended is None or (attempt.ended.outcome, attempt.ended.version) != (found.outcome, found.version):
        attempt = attempts.end(attempt, found)
    return outcome_text(attempt)


def outcome_text(attempt: Attempt) -> str:
    """A line for people."""
    if attempt.ended is None:
        return f"{attempt.name}: no end"
    version = f" {attempt.ended.version}" if attempt.ended.version else ""
    reasons = f": {'; '.join(attempt.ended.reasons)}" if attempt.ended.reasons else ""
    return f"{attempt.name}: {attempt.ended.outcome}{version}{reasons}"
