"""The end of an attempt: what the zoo says of it, whoever asks, and wherever the run before was killed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killing import at_each_point

from traffic_yolo.errors import StorageError
from traffic_yolo.retraining.attempts import Attempts, Begun, Ended, Weights
from traffic_yolo.retraining.look import Looked
from traffic_yolo.retraining.outcome import NOTHING_LEARNT

Scheduled = Any  # of the conftest
BEGUN = Begun("run-1", {"pid": 7}, "20261129T030000Z", "i", "d", "frames-x.csv.gz", "", {"CAR": 3}, "", 0, ("first",))


def test_published(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    (attempt,) = scheduled.attempts.attempts
    assert attempt.ended is not None
    assert (attempt.ended.outcome, attempt.ended.reasons) == ("published", ())
    assert attempt.ended.version == (scheduled.zoo / "m" / "current").read_text().strip()
    assert scheduled.close() == f"attempt 1 (20261130T030000Z): published {attempt.ended.version}"
    assert len(list((scheduled.zoo / "m" / "attempts").glob("*ended*"))) == 1  # said once


def test_published_and_rolled_back_since_stays_published(scheduled: Scheduled) -> None:
    scheduled.look()
    scheduled.note(1)
    scheduled.publish(1)
    scheduled.use(scheduled.place(2))
    assert "published 0001-" in scheduled.close()


def test_rejected_says_why(scheduled: Scheduled) -> None:
    scheduled.look()
    scheduled.note(1)
    scheduled.publish(1, rejected=True)
    assert scheduled.close().endswith(": AP50 falls")
    (attempt,) = scheduled.attempts.attempts
    assert attempt.ended is not None
    assert (attempt.ended.outcome, attempt.ended.version[:5]) == ("rejected", "0001-")


def test_nothing_learnt_is_a_rejection_where_a_version_is_in_use(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    scheduled.label_more("A", 40)
    scheduled.look()
    scheduled.note(1, learnt=False)
    assert scheduled.close().endswith(f"rejected: {NOTHING_LEARNT}")


def test_failed_with_what_the_server_says_on_one_line(scheduled: Scheduled) -> None:
    scheduled.look()
    assert scheduled.close("train FAILED: a\nb" + "x" * 9999).endswith("x" * 400)
    (attempt,) = scheduled.attempts.attempts
    assert attempt.ended is not None
    assert attempt.ended.reasons[0].startswith("train FAILED: a\\nbx")
    assert len(attempt.ended.reasons[0]) == 500


def test_a_run_that_began_nothing_ends_nothing(scheduled: Scheduled) -> None:
    scheduled.runs = 5
    assert scheduled.close() == "no attempt was begun"
    assert not scheduled.zoo.exists()


def test_a_run_that_is_retried_after_it_failed_has_its_last_end(scheduled: Scheduled) -> None:
    scheduled.look()
    scheduled.close()
    scheduled.note(1)
    scheduled.publish(1)
    scheduled.close()
    assert scheduled.attempts.attempts[0].ended.outcome == "published"
    assert scheduled.attempts.last_tried is not None


# After which step a run is killed -> what the look after it does, and what became of the attempt
KILLS = {
    "look": ("retrain", None),
    "train": ("retrain", None),
    "note": ("retrain", None),
    "bundle": ("retrain", None),  # nobody decided on the version: as if it had not been placed
    "current": ("no_new_data", "published"),
    "record": ("no_new_data", "published"),
    "rejected record": ("no_new_data", "rejected"),
    "close": ("no_new_data", "published"),
}


@pytest.mark.parametrize("step", KILLS)
def test_a_kill_after_any_step_neither_blocks_for_ever_nor_repeats_what_came_to_a_verdict(
    scheduled: Scheduled, step: str
) -> None:
    word, outcome = KILLS[step]
    scheduled.look()
    if step not in ("look", "train"):
        scheduled.note(1)
    if step not in ("look", "train", "note"):
        version = scheduled.place(1, passed="rejected" not in step)
        if step in ("current", "record", "close"):
            scheduled.use(version)
        if "record" in step or step == "close":
            scheduled.record(version)
    if step == "close":
        scheduled.close()
    looked: Looked = scheduled.look()  # the next day, with nothing new
    assert looked.verdict.word == word
    ended = scheduled.attempts.attempts[0].ended
    assert (ended.outcome if ended else None) == outcome
    scheduled.options = replace(scheduled.options, again=True)
    assert scheduled.look().verdict.word == "retrain"


@pytest.mark.long
def test_a_look_that_is_killed_at_any_point_begins_one_attempt_or_none(
    scheduled: Scheduled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    used = scheduled.look()
    scheduled.close()
    start = tmp_path / "start"
    shutil.copytree(scheduled.zoo, start)
    scheduled.options = replace(scheduled.options, again=True)
    monkeypatch.setattr("traffic_yolo.retraining.look.used_frames", lambda *_: used.used)  # which writes nothing there
    points = []
    for point in at_each_point(lambda: scheduled.look("run-killed"), below=scheduled.zoo):
        points.append(point)
        found = scheduled.attempts.attempts
        assert len(found) in (1, 2)
        for attempt in found:
            assert scheduled.attempts.frames_of(attempt) == used.used.frames
            assert scheduled.attempts.pins_of(attempt) == used.used.pins
        assert scheduled.look("run-next").attempt == len(found) + 1
        shutil.rmtree(scheduled.zoo)
        shutil.copytree(start, scheduled.zoo)
    assert len(points) > 10


def test_records_come_back_and_others_are_refused(tmp_path: Path) -> None:
    for record in (BEGUN, Weights("a" * 64, True, "t"), Ended("rejected", "0001-x", ("a", "b"), "t")):
        assert type(record).parse(record.to_bytes()) == record
        content = json.loads(record.to_bytes())
        for name in content:
            for other in ({**content, name: 1.5}, {key: value for key, value in content.items() if key != name}):
                with pytest.raises(ValueError, match=r"expected|found"):
                    type(record).parse(json.dumps(other).encode())
    with pytest.raises(ValueError, match="expected one of published, rejected, failed"):
        Ended("perhaps", "", (), "")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not match format"):
        replace(BEGUN, at="yesterday")
    assert Attempts.read(tmp_path).attempts == ()


def test_a_number_belongs_to_who_put_it_first_and_ends_are_never_overwritten(tmp_path: Path) -> None:
    seen = Attempts.read(tmp_path)
    attempt = seen.begin(BEGUN)
    with pytest.raises(StorageError, match="exists already"):
        seen.begin(replace(BEGUN, run_id="run-2"))
    for outcome in ("failed", *["rejected"] * 10, "published"):
        Attempts.read(tmp_path).end(attempt, Ended(outcome, "", (), "t"))  # type: ignore[arg-type]
    files = sorted(path.name for path in (tmp_path / "attempts").iterdir())
    assert len(files) == 13
    (found,) = Attempts.read(tmp_path).attempts  # the twelfth counts, though its name sorts before the second
    assert found.ended is not None
    assert (found.begun.run_id, found.ended.outcome) == ("run-1", "published")


def test_frames_that_are_not_the_attempt_s_are_refused(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    scheduled.label_more("A", 41)
    (path,) = (scheduled.zoo / "m" / "attempts").glob("frames-*")
    for data, message in ((path.read_bytes()[:-5], "not a gzip file"), (b"", "gzip|columns")):
        path.write_bytes(data)
        with pytest.raises(StorageError, match=rf"frames-.*({message}).*put it back from a copy"):
            scheduled.look()
    path.unlink()
    with pytest.raises(StorageError, match="frames-"):
        scheduled.look()
