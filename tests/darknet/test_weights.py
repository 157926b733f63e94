"""Weights files: both headers, the byte count, refusals."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.weights import WeightsHeader, read_weights, write_weights
from traffic_yolo.errors import DarknetFormatError, StorageError


@pytest.mark.parametrize(
    ("header", "size", "data"),
    [
        (WeightsHeader(0, 2, 5, 2**40), 20, struct.pack("<iiiQ", 0, 2, 5, 2**40)),
        (WeightsHeader(0, 1, 0, 32013312), 16, struct.pack("<iiiI", 0, 1, 0, 32013312)),
        (WeightsHeader(1, 0, 0, 7), 20, struct.pack("<iiiQ", 1, 0, 0, 7)),
    ],
)
def test_both_header_versions_round_trip(tmp_path, header, size, data):
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float64([1e-40, -2.5])]
    write_weights(tmp_path / "a.weights", header, arrays)
    file = read_weights(tmp_path / "a.weights")
    assert (file.header, header.size_bytes, file.size_bytes) == (header, size, size + 32)
    assert (tmp_path / "a.weights").read_bytes()[:size] == data
    np.testing.assert_array_equal(file.values, np.float32([0, 1, 2, 3, 4, 5, 1e-40, -2.5]))
    write_weights(tmp_path / "b.weights", file.header, [file.values])
    assert (tmp_path / "b.weights").read_bytes() == (tmp_path / "a.weights").read_bytes()


def test_versions_above_1000_are_the_transposed_ones():
    assert WeightsHeader(1001, 0, 0, 0).is_transposed
    assert not WeightsHeader().is_transposed


def test_seen_must_fit_the_header_version():
    with pytest.raises(DarknetFormatError, match=r"seen=4294967296 does not fit version 0\.1"):
        WeightsHeader(0, 1, 0, 2**32)
    with pytest.raises(DarknetFormatError, match="seen=-1"):
        WeightsHeader(seen=-1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected Darknet weights of at least 16 bytes, found 0 bytes"),
        (bytes(15), "at least 16 bytes, found 15 bytes"),
        (bytes(18), "expected 16 header bytes and 4 bytes a value, found 18 bytes"),
        (struct.pack("<iiiQ", 0, 2, 5, 0)[:17], "expected a header of 20 bytes, found a file of 17 bytes"),
        (struct.pack("<iiiQ", 0, 2, 5, 0) + bytes(7), "cut short or no Darknet weights"),
        (b"PK\x03\x04" + bytes(40), "is it a PyTorch checkpoint"),
        (b"[net]\nwidth=416\nheight=416\n", "expected the header of Darknet weights, found version"),
        (struct.pack("<iiiQ", -1, 2, 5, 0), "found version -1.2.5"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path, data, message):
    (tmp_path / "a.weights").write_bytes(data)
    with pytest.raises(DarknetFormatError, match=message) as info:
        read_weights(tmp_path / "a.weights")
    assert str(tmp_path / "a.weights") in str(info.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"weights cannot be read: .*none\.weights: No such file"):
        read_weights(tmp_path / "none.weights")


def test_a_failing_write_leaves_the_old_file(tmp_path):
    write_weights(tmp_path / "a.weights", WeightsHeader(), [np.float32([1])])
    before = (tmp_path / "a.weights").read_bytes()

    def arrays():
        yield np.float32([2])
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_weights(tmp_path / "a.weights", WeightsHeader(), arrays())
    assert (tmp_path / "a.weights").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.weights"]


def file_of(tmp_path, values):
    write_weights(tmp_path / "a.weights", WeightsHeader(), [np.asarray(values, np.float32)])
    return read_weights(tmp_path / "a.weights")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, 262_143, 262_144, 299_999])
def test_the_first_value_that_is_no_number_is_found_in_every_part_of_a_file(tmp_path, index, broken):
    values = np.ones(300_000, np.float32)
    values[[index, -1]] = broken
    file = file_of(tmp_path, values)
    assert file.first_not_finite(300_000) == index
    assert file.first_not_finite(index) is None


def test_the_largest_numbers_are_numbers(tmp_path):
    values = np.full(1000, np.finfo(np.float32).max)
    values[::3] = -values[::3]
    assert file_of(tmp_path, values).first_not_finite(1000) is None
    assert file_of(tmp_path, []).first_not_finite(0) is None


def test_values_are_read_into_arrays_one_after_the_other(tmp_path):
    file = file_of(tmp_path, np.arange(10))
    arrays = [np.zeros((2, 2), np.float32), np.zeros(0, np.float32), np.zeros(3, np.float32)]
    file.read_into(arrays)
    assert [array.tolist() for array in arrays] == [[[0, 1], [2, 3]], [], [4, 5, 6]]


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path):
    file = file_of(tmp_path, np.arange(10))
    with (tmp_path / "a.weights").open("r+b") as shorter:
        shorter.truncate(20 + 16)
    with pytest.raises(DarknetFormatError, match=r"a\.weights: the file became shorter while it was read"):
        file.first_not_finite(10)
    with pytest.raises(DarknetFormatError, match="became shorter"):
        file.read_into([np.zeros(10, np.float32)])
    (tmp_path / "a.weights").unlink()
    with pytest.raises(StorageError, match=r"weights cannot be read: .*a\.weights: No such file"):
        file.first_not_finite(10)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "fuzz.weights"
    file.write_bytes(data)
    try:
        weights = read_weights(file)
    except DarknetFormatError:
        return
    write_weights(file, weights.header, [np.array(weights.values)])
    assert file.read_bytes() == data
