"""Pointers, cards, histories and records of a zoo that somebody damaged: every look at it ends, or says so in one line."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judged_runs import publish
from value_mutations import MISSING, all_changed

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.registry.gates.judge import open_version
from traffic_yolo.registry.history import History
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.registry.model_home import chosen_version
from traffic_yolo.registry.publication import read_publications
from traffic_yolo.registry.published_data import published_data
from traffic_yolo.registry.zoo_list import list_zoo, verify_zoo

ODD = (MISSING, None, True, -1, 1.5, "x", [], {}, [None])
NO_JSON = (b"", b"x", b"\xff\xfe\x00", b"[" * 100_000, b"0001-000000000000\n")
EVERY = 29  # of the documents with one value changed: all of them take a minute


def looks(zoo: Path) -> dict[str, Callable[[], object]]:
    """All that reads a zoo."""
    home = open_home(zoo, "m")
    return {
        "list": lambda: list_zoo(zoo),
        "verify": lambda: verify_zoo(zoo),
        "history": lambda: History.read(home.location),
        "version in use": lambda: chosen_version(home, ""),
        "data sets": lambda: published_data(zoo),
        "publications": lambda: read_publications(home.location, known={}),
        "card": lambda: open_version(home.bundle(home.versions()[0])),
        "table": lambda: LedgerTable.read(zoo / "ledger"),
    }


def refusals(zoo: Path) -> dict[str, str]:
    found = {}
    for name, look in looks(zoo).items():
        try:
            look()
        except TrafficYoloError as error:
            found[name] = str(error)
    return found


@pytest.mark.many(2)
@pytest.mark.parametrize("name", ["current", "card.json", "history", "publications", "ledger", "trained_on.json"])
def test_every_look_at_a_damaged_zoo_ends_or_says_so_in_one_line(
    make_run: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    zoo = tmp_path / "zoo"
    publish(zoo=zoo, name="m", **make_run())
    assert refusals(zoo) == {}
    (path,) = (each for each in zoo.rglob("*") if name in each.parts[-2:] and each.is_file())
    whole, sums = path.read_bytes(), path.parent / "SHA256SUMS"
    stated = sums.read_text() if sums.is_file() else ""
    try:
        changed = [json.dumps(document).encode() for _, document in all_changed(json.loads(whole), ODD)][::EVERY]
    except ValueError:  # the name of a version is no JSON
        changed = []
    for data in (*changed, *NO_JSON, whole[: len(whole) // 2]):
        path.write_bytes(data)
        if stated:  # somebody who changes a file may put its checksum right
            digest = hashlib.sha256(data).hexdigest()
            sums.write_text(re.sub(rf"[0-9a-f]{{64}}(  {re.escape(path.name)}\n)", rf"{digest}\1", stated))
        told = refusals(zoo)
        assert [text for text in told.values() if "\n" in text or str(tmp_path) not in text] == []


def test_a_version_in_use_that_is_not_there_is_said(make_run: Callable[..., Any], tmp_path: Path) -> None:
    publish(zoo=tmp_path / "zoo", name="m", **make_run())
    (tmp_path / "zoo/m/current").write_text("0002-000000000000\n")
    with pytest.raises(TrafficYoloError, match="current names '0002-000000000000', which is not there"):
        chosen_version(open_home(tmp_path / "zoo", "m"), "")
