"""Publishing under gates: what comes into use, what is kept out of it, what is written down, and how a step ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples import slow
from judged_runs import publish
from killing import at_each_point

from traffic_yolo.cli import main
from traffic_yolo.errors import EvaluationError, GateError
from traffic_yolo.registry import publish as publishing
from traffic_yolo.registry.gates.gate import FAILED, PASSED, SKIPPED, UNDECIDED, Gate
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.registry.options import PublishOptions
from traffic_yolo.registry.publication import Publication, publisher, read_publications, write_publication
from traffic_yolo.registry.zoo import Published, current_version, roll_back, set_current, versions

MakeRun = Callable[..., dict[str, Path]]


def gates_of(published: Published) -> dict[str, Gate]:
    return {gate.name: gate for gate in published.gates}


def verdicts(published: Published) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in published.gates}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    return tmp_path / "zoo"


def test_the_first_version_passes_and_says_that_it_was_compared_with_nothing(make_run: MakeRun, zoo: Path) -> None:
    published = publish(**make_run(), zoo=zoo, name="m")
    assert published.is_current
    assert verdicts(published) == {
        "parity": PASSED, "training": SKIPPED, "minimum_f1": PASSED, "recordings": PASSED,
        "in_use_map50": SKIPPED, "best_map50": SKIPPED,
    }  # fmt: skip
    assert "no version is in use: there is nothing to compare with" in published.text
    published.check("stop")


def test_a_worse_version_is_kept_out_of_use_and_ends_the_step_with_one_line(make_run: MakeRun, zoo: Path) -> None:
    good = publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    worse = publish(**make_run(1, boxes=10, found=0.8), zoo=zoo, name="m")
    assert (worse.is_new, worse.is_current) == (True, False)
    assert current_version(zoo, "m") == good.version
    found = gates_of(worse)["in_use_map50"]
    assert found.verdict == FAILED
    assert found.measured == pytest.approx(-0.2, abs=0.01)  # AP with 101 recalls of a detector that finds 80 %
    assert f"against {good.version} (in use)" in found.sentence
    assert found.sentence.startswith("0.802 instead of 1.000: -0.198, 95 % interval ")
    assert "NOT MADE CURRENT: in_use_map50: FAILED" in worse.text
    worse.check("keep")
    with pytest.raises(GateError, match=r"m 0002-\w+ is in the zoo, but not in use: in_use_map50: FAILED") as refused:
        worse.check("stop")
    assert "\n" not in str(refused.value)


def test_better_wants_more_than_an_equal_one(make_run: MakeRun, zoo: Path) -> None:
    publish(**make_run(0, boxes=10, found=0.8), zoo=zoo, name="m")
    rules = GateRules(gate="better")
    equal = publish(**make_run(1, boxes=10, found=0.8), zoo=zoo, name="m", rules=rules)
    assert (equal.is_current, gates_of(equal)["in_use_map50"].verdict) == (False, FAILED)
    better = publish(**make_run(2, boxes=10), zoo=zoo, name="m", rules=rules)
    assert (better.is_current, gates_of(better)["in_use_map50"].verdict) == (True, PASSED)


@pytest.mark.parametrize("metric", ["map50", "map", "f1"])
def test_each_metric_can_decide(make_run: MakeRun, zoo: Path, metric: str) -> None:
    publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    rules = GateRules(metric=metric)
    worse = publish(**make_run(1, boxes=10, found=0.8), zoo=zoo, name="m", rules=rules)
    found = gates_of(worse)[f"in_use_{metric}"]
    # F1 of a detector that finds 80 % and invents nothing: 2 * .8 / 1.8
    assert found.measured == pytest.approx(2 * 0.8 / 1.8 - 1 if metric == "f1" else -0.198, abs=1e-3)
    assert found.verdict == FAILED
    assert publish(**make_run(2, boxes=10), zoo=zoo, name="m", rules=rules).is_current


@pytest.mark.long
def test_small_losses_do_not_add_up(make_run: MakeRun, zoo: Path) -> None:
    """Each version loses .0099 against the last one, which is borne; against the best ever it is .0198 soon."""
    first = publish(**make_run(0, boxes=100), zoo=zoo, name="m")
    second = publish(**make_run(1, boxes=100, found=0.99), zoo=zoo, name="m")
    assert second.is_current
    assert verdicts(second)["best_map50"] == SKIPPED  # the one in use is the best
    third = publish(**make_run(2, boxes=100, found=0.98), zoo=zoo, name="m")
    assert verdicts(third)["in_use_map50"] == PASSED
    assert verdicts(third)["best_map50"] == FAILED
    assert f"against {first.version} (the best ever in use)" in gates_of(third)["best_map50"].sentence
    assert current_version(zoo, "m") == second.version


def test_a_class_that_is_lost_behind_another_s_gain_is_a_gate_of_its_own(make_run: MakeRun, zoo: Path) -> None:
    publish(**make_run(0, boxes=20, found={"CAR": 0.4, "traffic light": 0.9}), zoo=zoo, name="m")
    swapped = publish(**make_run(1, boxes=20, found={"CAR": 1.0, "traffic light": 0.5}), zoo=zoo, name="m")
    assert verdicts(swapped) | {"training": SKIPPED} == {
        "parity": PASSED, "training": SKIPPED, "minimum_f1": PASSED, "recordings": PASSED, "in_use_map50": PASSED,
        "best_map50": SKIPPED, "in_use_ap50_CAR": PASSED, "in_use_ap50_traffic light": FAILED,
    }  # fmt: skip
    assert not swapped.is_current
    assert "97.5 % interval" in gates_of(swapped)["in_use_ap50_traffic light"].sentence  # two guards share 5 %


def test_classes_with_few_boxes_have_no_gate_and_are_named(make_run: MakeRun, zoo: Path) -> None:
    publish(**make_run(0, boxes=2), zoo=zoo, name="m")
    again = publish(**make_run(1, boxes=2), zoo=zoo, name="m")
    assert gates_of(again)["in_use_ap50_others"].verdict == SKIPPED
    assert "fewer than 50 true boxes: CAR (12), traffic light (12)" in again.text


@pytest.mark.parametrize(("recordings", "boxes", "has_gates"), [(5, 10, True), (7, 7, False)], ids=["50", "49"])
def test_a_class_has_a_gate_from_fifty_boxes_on(
    make_run: MakeRun, zoo: Path, recordings: int, boxes: int, has_gates: bool
) -> None:
    publish(**make_run(0, boxes=boxes, recordings=recordings), zoo=zoo, name="m")
    again = publish(**make_run(1, boxes=boxes, recordings=recordings), zoo=zoo, name="m")
    assert ("in_use_ap50_CAR" in verdicts(again)) == has_gates
    assert ("in_use_ap50_others" in verdicts(again)) != has_gates


def test_an_interval_that_is_too_wide_is_undecided_and_says_what_would_decide(make_run: MakeRun, zoo: Path) -> None:
    publish(**make_run(0, boxes=4), zoo=zoo, name="m")
    run = make_run(1, boxes=4)
    lose_a_recording(run)
    published = publish(**run, zoo=zoo, name="m")
    found = gates_of(published)["in_use_map50"]
    assert (found.verdict, published.is_current) == (UNDECIDED, False)
    assert "The interval is too wide to say: about " in found.sentence
    assert "would decide against it, if the change stays" in found.sentence
    assert "UNDECIDED" in published.text.splitlines()[-1]


def lose_a_recording(run: dict[str, Path]) -> None:
    """Makes the model of a run find nothing in the first recording, and all that it should in the others."""
    from judged_runs import detections_of_rows

    from traffic_yolo.dataset.data_set import DataSet
    from traffic_yolo.detection.raw_detections import RawDetections
    from traffic_yolo.metrics.ground_truth import read_ground_truth

    data = DataSet.open(run["model"].parent / "dataset")
    truth = read_ground_truth(data.coco_path("test"), data.classes)
    path = run["evaluation"] / "detections_test.npz"
    protocol = RawDetections.load(path).protocol
    detections_of_rows(data, protocol, truth.truth_pictures > 0).save(path)


def test_few_recordings_need_to_be_accepted_and_that_is_written_down(make_run: MakeRun, zoo: Path) -> None:
    run = make_run(recordings=4)
    few = publish(**run, zoo=zoo, name="m")
    assert (few.is_current, verdicts(few)["recordings"]) == (False, FAILED)
    accepted = publish(**run, zoo=zoo, name="m", rules=GateRules(accept_few=True, reason="a pilot site", by="Ada"))
    assert accepted.is_current
    assert accepted.version == few.version  # gates are no part of the bundle
    last = read_publications(zoo / "m")[0][-1]
    assert (last.rules["accept_few"], last.reason, last.by, last.made_current) == (True, "a pilot site", "Ada", True)


def test_the_same_weights_are_nothing_new_unless_they_are_forced(make_run: MakeRun, zoo: Path) -> None:
    first = publish(**make_run(0), zoo=zoo, name="m")
    run = make_run(0, ap=0.41)  # evaluated anew: another card
    again = publish(**run, zoo=zoo, name="m")
    assert (again.bundle, again.is_current, again.gates) == (first.bundle, True, ())
    assert "cfg and weights are those in use" in again.text
    again.check("stop")
    assert len(versions(zoo, "m")) == 1
    forced = publish(**run, zoo=zoo, name="m", rules=GateRules(force=True))
    assert (forced.is_new, forced.is_current, forced.forced) == (True, True, False)


@pytest.mark.parametrize(
    ("minimum", "f1", "is_current"),
    [({}, 0.0, False), ({}, 0.01, True), ({"f1": 0.5}, 0.49, False), ({"f1": 0.5}, 0.5, True), ({"f1": 0.0}, 0.0, True),
     ({"map50": 0.46}, 0.7, False), ({"map50": 0.45}, 0.7, True), ({"map": 0.4, "map50": 0.5}, 0.7, False),
     ({"precision": 0.8}, 0.7, True), ({"recall": 0.71}, 0.7, False), ({}, None, False)],
)  # fmt: skip
def test_minimums_hold_and_a_model_that_finds_nothing_is_never_used(
    make_run: MakeRun, zoo: Path, minimum: dict[str, float], f1: float | None, is_current: bool
) -> None:
    published = publish(**make_run(f1=f1), zoo=zoo, name="m", rules=GateRules(minimum=minimum))
    assert published.is_current == is_current


def test_any_compares_nothing_and_still_refuses_what_is_broken(make_run: MakeRun, zoo: Path) -> None:
    rules = GateRules(gate="any")
    publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    worse = publish(**make_run(1, boxes=10, found=0.1, recordings=2), zoo=zoo, name="m", rules=rules)
    assert worse.is_current
    assert verdicts(worse)["in_use_map50"] == verdicts(worse)["recordings"] == SKIPPED
    assert not publish(**make_run(2, passed=False), zoo=zoo, name="m", rules=rules).is_current


def test_force_uses_a_version_in_spite_of_its_gates_and_says_who_and_why(make_run: MakeRun, zoo: Path) -> None:
    publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    run = make_run(1, boxes=10, found=0.5)
    assert not publish(**run, zoo=zoo, name="m").is_current
    forced = publish(**run, zoo=zoo, name="m", rules=GateRules(force=True, reason="new cameras"))
    assert (forced.is_current, forced.forced, forced.is_new) == (True, True, False)
    assert "MADE CURRENT BY FORCE, in spite of: in_use_map50: FAILED" in forced.text
    forced.check("stop")
    last = read_publications(zoo / "m")[0][-1]
    assert (last.forced, last.made_current, last.reason, last.by) == (True, True, "new cameras", publisher())
    assert [gate.verdict for gate in last.gates if gate.name == "in_use_map50"] == [FAILED]


def test_force_brings_back_what_was_rolled_back_and_nothing_else_does(make_run: MakeRun, zoo: Path) -> None:
    runs = [make_run(seed) for seed in range(2)]
    first, second = (publish(**run, zoo=zoo, name="m") for run in runs)
    roll_back(zoo, "m")
    assert not publish(**runs[1], zoo=zoo, name="m").is_current
    assert current_version(zoo, "m") == first.version
    forced = publish(**runs[1], zoo=zoo, name="m", rules=GateRules(force=True))
    assert (forced.version, forced.is_current, forced.forced) == (second.version, True, True)


def test_set_current_and_roll_back_are_not_gated(make_run: MakeRun, zoo: Path) -> None:
    publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    worse = publish(**make_run(1, boxes=10, found=0.5), zoo=zoo, name="m")
    set_current(zoo, "m", worse.version)
    assert current_version(zoo, "m") == worse.version
    # The best ever is not forgotten for it: a version between the two is held against both
    between = publish(**make_run(2, boxes=10, found=0.8), zoo=zoo, name="m")
    assert (verdicts(between)["in_use_map50"], verdicts(between)["best_map50"]) == (PASSED, FAILED)


def test_every_gate_is_a_line_in_the_record_the_card_and_the_ledger(
    make_run: MakeRun, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    run = make_run(1, boxes=10, found=0.8)
    worse = publish(**run, zoo=zoo, name="m")
    entry = next(entry for entry in LedgerTable.read(zoo).entries if entry.version == worse.version)
    assert entry.gates == worse.gates == read_publications(zoo / "m")[0][-1].gates
    assert f"Gates were against m {worse.version}: in_use_map50: FAILED" in LedgerTable.read(zoo).markdown()
    for gate in worse.gates:
        assert sum(line.startswith(f"  {gate.name}: ") for line in worse.text.splitlines()) == 1
        assert f"| {gate.name} | {gate.verdict} |" in worse.markdown
        assert gate.measured is None or worse.scalars[gate.name] == gate.measured
    with pytest.raises(SystemExit):
        main(["zoo", "show", "m", "2", "--zoo", str(zoo)])
    card = capsys.readouterr().out
    assert "## Publication" in card
    assert "| in_use_map50 | failed |" in card
    assert worse.scalars["gates_against"] == 3  # and both classes
    assert json.loads(json.dumps(worse.document()))["gates"][0]["name"] == "parity"
    publish(**run, zoo=zoo, name="m", rules=GateRules(force=True))
    assert len(LedgerTable.read(zoo).entries) == 2  # of one evaluation the newest word counts


def test_a_retry_asks_the_gates_of_a_refused_version_again(make_run: MakeRun, zoo: Path) -> None:
    good = publish(**make_run(0, boxes=10), zoo=zoo, name="m")
    run = make_run(1, boxes=10, found=0.8)
    first, again = (publish(**run, zoo=zoo, name="m") for _ in range(2))
    assert first.problems == again.problems != ()
    assert (again.is_new, again.resumed, again.is_current) == (False, False, False)
    assert len(read_publications(zoo / "m")[0]) == len(LedgerTable.read(zoo).entries) == 2
    set_current(zoo, "m", good.version)


def test_a_version_in_use_that_is_damaged_leaves_the_gate_undecided(make_run: MakeRun, zoo: Path) -> None:
    good = publish(**make_run(0), zoo=zoo, name="m")
    assert isinstance(good.bundle, Path)
    (good.bundle / "model.weights").write_bytes(b"others")
    published = publish(**make_run(1), zoo=zoo, name="m")
    assert (verdicts(published)["in_use_map50"], published.is_current) == (UNDECIDED, False)
    assert "cannot be compared: " in published.text
    assert "model.weights was changed after publishing" in published.text


def test_another_data_set_is_refused_before_anything_is_written(make_run: MakeRun, zoo: Path) -> None:
    run, other = make_run(0), make_run(1, data="e" * 64)
    with pytest.raises(EvaluationError, match="its fingerprint is eeeeeeeeeeee…, the model was evaluated on dddd"):
        publish(**run, zoo=zoo, name="m", dataset=other["model"].parent / "dataset")
    assert not zoo.exists()


def test_gates_are_asked_again_where_another_version_came_into_use_meanwhile(
    make_run: MakeRun, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(**make_run(0, boxes=10, found=0.5), zoo=zoo, name="m")
    mine, other = make_run(1, boxes=10, found=0.8), make_run(2, boxes=10)
    really, asked = publishing.ask, []

    def slow(*arguments: Any) -> Any:
        answers = really(*arguments)
        asked.append(arguments[4].in_use)
        if len(asked) == 1:  # while the first is being measured, a better one is published
            assert publish(**other, zoo=zoo, name="m").is_current
        return answers

    monkeypatch.setattr(publishing, "ask", slow)
    published = publish(**mine, zoo=zoo, name="m")
    assert [version[:4] for version in asked] == ["0001", "0001", "0002"]
    assert verdicts(published)["in_use_map50"] == FAILED
    assert current_version(zoo, "m") == versions(zoo, "m")[1].name


@slow
def test_a_killed_publication_of_a_worse_version_never_brings_it_into_use(make_run: MakeRun, tmp_path: Path) -> None:
    import shutil

    zoo, start = tmp_path / "zoo", tmp_path / "start"
    good = publish(**make_run(0, boxes=4), zoo=start, name="m")
    run = make_run(1, boxes=4, found=0.25)
    shutil.copytree(start, zoo)
    for _ in at_each_point(lambda: publish(**run, zoo=zoo, name="m"), below=zoo, step=9):
        assert current_version(zoo, "m") == good.version
        again = publish(**run, zoo=zoo, name="m")
        assert not again.is_current
        assert len(LedgerTable.read(zoo).entries) == len(read_publications(zoo / "m")[0]) == 2
        shutil.rmtree(zoo)
        shutil.copytree(start, zoo)


@pytest.mark.parametrize(("flags", "code"), [((), 1), (("--on-failed-gate", "keep"), 0), (("--force",), 0)])
def test_exit_codes_of_the_command(
    make_run: MakeRun, zoo: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], code: int
) -> None:
    runs = [make_run(0, boxes=10), make_run(1, boxes=10, found=0.5)]
    publish(**runs[0], zoo=zoo, name="m")
    folders = [word for name, folder in runs[1].items() for word in (f"--{name}", str(folder))]
    with pytest.raises(SystemExit) as ended:
        main(["publish", *folders, "--dataset", str(runs[1]["model"].parent / "dataset"), "--zoo", str(zoo),
              "--earlier-detections", str(runs[0]["evaluation"]), "--model-name", "m", *flags])  # fmt: skip
    printed = capsys.readouterr()
    assert ended.value.code == code
    assert "  in_use_map50: FAILED" in printed.out
    assert ("NOT MADE CURRENT" in printed.out) == ("--force" not in flags)
    assert printed.err.startswith("gates failed: m 0002-") if code else printed.err == ""
    assert printed.err.count("\n") == bool(code)


def test_a_damaged_record_of_a_publication_is_named_and_counts_for_nothing(tmp_path: Path) -> None:
    publication = Publication("0001-x", True, False, "", "", {}, {}, {"0001-x": {"map50": 0.5}}, ())
    write_publication(tmp_path, publication)
    write_publication(tmp_path, publication)
    (found,), problems = read_publications(tmp_path)
    assert (found.version, found.values, problems) == ("0001-x", {"0001-x": {"map50": 0.5}}, [])
    (path,) = (tmp_path / "publications").iterdir()
    for content in (
        "{",
        "[]",
        path.read_text().replace("0.5", '"high"'),
        path.read_text().replace('"by": ""', '"by": 1'),
    ):
        path.write_text(content)
        found_now, problems = read_publications(tmp_path)
        assert found_now == []
        assert problems[0].startswith(f"publications/{path.name}: ")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "m: a version that is no-worse by map50 comes into use; where gates are against it, the run ends as failed"),
        ({"gate": "any", "minimum": "f1=.5", "on_failed_gate": "keep"},
         "m: a version that reaches f1=.5 comes into use; where gates are against it, the run ends as succeeded"),
        ({"force": True}, "m: the new version is used whatever its gates say (force)"),
    ],
)  # fmt: skip
def test_the_rule_of_a_run_in_one_line(changes: dict[str, Any], text: str) -> None:
    assert PublishOptions(zoo="/zoo", model_name="m", **changes).in_words == text
