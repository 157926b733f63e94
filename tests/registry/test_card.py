"""The model card: what it says, what it leaves to the publication, and that the same run gives the same version."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from judged_runs import publish
from records import TRAINED_ON, pruned_from

from traffic_yolo.commands.zoo import command
from traffic_yolo.errors import ModelError, OptionsError
from traffic_yolo.pruned_from import PRUNED_NAME
from traffic_yolo.registry.bundle import SUMS_NAME, gather_bundle, verify_bundle
from traffic_yolo.registry.card import CARD_TEXT_NAME
from traffic_yolo.registry.card_text import card_markdown
from traffic_yolo.registry.card_view import card_view
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.options import PublishOptions
from traffic_yolo.registry.publication import read_publications
from traffic_yolo.registry.statement import Statement, read_statements, statement_of
from traffic_yolo.registry.zoo_list import verify_zoo

MakeRun = Callable[..., dict[str, Path]]
MANIFEST = {
    "parent_fingerprint": "5" * 64,
    "source": {"location": "nas://captures"},
    "device_labels": "ignore",
    "counts": {"test": {"images": 6, "boxes": 10, "ignored": 2, "device": 3}, "train": {"images": 4}},
}


def show(zoo: Path, *arguments: str) -> str:
    done = CliRunner().invoke(command, ["show", "--zoo", str(zoo), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_card_says_which_data_and_who_labelled_it(make_run: MakeRun) -> None:
    card = gather_bundle(**make_run(), manifest=MANIFEST).card
    assert card["data"]["snapshot_fingerprint"] == "5" * 64
    test, train = card["data"]["splits"]
    assert (test["images"], test["labelled_by_people"], test["labelled_by_devices"]) == (6, 9, 3)
    assert "labelled_by_people" not in train  # nobody counted
    assert card["options"]["convert"] == {"device_labels": "ignore"}
    assert "nas://captures" not in json.dumps(card)


def test_the_card_says_what_the_weights_come_from_and_have_seen(make_run: MakeRun) -> None:
    card = gather_bundle(**make_run(verdict="may have seen")).card
    assert card["lineage"] == {
        "trained_here": True,
        "start_weights": TRAINED_ON["start_weights"],
        "start_weights_sha256": TRAINED_ON["start_weights_sha256"],
        "start_weights_location": None,
        "data_fingerprint": TRAINED_ON["data_fingerprint"],
        "pictures_trained_on": 2,
        "pictures_chosen_on": 1,
    }
    assert card["weights_have_seen"]["verdict"] == "may have seen"
    assert any("may have seen the pictures" in limit for limit in card["limits"])


def test_numbers_come_with_their_intervals(make_run: MakeRun) -> None:
    run = make_run()
    path = run["tuning"] / "operating_point.json"
    point = json.loads(path.read_text())
    point["test"] |= {"intervals": {"f1": [0.7, 0.8]}, "interval_confidence": 0.95, "interval_groups": {"note": "few."}}
    path.write_text(json.dumps(point))
    card = gather_bundle(**run).card
    assert card["evaluation"]["intervals"] == {"f1": [0.7, 0.8]}
    assert "- intervals.f1: 0.7, 0.8\n" in card_markdown("m", card)
    assert "Intervals: few." in card["limits"]


def test_a_class_measured_on_fewer_than_fifty_true_boxes_is_a_limit(make_run: MakeRun) -> None:
    run = make_run()
    path = run["evaluation"] / "record.json"
    measured = {"ap": 0.4, "ap50": 0.5, "ap75": 0.4, "ar": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    counts = {"true_positives": 1, "false_positives": 1, "false_negatives": 1}
    rows = [
        {"class_name": name, "num_truths": number, **measured, **counts}
        for name, number in (("CAR", 50), ("traffic light", 49))
    ]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"per_class": rows}))
    limits = gather_bundle(**run).card["limits"]
    assert "Fewer than 50 true boxes were measured of traffic light: its numbers say little." in limits


def test_the_text_stands_in_the_bundle_and_every_value_in_the_text(make_run: MakeRun, tmp_path: Path) -> None:
    published = publish(**make_run(), zoo=tmp_path / "zoo", name="m")
    text = (Path(published.bundle) / CARD_TEXT_NAME).read_text()
    card = verify_bundle(published.bundle)
    assert text == card_markdown("Model card", card)
    for heading in ("Evaluation", "Limits", "Data", "Weights have seen", "Lineage", "Options", "Sha256"):
        assert f"\n## {heading}\n" in text
    assert all(digest in text for digest in card["sha256"].values())
    assert "| test | – | – | 6 |" in text


def test_the_version_does_not_depend_on_who_publishes_when_and_with_what_words(
    make_run: MakeRun, tmp_path: Path
) -> None:
    zoos = [tmp_path / "one", tmp_path / "other"]
    rules = [GateRules(by="a", run_id="run-1"), GateRules(by="b", run_id="run-2")]
    words = [Statement(author="A"), Statement(author="B", weights_licence="MIT")]
    first, second = (
        publish(**make_run(), zoo=zoo, name="m", rules=rule, statement=said)
        for zoo, rule, said in zip(zoos, rules, words, strict=True)
    )
    assert first.version == second.version
    again = publish(**make_run(), zoo=zoos[0], name="m", rules=rules[1])
    assert (again.version, again.is_new) == (first.version, False)


def test_a_decision_says_which_run_held_it_against_what(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    first = publish(**make_run(0), zoo=zoo, name="m", rules=GateRules(run_id="run-1"))
    publish(**make_run(1), zoo=zoo, name="m", rules=GateRules(run_id="{{$.pipeline_job_uuid}}"))
    one, two = read_publications(zoo / "m")[0]
    assert one.origin["run_id"] == "run-1"
    assert "in_use" not in one.origin
    assert two.origin["in_use"] == first.version
    assert "run_id" not in two.origin  # an old server's placeholder is no id
    assert set(two.origin) == {"in_use", "code_version"}
    assert f"- origin.in_use: {first.version}\n" in show(zoo, "m", "2")


def test_show_prints_what_people_state_and_what_nobody_stated(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    said = Statement(author="Ana", intended_use="Count cars.\n# Not a heading")
    publish(**make_run(), zoo=zoo, name="m", statement=said)
    text = show(zoo, "m")
    assert "- author: Ana\n" in text
    assert "- intended_use: Count cars. # Not a heading\n" in text
    assert "- weights_licence: not stated\n" in text
    assert "- gates.minimum_f1" not in text
    assert "| minimum_f1 | passed |" in text
    view = json.loads(show(zoo, "m", "--json"))
    assert view["statement"]["author"] == "Ana"
    assert view["publication"]["gates"][0]["name"] == "parity"


def test_a_later_statement_corrects_an_earlier_one_without_a_second_version(make_run: MakeRun, tmp_path: Path) -> None:
    zoo, licences = tmp_path / "zoo", ("MIT", "Apache-2.0", "Apache-2.0", "MIT")
    for licence in licences:
        said = Statement(weights_licence=licence, author="Ana" if licence == licences[0] else "")
        published = publish(**make_run(), zoo=zoo, name="m", statement=said)
        assert statement_of(zoo / "m", published.version) == Statement(author="Ana", weights_licence=licence)
    assert len(read_statements(zoo / "m")[0]) == 3
    assert len(list((zoo / "m").glob("0*"))) == 1
    assert len(read_publications(zoo / "m")[0]) == 1


def test_a_statement_without_a_new_version_is_not_lost_in_silence(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    publish(**make_run(), zoo=zoo, name="m")
    run = make_run()
    path = run["tuning"] / "operating_point.json"
    path.write_text(path.read_text().replace('"f1": 0.75', '"f1": 0.5'))  # the same weights, another bundle
    again = publish(**run, zoo=zoo, name="m", statement=Statement(weights_licence="MIT"))
    assert again.nothing_new
    assert "what was stated of the new version was not written down" in again.text


def test_the_version_that_a_training_started_from_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    first = publish(**make_run(0), zoo=zoo, name="m")
    run = make_run(1)
    start = verify_bundle(first.bundle)["sha256"]["model.weights"]
    told = {**TRAINED_ON, "start_weights_sha256": start}
    (run["model"] / "trained_on.json").write_text(json.dumps(told))
    second = publish(**run, zoo=zoo, name="m")
    home = open_home(zoo, "m")
    assert card_view(home, second.version)["lineage"]["started_from"] == first.version
    assert card_view(home, first.version)["lineage"]["started_from"] is None


def test_the_model_that_was_pruned_for_a_training_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    first = publish(**make_run(0), zoo=zoo, name="m")
    run = make_run(1)
    parent = verify_bundle(first.bundle)["sha256"]["model.weights"]
    pruned_from(parent=parent, weights=TRAINED_ON["start_weights_sha256"]).write(run["model"] / PRUNED_NAME)
    second = publish(**run, zoo=zoo, name="m")
    lineage = card_view(open_home(zoo, "m"), second.version)["lineage"]
    assert lineage["started_from"] == first.version
    assert lineage["pruned_from"] == {
        "weights_sha256": parent,
        "bflops": [2.0, 1.0],
        "weights": [400, 200],
        "kind": "regular",
        "importance": "scale",
    }
    assert (Path(second.bundle) / PRUNED_NAME).is_file()
    assert [found.problem for found in verify_zoo(zoo) if found.problem] == []


def test_a_bundle_of_an_older_program_is_still_one(make_run: MakeRun, tmp_path: Path) -> None:
    bundle = Path(publish(**make_run(), zoo=tmp_path / "zoo", name="m").bundle)
    (bundle / CARD_TEXT_NAME).unlink()
    sums = "".join(line for line in (bundle / SUMS_NAME).read_text().splitlines(True) if CARD_TEXT_NAME not in line)
    (bundle / SUMS_NAME).write_text(sums)
    with pytest.raises(ModelError, match=r"CARD\.md is missing"):  # of a card that came with one
        verify_bundle(bundle)
    card = {**json.loads((bundle / "card.json").read_text()), "schema_version": 1}
    del card["lineage"]
    (bundle / "card.json").write_text(json.dumps(card))
    import hashlib

    new = hashlib.sha256((bundle / "card.json").read_bytes()).hexdigest()
    old = next(line.split()[0] for line in sums.splitlines() if line.endswith("card.json"))
    (bundle / SUMS_NAME).write_text(sums.replace(old, new))
    assert verify_bundle(bundle)["schema_version"] == 1
    assert "# m " in show(tmp_path / "zoo", "m")


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 1, "version": 3}'])
def test_a_damaged_statement_is_found_and_hides_no_other(make_run: MakeRun, tmp_path: Path, content: str) -> None:
    zoo = tmp_path / "zoo"
    published = publish(**make_run(), zoo=zoo, name="m", statement=Statement(author="Ana"))
    (zoo / "m" / "statements" / "000002-0123456789abcdef.json").write_text(content)
    assert statement_of(zoo / "m", published.version).author == "Ana"
    problems = [finding.text for finding in verify_zoo(zoo) if finding.problem]
    assert len(problems) == 1
    assert problems[0].startswith("m statements/000002-0123456789abcdef.json: DAMAGED: ")


def test_a_text_that_is_too_long_is_refused_before_anything_is_done() -> None:
    with pytest.raises(OptionsError, match="limitations: expected at most 4000 characters, found 4001"):
        PublishOptions(zoo="zoo", limitations="x" * 4001)
