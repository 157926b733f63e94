"""Licences: what the images hold is free to be built with and served, and a distribution that is not would be named."""

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from licences import ALLOWED, BUNDLED, Licence, complaints, installed, licence_of


@pytest.fixture(scope="module")
def found() -> list[Licence]:
    return [licence_of(one) for one in installed()]


def test_nothing_that_the_images_hold_is_refused(found: list[Licence]) -> None:
    assert complaints(found) == []


def test_everything_that_the_images_import_is_looked_at(found: list[Licence]) -> None:
    names = {one.name for one in found}
    assert {"torch", "numpy", "numba", "opencv-python-headless", "kfp", "kfp-kubernetes", "onnxruntime"} <= names
    assert {"protobuf", "urllib3", "sympy"} <= names  # what those bring along
    assert not {"pytest", "moto", "scipy"} & names  # tests' and other extras'


def test_exceptions_are_those_that_are_needed(found: list[Licence]) -> None:
    assert set(ALLOWED) <= {one.name for one in found if one.is_refused}
    assert set(BUNDLED) <= {one.name for one in found if one.carries}


@pytest.mark.parametrize(
    ("licence", "is_refused"),
    [
        ("AGPL-3.0-only", True),
        ("GPL-3.0-or-later", True),
        ("GNU Affero General Public License v3", True),
        ("GNU General Public License v2 (GPLv2)", True),
        ("MIT AND GPL-2.0-only", True),
        ("MIT OR GPL-2.0-only", False),
        ("LGPL-2.1-or-later", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("Apache-2.0 OR BSD-3-Clause", False),
    ],
)
def test_licence_is_read_with_its_choices(licence: str, is_refused: bool) -> None:
    one = Licence("some", "1.0", licence, ())
    assert one.is_refused is is_refused
    assert bool(complaints([one])) is is_refused


def test_silence_and_a_text_that_nobody_looked_at_are_named() -> None:
    (silent,) = complaints([Licence("some", "1.0", "", ())])
    assert silent.startswith("some 1.0: states no licence")
    (carrying,) = complaints([Licence("some", "1.0", "MIT", ("some/COPYING",))])
    assert "carries the GPL in some/COPYING" in carrying


def test_whole_text_is_found_wherever_it_lies_and_a_mention_is_not(tmp_path: Path) -> None:
    class Installed(importlib.metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return {"METADATA": "Name: Some_Thing\nVersion: 1.0\nLicense: MIT\n", "RECORD": record}.get(filename)

        def locate_file(self, path: Any) -> Any:
            return tmp_path / path

    (tmp_path / "COPYING").write_text("  GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007\n")
    (tmp_path / "NOTICE").write_text("compatible with the GNU General Public License, they say")
    record = "COPYING,,\nNOTICE,,\n"
    assert licence_of(Installed()) == Licence("some-thing", "1.0", "MIT", ("COPYING",))


def test_metadata_is_taken_in_the_order_of_how_exact_it_is() -> None:
    class Installed(importlib.metadata.Distribution):
        def __init__(self, lines: str) -> None:
            self.lines = lines

        def read_text(self, filename: str) -> str | None:
            return f"Name: some\nVersion: 1\n{self.lines}" if filename == "METADATA" else None

        def locate_file(self, path: Any) -> Any:
            return path

    approved, bsd = "Classifier: License :: OSI Approved", "Classifier: License :: OSI Approved :: BSD License"
    for lines, licence in [
        (f"License-Expression: MIT\nLicense: old\n{bsd}\n", "MIT"),
        (f"License: BSD, as it says\n{bsd}\n", "BSD License"),
        (f"License: Apache-2.0\n{approved}\n", "Apache-2.0"),
        ("", ""),
    ]:
        assert licence_of(Installed(lines)).licence == licence
