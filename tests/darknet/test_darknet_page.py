"""docs/darknet.md says what the code refuses, in the code's own words, and its commands are commands."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from traffic_yolo.commands.darknet import command
from traffic_yolo.darknet.sections.refused_keys import IN_EVERY_SECTION
from traffic_yolo.darknet.sections.section_types import REFUSED_SECTIONS, SECTION_TYPES


@pytest.fixture(scope="module")
def page(repository) -> str:
    return (repository / "docs" / "darknet.md").read_text()


@pytest.fixture(scope="module")
def published():
    """The lists of test_every_published_cfg.py."""
    spec = importlib.util.spec_from_file_location("published", Path(__file__).with_name("test_every_published_cfg.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_refused_cfgs_are_those_of_the_tests_with_the_message_that_is_given(page, published):
    rows = dict(re.findall(r"^\| `([\w.-]+)\.cfg` \| (.+?) \|$", page, re.MULTILINE))
    expected = {**published.REFUSED, **published.IN_PART}
    assert set(rows) == set(expected)
    for name, reason in rows.items():
        assert re.search(expected[name], reason), name


def test_refused_section_types_are_those_of_the_reader(page):
    table = page.partition("### Refused section types")[2].partition("###")[0]
    assert dict(re.findall(r"^\| `\[(\w+)\]` \| (.+?) \|$", table, re.MULTILINE)) == REFUSED_SECTIONS


def test_refused_keys_are_those_of_the_tables(page):
    rows = re.findall(r"^\| (any section|`\[\w+\]`) `(\w+)` \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    expected = [("any section", key, refused) for key, refused in IN_EVERY_SECTION.items()]
    expected += [
        (f"`[{name}]`", key, refused)
        for name, section_type in SECTION_TYPES.items()
        for key, refused in section_type.refused_keys.items()
    ]
    assert len(expected) > 15
    assert rows == [
        (
            where,
            key,
            ("none" if refused.allowed == "" else str(refused.allowed))
            + (f", or any without `{refused.beside}`" if refused.beside else ""),
            refused.reason,
        )
        for where, key, refused in expected
    ]


def test_every_command_has_an_example_with_options_that_it_knows(page):
    lines = re.findall(r"^traffic-yolo darknet (.+)$", page, re.MULTILINE)
    shown = set()
    for line in lines:
        name, *arguments = shlex.split(line.replace(" C ", " --cfg net.cfg --weights net.weights "), comments=True)
        known = {option for parameter in command.commands[name].params for option in parameter.opts}
        given = {argument for argument in arguments if argument.startswith("--")}
        assert given <= known, line
        required = {parameter.opts[0] for parameter in command.commands[name].params if parameter.required}
        assert required <= given, line
        shown.add(name)
    assert shown == set(command.commands)
