"""The front of a compression's trials: which ones no other beats, which one to take, and the folder that says so."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from value_mutations import MISSING, all_changed

from traffic_yolo.commands.compress import command
from traffic_yolo.errors import OptionsError, StorageError, TrafficYoloError
from traffic_yolo.tuning.compression_front import front_of, pareto, read_front
from traffic_yolo.tuning.compression_record import CompressionRecord, JudgedBy, read_records
from traffic_yolo.tuning.front_options import FrontOptions
from traffic_yolo.tuning.latency_limit import LatencyLimit

JUDGED = JudgedBy("m" * 20, "d" * 20, "t" * 64, "a machine")
WHOLE = {"latency_ms": 10.0, "bflops": 1.0, "weights": 1000.0}


def record(run: str, ap: float, ms: float, *, kind: str = "channels", bflops: float = 0.5, **others: Any) -> Any:
    metrics = {"map_at_latency": ap, "map": ap, "map50": 2 * ap, "latency_ms": ms, "bflops": bflops, "weights": 500.0}
    pruning = {"prune_kind": kind, "prune_ratio": ms / 10}
    made = CompressionRecord(JUDGED, pruning, {"fine_tune_layers": "all"}, metrics, WHOLE, run, 3, 9)
    return dataclasses.replace(made, **others)


# Hand-made: b beats c in both, d costs as much as a and is worse, e is the most accurate and the dearest
TRIALS = [
    record("training-e/run", 0.40, 9.0, units=0),
    record("training-c/run", 0.25, 6.0),
    record("training-a/run", 0.20, 2.0),
    record("training-b/run", 0.30, 5.0, kind="regular"),
    record("training-d/run", 0.15, 2.0),
]


def runs(front: Any) -> list[str]:
    return [front.records[place].run[9] for place in front.on_front]


def test_the_front_is_what_no_other_beats_in_both():
    front = front_of(TRIALS, FrontOptions(), LatencyLimit())
    assert [each.run[9] for each in front.records] == ["a", "d", "b", "c", "e"]
    assert runs(front) == ["a", "b", "e"]


def test_equal_trials_are_one_and_a_dearer_equal_is_none():
    assert pareto([1.0, 1.0, 2.0, 3.0], [0.5, 0.5, 0.5, 0.6]) == (0, 3)
    assert pareto([1.0], [0.0]) == (0,)


def test_another_cost_makes_another_front():
    trials = [record("training-a/run", 0.2, 2.0, bflops=0.9), record("training-b/run", 0.3, 5.0, bflops=0.1)]
    assert runs(front_of(trials, FrontOptions(), LatencyLimit())) == ["a", "b"]
    assert runs(front_of(trials, FrontOptions(cost_of="bflops"), LatencyLimit())) == ["b"]


@pytest.mark.parametrize(
    ("options", "limit", "chosen", "why"),
    [
        ({}, {"most_latency_ms": 5.0}, "b", "the best of those within 5.00 ms a picture (the whole network: 10.00)"),
        ({}, {"most_latency_share": 0.49}, "a", "take channels 0.2; all: AP 0.200, the best of those within 4.90 ms"),
        (
            {},
            {"most_latency_ms": 1.0},
            "",
            "take none: no trial is within 1.00 ms a picture (the whole network: 10.00),",
        ),
        ({}, {}, "e", "take whole; all: AP 0.400, the lowest ms a picture of those at most 0.01 below the best, 0.400"),
        ({"tolerance": 0.1}, {}, "b", "take regular 0.5; all: AP 0.300, the lowest ms"),
        ({"tolerance": 0.1, "metric": "map50"}, {}, "e", "AP50 0.800"),
    ],
)
def test_which_one_to_take(options: dict[str, Any], limit: dict[str, Any], chosen: str, why: str):
    front = front_of(TRIALS, FrontOptions(**options), LatencyLimit(**limit))
    assert ("" if front.chosen is None else front.records[front.chosen].run[9]) == chosen
    assert why in front.why
    assert front.document()["chosen"] is None or front.document()["chosen"]["run"] == f"training-{chosen}/run"


def test_of_equally_good_trials_the_cheaper_one_is_taken():
    trials = [
        record("training-a/run", 0.2, 4.0),
        record("training-b/run", 0.2, 3.0),
        record("training-c/run", 0.1, 2.0),
    ]
    for limit in (LatencyLimit(most_latency_ms=5.0), LatencyLimit()):
        front = front_of(trials, FrontOptions(), limit)
        assert front.chosen is not None
        assert front.records[front.chosen].run == "training-b/run"


def test_a_trial_that_is_done_again_is_one_record(tmp_path: Path):
    for _ in range(2):
        TRIALS[0].write(tmp_path)
    TRIALS[1].write(tmp_path)
    assert sorted(read_records(tmp_path), key=lambda each: each.run) == [TRIALS[1], TRIALS[0]]


def test_any_other_value_of_a_record_is_read_or_refused_by_name(tmp_path: Path):
    TRIALS[0].write(tmp_path)
    (path,) = tmp_path.rglob("*.json")
    refused = {}
    for what, changed in all_changed(json.loads(path.read_text()), (MISSING, None, -1, "x", [], {}, [None])):
        path.write_text(json.dumps(changed))
        try:
            read_front(tmp_path, FrontOptions(), LatencyLimit())
        except TrafficYoloError as error:
            refused[what] = str(error)
    assert len(refused) > 50
    assert [what for what, text in refused.items() if str(path) not in text] == []


def test_trials_of_two_judgements_are_never_in_one_picture(tmp_path: Path):
    other = dataclasses.replace(JUDGED, latency_table="u" * 64)
    TRIALS[0].write(tmp_path)
    dataclasses.replace(TRIALS[1], judged_by=other).write(tmp_path)
    with pytest.raises(OptionsError, match=f"judged_by: .* trials that cannot be compared; name one: .*{other.name}"):
        read_front(tmp_path, FrontOptions(), LatencyLimit())
    assert runs(read_front(tmp_path, FrontOptions(judged_by=other.name), LatencyLimit())) == ["c"]
    with pytest.raises(OptionsError, match="has no trials of nobody, but of "):
        read_front(tmp_path, FrontOptions(judged_by="nobody"), LatencyLimit())


def test_a_store_without_trials_is_refused(tmp_path: Path):
    with pytest.raises(
        OptionsError, match="no trial of a compression; give the folder that the trials have as --store"
    ):
        read_front(tmp_path, FrontOptions(), LatencyLimit())
    with pytest.raises(StorageError, match="store of trials not found"):
        read_front(tmp_path / "nowhere", FrontOptions(), LatencyLimit())


def test_the_command_writes_page_picture_and_file_and_ends_with_whether_there_is_one_to_take(tmp_path: Path):
    for each in TRIALS:
        each.write(tmp_path / "store")
    arguments = ["front", "--store", str(tmp_path / "store"), "--json"]
    answered = CliRunner().invoke(command, [*arguments, "--most-latency-ms", "5", "--out", str(tmp_path / "front")])
    assert answered.exit_code == 0, answered.output
    assert json.loads(answered.stdout)["chosen"]["run"] == "training-b/run"
    assert json.loads((tmp_path / "front" / "front.json").read_text())["chosen"]["what"] == "regular 0.5; all"
    page = (tmp_path / "front" / "report.html").read_text()
    assert "take regular 0.5; all: AP 0.300" in page
    assert page.count("<svg") == 1
    assert f"--run {tmp_path}/store/training-b/run" in page
    picture = (tmp_path / "front" / "front.svg").read_text()
    assert picture.startswith("<svg")
    assert all(word in picture for word in ("channels", "regular", "whole", "limit", "ms a picture", "BFLOPs"))
    none = CliRunner().invoke(command, [*arguments, "--most-latency-ms", "1", "--out", str(tmp_path / "none")])
    assert none.exit_code == 1
    assert json.loads(none.stdout)["chosen"] is None
    assert "prune more" in (tmp_path / "none" / "report.html").read_text()
