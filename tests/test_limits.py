"""Limits of what is read: their texts, their page, and where they hold."""

import dataclasses
import os
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.policy import DataPolicy, policy_at
from traffic_yolo.errors import DatasetError, OptionsError
from traffic_yolo.limits import LIMITS_VARIABLE, Limits, in_force, limits

PAGE = Path(__file__).resolve().parents[1] / "docs" / "limits.md"


def test_the_page_states_each_limit_with_its_default_and_meaning() -> None:
    stated = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [(f.name, f"{f.default:,}", f.metadata["help"]) for f in dataclasses.fields(Limits)]
    assert [(name, default, meaning.strip()) for name, default, meaning in stated] == expected


def test_texts_come_back() -> None:
    wanted = Limits(xml_depth=80, picture_pixels=5)
    assert wanted.text() == "picture_pixels=5,xml_depth=80"
    assert Limits.parse(wanted.text()) == wanted
    assert Limits.parse("") == Limits()
    assert Limits().text() == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth=3", "'depth' is no limit; known: picture_pixels"),
        ("xml_depth=3,xml_depth=4", "'xml_depth' stands there twice"),
        ("xml_depth=0", "expected a whole number from 1"),
        ("xml_depth=-1", "expected a whole number from 1"),
        ("xml_depth=", "expected a whole number"),
        ("xml_depth=1e3", "found '1e3'"),
        ("xml_depth=" + "9" * 5000, "expected a whole number"),
        ("xml_depth=1099511627777", "to 1099511627776; found 1099511627777"),
    ],
)
def test_senseless_limits_are_refused(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionsError) as caught:
        Limits.parse(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500
    with pytest.raises(OptionsError):
        DataPolicy(limits=text)
    monkeypatch.setenv(LIMITS_VARIABLE, text)
    with pytest.raises(OptionsError, match=LIMITS_VARIABLE):
        limits()


def test_a_policy_raises_limits_in_a_section_or_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        policy_at("{limits: {xml_depth: 80}}")
        == policy_at("{limits: xml_depth=80}")
        == DataPolicy(limits="xml_depth=80")
    )
    monkeypatch.setenv(LIMITS_VARIABLE, "xml_elements=7,xml_depth=9")
    assert DataPolicy(limits="xml_depth=80").reading_limits == Limits(xml_elements=7, xml_depth=80)
    for text in ("{limits: {xml_depth: many}}", "{limits: {xml_depth: {a: 1}}}", "{limits: 3}", "{limits: {a: 1}}"):
        with pytest.raises(OptionsError):
            policy_at(text)


def test_a_conversion_keeps_to_the_limits_of_its_policy(tmp_path: Path) -> None:
    """The limit is that of the policy alone, and no longer than the conversion takes."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in "abcdef":
        picture = np.full((8, 10, 3), ord(name), np.uint8)
        (tmp_path / "images" / f"{name}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
        (tmp_path / "labels" / f"{name}.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "data.yaml").write_text("names: [CAR]\ntrain: images\n")
    options = ConvertOptions(source=str(tmp_path), policy="{limits: {picture_pixels: 79}, leak_check: off}")
    with pytest.raises(DatasetError, match=r"states 10 x 8: more than 79 pixels; raise the limit picture_pixels"):
        convert(options, tmp_path / "out")
    assert limits() == Limits()
    convert(replace(options, policy="{limits: {picture_pixels: 80}, leak_check: off}"), tmp_path / "out")


def test_limits_in_force_end_with_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMITS_VARIABLE, raising=False)
    with in_force(Limits(xml_depth=3)):
        assert limits().xml_depth == 3
        assert os.environ[LIMITS_VARIABLE] == "xml_depth=3"  # which processes that are started see as well
    assert limits() == Limits()
    assert LIMITS_VARIABLE not in os.environ
