"""The table of layers as a file: the round trip, a damaged one, and one of another network."""

import json
from pathlib import Path

import numpy as np
import pytest
from value_mutations import MISSING, all_changed

from traffic_yolo.compression.latency_table import SHARES, LatencyTable
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import read_sections
from traffic_yolo.errors import OptionsError, TrafficYoloError

CFG = """[net]
width=32
height=16
channels=3
[convolutional]
filters=8
size=1
activation=linear
[convolutional]
filters=6
size=1
activation=linear
[yolo]
mask=0
anchors=4,5
classes=1
num=1
"""
SECTIONS = read_sections(Cfg.parse(CFG, file="made.cfg"))
TIMES = np.arange(1.0, 10.0).reshape(3, 3)
TABLE = LatencyTable({0: TIMES, 1: TIMES / 2}, {0: (3, 8), 1: (8, 6)}, 0.5, (16, 32), "a machine")


def test_a_network_is_predicted_between_what_was_measured():
    """Whole: 9 + 4.5 + .5. With 6 of 8 filters (.75): 8.5, between 8 and 9; who reads them half of 7.5."""
    assert TABLE.predict(SECTIONS) == pytest.approx(14.0)
    fewer = read_sections(Cfg.parse(CFG.replace("filters=8", "filters=6"), file="made.cfg"))
    assert TABLE.predict(fewer) == pytest.approx(0.5 + 8.5 + (9 + 6) / 2 / 2)


def test_the_file_is_read_back(tmp_path: Path):
    TABLE.write(tmp_path / "table.json")
    again = LatencyTable.read(tmp_path / "table.json")
    assert again.document() == TABLE.document()
    assert (again.rest, again.input_hw, again.machine, again.channels) == (0.5, (16, 32), "a machine", TABLE.channels)
    assert np.array_equal(again.layers[1], TIMES / 2)
    assert "14.00 ms a picture of 32 x 16 (PyTorch, a machine)" in TABLE.text


def test_any_other_value_is_read_or_refused_by_name(tmp_path: Path):
    path = tmp_path / "table.json"
    LatencyTable({0: TIMES}, {0: (3, 8)}, 0.5, (16, 32), "a machine").write(path)
    refused = {}
    for what, changed in all_changed(json.loads(path.read_text()), (MISSING, None, -1, "x", [None])):
        path.write_text(json.dumps(changed))
        try:
            LatencyTable.read(path)
        except TrafficYoloError as error:
            refused[what] = str(error)
    assert len(refused) > 80
    assert [what for what, text in refused.items() if str(path) not in text] == []


def test_a_table_of_another_network_is_refused():
    TABLE.check(SECTIONS, (16, 32), where="t.json")
    with pytest.raises(
        OptionsError, match=r"t\.json: measured at 32 x 16 pixels, the network has 64 x 16; measure this"
    ):
        TABLE.check(SECTIONS, (16, 64), where="t.json")
    other = read_sections(Cfg.parse(CFG.replace("filters=8", "filters=9"), file="made.cfg"))
    with pytest.raises(OptionsError, match="layer 0 was 3 -> 8 channels there, and is 3 -> 9 channels here"):
        TABLE.check(other, (16, 32), where="t.json")
    longer = read_sections(Cfg.parse(CFG.replace("[yolo]", "[convolutional]\nfilters=6\n[yolo]"), file="made.cfg"))
    with pytest.raises(OptionsError, match="layer 2 was no convolution there, and is 6 -> 6 channels here"):
        TABLE.check(longer, (16, 32), where="t.json")


def test_shares_rise_to_the_whole():
    assert list(SHARES) == sorted(SHARES)
    assert SHARES[-1] == 1
