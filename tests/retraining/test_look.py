"""Scheduled looks, one after another: when an attempt is begun, on which data, and when none is."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.errors import DatasetError, ModelError, StorageError, TrainingError
from traffic_yolo.process_identity import identity
from traffic_yolo.retraining.look import Looked, Start

Scheduled = Any  # of the conftest


def kept_splits(looked: Looked) -> Any:
    """The splits that the conversion is told to keep."""
    return yaml.safe_load(Path(policy_at(looked.policy).keep_splits).read_text())


def test_first_look_begins_an_attempt_on_everything(scheduled: Scheduled) -> None:
    looked = scheduled.look()
    assert (looked.verdict.word, looked.attempt, looked.start) == ("retrain", 1, Start())
    assert looked.verdict.reasons == ("the first attempt", "training pictures +3 labelled; 6 others labelled or corrected; 1 new site (A); BUS 0.0 % -> 50.0 % of the training boxes")  # fmt: skip
    (attempt,) = scheduled.attempts.attempts
    assert (attempt.begun.run_id, attempt.begun.in_use, attempt.begun.compared_with) == ("run-1", "", 0)
    assert {f.split for f in scheduled.attempts.frames_of(attempt)} == {"train", "val", "test"}
    kept = kept_splits(looked)
    assert kept == {"level": "site", "splits": {"A": "train", "B": "val", "C": "test"}}
    assert looked.numbers == {"attempt": 1, "training_pictures": 3, "newly_labelled": 3, "corrected": 0, "gone": 0, "new_sites": 1, "unlabelled_pictures": 0}  # fmt: skip
    assert "| train | 3 | 6 | 0 |" in looked.markdown


def test_next_attempt_starts_from_the_version_in_use_and_keeps_the_splits(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    scheduled.convert = {}
    for number, site in enumerate("DEFG", start=10):
        scheduled.label_more(site, number)
    looked = scheduled.look()
    version = (scheduled.zoo / "m" / "current").read_text().strip()
    assert looked.start == Start(*(f"{scheduled.zoo}/m/{version}/{n}" for n in ("model.cfg", "model.weights", "classes.names")), version)  # fmt: skip
    assert scheduled.attempts.attempts[-1].begun.in_use == version
    kept = kept_splits(looked)["splits"]
    assert kept.items() >= {"A": "train", "B": "val", "C": "test"}.items()
    assert set(kept) == set("ABCDEFG")


def test_unlabelled_recordings_are_reported_and_open_nothing(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    scheduled.share.site("A", 20, frames=5)
    looked = scheduled.look()
    assert (looked.verdict.word, looked.attempt) == ("no_new_data", 0)
    assert looked.verdict.reasons[0].startswith("attempt 1 (20261130T030000Z) tried the same data and was published")
    assert looked.used is not None
    assert looked.used.unlabelled == 5
    assert "5 more pictures lie there that no human labelled" in looked.markdown


def test_a_share_that_is_as_it_was_is_not_counted_again(scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduled.whole_run(1)
    monkeypatch.setattr("traffic_yolo.retraining.look.used_frames", lambda *_: pytest.fail("counted"))
    looked = scheduled.look()
    assert (looked.verdict.word, looked.used) == ("no_new_data", None)
    assert "share and options are as in attempt 1" in looked.verdict.text
    assert looked.markdown.startswith("**no new data**")


@pytest.mark.parametrize("rejected", [False, True], ids=["published", "rejected"])
def test_what_was_tried_is_measured_against_whichever_way_it_ended(scheduled: Scheduled, rejected: bool) -> None:
    scheduled.whole_run(1, rejected=rejected)
    scheduled.label_more("A", 21, frames=1)
    looked = scheduled.look()
    assert looked.verdict.word == "too_few"
    assert looked.verdict.text == "too_few: training pictures +1 labelled; BUS 50.0 % -> 42.9 % of the training boxes; the gate opens at 2 pictures (min_new_frames) or 1 new sites (min_new_sites)"  # fmt: skip
    scheduled.label_more("A", 22, frames=1)  # two since the attempt, one since the last look
    assert scheduled.look().verdict.word == "retrain"


@pytest.mark.parametrize("change", ["correct", "class", "add"])
def test_corrections_count(scheduled: Scheduled, change: str) -> None:
    scheduled.whole_run(1)
    for annotation in scheduled.share.coco["annotations"][:4:2]:  # of two pictures
        if change == "correct":
            annotation["bbox"][2] += 3
        elif change == "class":
            annotation["category_id"] = 1
        else:
            scheduled.share.annotation(image_id=annotation["image_id"], category_id=3, bbox=[60, 50, 9, 9])
    scheduled.share.save()
    looked = scheduled.look()
    assert (looked.verdict.word, looked.found and looked.found.corrected) == ("retrain", 2)


def test_labels_of_the_device_are_new_once_a_human_has_looked(scheduled: Scheduled) -> None:
    scheduled.convert |= {"device_labels": "train"}
    recording = scheduled.share.site("A", 28, frames=3, detections=[[3, 0.9, 48, 64, 64, 48]])
    first = scheduled.whole_run(1)
    assert first.found is not None
    assert first.found.labelled == 3  # those of the device open nothing
    for scan in range(2):
        scheduled.share.label(recording, scan, [(3, [10.5, 8.25, 20, 16])])
    scheduled.share.save()
    looked = scheduled.look()
    assert looked.found is not None
    assert (looked.found.labelled, looked.found.corrected) == (2, 0)
    assert "| train | 5 | " in looked.markdown
    assert looked.markdown.count(" | 1 |\n") == 1


def test_labels_for_judging_alone_open_nothing(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    scheduled.label_more("C", 23, frames=3)
    looked = scheduled.look()
    assert looked.verdict.word == "too_few"
    assert looked.found is not None
    assert (looked.found.frames, looked.found.judging) == (0, 3)


def test_new_site_and_class_shift_open_the_gate(scheduled: Scheduled) -> None:
    scheduled.options = replace(scheduled.options, min_new_frames=99)
    scheduled.whole_run(1)
    scheduled.label_more("A", 24, frames=2)
    assert scheduled.look().verdict.word == "too_few"
    scheduled.options = replace(scheduled.options, min_class_shift=12.5)
    looked = scheduled.look()
    assert looked.verdict.reasons[0] == "BUS by 12.5 percentage points (min_class_shift 12.5)"
    scheduled.close()
    scheduled.options = replace(scheduled.options, min_class_shift=0.0)
    scheduled.convert |= {"policy": "{split_level: site}"}
    site = next(name for name in "DEFGHIJ" if _hashed(name) == "train")
    scheduled.label_more(site, 25, frames=1)
    assert scheduled.look().verdict.reasons[0] == "1 new sites (min_new_sites 1)"


def _hashed(site: str) -> str:
    from traffic_yolo.dataset.splits.assignment import hashed_split

    return hashed_split(site)


def test_same_data_again_when_asked_for(scheduled: Scheduled) -> None:
    scheduled.whole_run(1, rejected=True)
    assert scheduled.look().verdict.word == "no_new_data"
    scheduled.options = replace(scheduled.options, again=True)
    looked = scheduled.look()
    assert (looked.verdict.word, looked.attempt) == ("retrain", 2)
    assert looked.verdict.reasons[0] == "asked for (again); training pictures +0 labelled"


def test_failed_data_is_not_repeated_and_the_run_does_not_end_well(scheduled: Scheduled) -> None:
    scheduled.look()
    assert scheduled.close("train FAILED: out of memory").endswith("failed: train FAILED: out of memory")
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"attempt 1 .* failed on the same data: train FAILED: out of memory; mend that, and give again"):  # fmt: skip
            scheduled.look()
    assert len(scheduled.attempts.attempts) == 1
    scheduled.label_more("A", 26)  # other data is another attempt
    assert scheduled.look().attempt == 2


def test_what_was_cut_off_is_repeated_but_not_for_ever(scheduled: Scheduled) -> None:
    for number in (1, 2, 3):
        assert scheduled.look().attempt == number  # a day later each: nobody ended it
    with pytest.raises(TrainingError, match="3 attempts on the same data were cut off, the last in run run-3"):
        scheduled.look()
    scheduled.options = replace(scheduled.options, again=True)
    assert scheduled.look().attempt == 4


def test_an_attempt_under_way_is_waited_for_and_one_whose_process_is_gone_is_not(scheduled: Scheduled) -> None:
    scheduled.look(owner=identity())
    scheduled.later(-20)
    looked = scheduled.look()  # four hours later
    assert (looked.verdict.word, looked.attempt) == ("under_way", 0)
    assert "of run run-1 has no end yet; after 12 h" in looked.verdict.text
    scheduled.later(-23)
    gone = {**identity(), "pid": os.getpid(), "started": "0"}
    assert scheduled.look(owner=gone).verdict.word == "under_way"
    scheduled.options = replace(scheduled.options, again=True)
    assert scheduled.look(owner=gone).attempt == 2
    scheduled.options = replace(scheduled.options, again=False, under_way_hours=5)
    scheduled.later(-23)
    assert scheduled.look().attempt == 3  # 1 is six hours old, the process of 2 has ended


def test_a_task_that_is_started_anew_goes_on_with_its_attempt(scheduled: Scheduled) -> None:
    first = scheduled.look("run-x")
    scheduled.later(-23.5)
    again = scheduled.look("run-x")
    assert (again.verdict.word, again.attempt, again.policy) == ("retrain", first.attempt, first.policy)
    assert len(scheduled.attempts.attempts) == 1


def test_two_runs_that_look_at_once_begin_one_attempt(scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch) -> None:
    from traffic_yolo.retraining.attempts import Attempts

    begin, looks = Attempts.begin, []

    def raced(attempts: Attempts, begun: Any) -> Any:
        if not looks:
            looks.append("the other run takes the number in between")
            scheduled.later(-24)
            assert scheduled.look("run-other").attempt == 1
        return begin(attempts, begun)

    monkeypatch.setattr(Attempts, "begin", raced)
    looked = scheduled.look("run-mine")
    assert (looked.verdict.word, looked.attempt) == ("under_way", 0)
    assert [one.begun.run_id for one in scheduled.attempts.attempts] == ["run-other"]


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        ({"val_sites": "C", "test_sites": "B"}, r"6 pictures would change their split, such as .* of site B from val to test: attempt 1 .* new_splits"),
        ({"val_sites": "A", "test_sites": "C"}, r"3 pictures would change their split, such as .* of site A from train to val"),
        ({"policy": "{split_level: recording}", "val_sites": "B", "test_sites": "C"}, "by site, not by recording"),
    ],
)  # fmt: skip
def test_splits_that_would_not_be_kept_are_refused(scheduled: Scheduled, convert: dict[str, str], message: str) -> None:
    scheduled.whole_run(1)
    scheduled.convert = convert
    scheduled.label_more("A", 27)
    with pytest.raises(Exception, match=message) as caught:
        scheduled.look()
    assert "\n" not in str(caught.value)
    scheduled.options = replace(scheduled.options, new_splits=True)
    assert scheduled.look().attempt == 2


def test_test_split_that_would_lose_a_site_is_refused(scheduled: Scheduled) -> None:
    scheduled.label_more("D", 30)
    scheduled.convert = {"val_sites": "B", "test_sites": "C,D"}
    scheduled.whole_run(1)
    scheduled.share.coco["images"] = [
        one for one in scheduled.share.coco["images"] if "2021090112300" not in one["recording"]
    ]
    kept = {one["id"] for one in scheduled.share.coco["images"]}
    scheduled.share.coco["annotations"] = [a for a in scheduled.share.coco["annotations"] if a["image_id"] in kept]
    scheduled.convert = {}
    scheduled.label_more("A", 31)
    with pytest.raises(DatasetError, match=r"the test split would lose site D, which attempt 1 .* had there"):
        scheduled.look()
    scheduled.options = replace(scheduled.options, new_splits=True)
    scheduled.convert = {"val_sites": "B", "test_sites": "C"}
    assert scheduled.look().attempt == 2


def test_keep_splits_of_the_policy_holds_beside_those_of_attempts(scheduled: Scheduled, tmp_path: Any) -> None:
    (tmp_path / "named.yaml").write_text("level: site\nsplits: {A: train, B: val, C: test, Z: test}\n")
    scheduled.convert = {"policy": json.dumps({"keep_splits": str(tmp_path / "named.yaml")})}
    scheduled.whole_run(1)
    scheduled.label_more("A", 32)
    looked = scheduled.look()
    assert kept_splits(looked)["splits"]["Z"] == "test"
    scheduled.close()
    (tmp_path / "named.yaml").write_text("level: site\nsplits: {A: test}\n")
    scheduled.label_more("A", 33)
    with pytest.raises(DatasetError, match=r"keep_splits has A in another split than attempt 1"):
        scheduled.look()
    (tmp_path / "named.yaml").write_text("level: recording\nsplits: {}\n")
    with pytest.raises(DatasetError, match=r"keep_splits is by recording, attempt 1 .* kept splits by site"):
        scheduled.look()


def test_damaged_version_in_use_is_no_start(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    version = (scheduled.zoo / "m" / "current").read_text().strip()
    (scheduled.zoo / "m" / version / "model.weights").write_bytes(b"other")
    scheduled.label_more("A", 34)
    with pytest.raises(ModelError, match=r"model\.weights was changed after publishing"):
        scheduled.look()
    assert len(scheduled.attempts.attempts) == 1


def test_damaged_record_stops_the_look(scheduled: Scheduled) -> None:
    scheduled.whole_run(1)
    path = scheduled.zoo / "m" / "attempts" / "000001-begun.json"
    path.write_text(path.read_text().replace('"run_id"', '"run"'))
    with pytest.raises(StorageError, match=r"000001-begun\.json: no record of an attempt: expected run_id, .*what was tried is not known"):  # fmt: skip
        scheduled.look()
    path.unlink()
    assert scheduled.look().attempt == 2  # never the number of one whose other files are still there
