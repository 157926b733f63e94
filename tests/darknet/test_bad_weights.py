"""Damaged weights files: whatever the bytes, they are refused by one line, or come back as they went in."""

import numpy as np
import pytest
from darknet_fuzzing import examine_weights
from examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from small_cfgs import SMALL_CFGS

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import WeightsHeader

HEADERS = [WeightsHeader(), WeightsHeader(0, 1, 0, 9), WeightsHeader(0, 1001, 0, 9)]
IDS = ["seen64", "seen32", "transposed"]


@pytest.fixture(scope="module")
def cfg() -> Cfg:
    return Cfg.parse(SMALL_CFGS["odds-and-ends"], file="small.cfg")


@pytest.fixture(scope="module")
def files(cfg, tmp_path_factory) -> list[bytes]:
    path = tmp_path_factory.mktemp("whole") / "a.weights"
    contents = []
    for header in HEADERS:
        Network(cfg).save_weights(path, header=header)
        contents.append(path.read_bytes())
    return contents


@pytest.mark.parametrize("number", range(len(HEADERS)), ids=IDS)
def test_a_whole_file_goes_in_and_comes_out(cfg, files, number, tmp_path):
    assert examine_weights(files[number], cfg, tmp_path) == "ran"


@pytest.mark.many(1)
@pytest.mark.parametrize("number", range(len(HEADERS)), ids=IDS)
def test_a_file_cut_anywhere_is_refused(cfg, files, number, tmp_path):
    for length in [*range(60), *range(60, len(files[number]), 97), len(files[number]) - 1]:
        assert examine_weights(files[number][:length], cfg, tmp_path) == "refused"
    assert examine_weights(files[number] + bytes(4), cfg, tmp_path) == "refused"


@examples(100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(0, len(HEADERS) - 1),
    place=st.floats(0, 1, exclude_max=True),
    damage=st.binary(min_size=1, max_size=24)
    | st.sampled_from([np.float32(value).tobytes() for value in (np.nan, np.inf, -np.inf, 3e38, 1e-45)]),
)
def test_bytes_written_over_a_file_are_refused_or_kept(cfg, files, number, place, damage, tmp_path):
    whole = bytearray(files[number])
    start = int(place * len(whole)) // 4 * 4
    whole[start : start + len(damage)] = damage[: len(whole) - start]
    examine_weights(bytes(whole), cfg, tmp_path)


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.lists(st.integers(-3, 10**4 + 1), min_size=3, max_size=3), rest=st.binary(max_size=80))
def test_any_header_is_read_or_refused(cfg, header, rest, tmp_path):
    assert examine_weights(np.array(header, "<i4").tobytes() + rest, cfg, tmp_path) == "refused"
