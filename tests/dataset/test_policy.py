"""The data policy: from flags, from a file, from text; what is refused."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from traffic_yolo.cli import traffic_yolo
from traffic_yolo.dataset.policy import RESIZE_RULES, SPLIT_METHODS, DataPolicy, policy_at, with_flags
from traffic_yolo.dataset.report import tiny_boxes
from traffic_yolo.dataset.splits import plan as split_plan
from traffic_yolo.errors import OptionsError, StorageError


def test_nothing_said_is_the_default_policy() -> None:
    assert policy_at("") == DataPolicy()


def test_a_file_and_its_text_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("thin_gap_s: 2\nsplit_level: camera\nthin_keep_classes: BUS, TRUCK\n")
    expected = DataPolicy(thin_gap_s=2.0, split_level="camera", thin_keep_classes="BUS, TRUCK")
    assert policy_at(str(tmp_path / "policy.yaml")) == expected
    assert policy_at('{"thin_gap_s": 2, "split_level": "camera", "thin_keep_classes": "BUS, TRUCK"}') == expected
    assert expected.kept_classes == {"BUS", "TRUCK"}


def test_flags_lie_on_top_of_a_file_and_leave_it_alone_when_there_are_none(tmp_path: Path) -> None:
    location = str(tmp_path / "policy.yaml")
    (tmp_path / "policy.yaml").write_text("thin_gap_s: 2\nleak_check: off\n")
    assert with_flags(location, {}) == location
    assert policy_at(location).leak_check == "off"  # which YAML takes for a boolean
    merged = with_flags(location, {"thin_gap_s": 0.0})
    assert json.loads(merged) == {"thin_gap_s": 0.0, "leak_check": "off"}
    assert policy_at(merged) == DataPolicy(leak_check="off")


def test_a_flag_that_says_the_default_still_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("min_box_px: 4\n")  # lacks the network's size: refused unless the flag wins
    (tmp_path / "none").mkdir()
    arguments = ["convert", "--source", str(tmp_path / "none"), "--policy", str(tmp_path / "policy.yaml")]
    refused = CliRunner().invoke(traffic_yolo, [*arguments, "--out", str(tmp_path / "o"), "--thin-gap-s", "1"])
    assert "give --network-width" in str(refused.exception)
    passed = CliRunner().invoke(traffic_yolo, [*arguments, "--out", str(tmp_path / "o"), "--min-box-px", "0"])
    assert "source is empty" in str(passed.exception)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{thin_gap: 2}", "unknown key 'thin_gap'; did you mean thin_gap_s?"),
        ("{thin_gap_s: soon}", "thin_gap_s: expected a number, found 'soon'"),
        ("{leak_distance: 1.5}", "leak_distance: expected a whole number"),
        ("{leak_distance: true}", "leak_distance: expected a whole number"),
        ("{leak_distance: 40}", "0 to 15 bits"),
        ("{split_level: town}", "split_level: expected one of auto, site"),
        ("{min_box_px: 4}", "give network_width and network_height"),
        ("{min_box_px: -1}", "0 or more"),
        ("{a: [}", "not YAML"),
    ],
)
def test_a_senseless_policy_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        policy_at(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(OptionsError, match=r"p\.yaml"):
        policy_at(str(tmp_path / "p.yaml"))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="policy not found"):
        policy_at(str(tmp_path / "none.yaml"))


def test_choices_are_those_of_the_parts() -> None:
    assert SPLIT_METHODS == split_plan.METHODS
    assert RESIZE_RULES == tiny_boxes.RESIZE_RULES
