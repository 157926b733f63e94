"""TensorRT's calibration table: its bytes by hand, the way there and back, and what is no table."""

import struct
from pathlib import Path

import pytest

from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.errors import ModelError

# 127 / 127 is 1 (3f800000), 254 / 127 is 2 (40000000); 255 / 127 is what tables of a network on bytes begin with
BY_HAND = """TRT-8503-EntropyCalibration2
input: 3f800000
/a: b/Conv_output_0: 40000000
data: 40008102
"""


def test_a_scale_is_the_range_over_127_as_a_float_with_its_highest_byte_first() -> None:
    ranges = {"input": 127.0, "/a: b/Conv_output_0": 254.0, "data": 255.0}
    assert CalibrationTable.of_ranges(ranges).text == BY_HAND
    assert struct.unpack(">f", bytes.fromhex("40008102"))[0] == pytest.approx(255 / 127)


def test_what_is_written_is_read_back_to_the_bit(tmp_path: Path) -> None:
    table = CalibrationTable.of_ranges({"a": 0.1, "b": 3e-42, "c": 6e4})
    (tmp_path / "t").write_text(table.text)
    assert CalibrationTable.read(tmp_path / "t") == table
    assert table.magnitudes["a"] == pytest.approx(0.1)


def test_a_table_of_tensorrts_own_is_read_without_leading_zeros_and_with_crlf(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"TRT-8XXX-EntropyCalibration2\r\na: c010a14\r\na: 3f800000\r\nb: 7f0a14\r\n\r\n")
    table = CalibrationTable.read(tmp_path / "t")
    assert table.scales["a"] == 1.0  # the later one
    assert 0 < table.scales["b"] < 1.2e-38  # a subnormal number
    assert table.release == "8XXX"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no calibration table: expected TRT-8503-EntropyCalibration2 at its head, found an empty file"),
        ("setting AP\n", "is no calibration table: .* found 'setting AP'"),
        ("TRT-8503-EntropyCalibration2\n", "names no tensor"),
        ("TRT-8503-EntropyCalibration2\na 3f800000\n", ":2: expected a tensor and eight hexadecimal digits"),
        ("TRT-8503-EntropyCalibration2\n\na: 0.0078\n", ":3: expected a tensor and eight hexadecimal digits"),
        ("TRT-8503-EntropyCalibration2\na: 00000000\n", ":2: the scale of a is 0; expected above 0"),
        ("TRT-8503-EntropyCalibration2\na: 7f800000\n", ":2: the scale of a is inf"),
        ("TRT-8503-EntropyCalibration2\na: bf800000\n", ":2: the scale of a is -1"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(ModelError, match=message):
        CalibrationTable.read(tmp_path / "t")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"TRT-\xff\xfe")
    with pytest.raises(ModelError, match="cannot be read as a calibration table"):
        CalibrationTable.read(tmp_path / "t")


def test_another_tensorrt_gets_its_number_and_another_patch_of_it_does_not() -> None:
    table = CalibrationTable({"a": 1.0}, release="8502")  # of a Jetson
    assert table.for_release("8503").release == "8502"
    assert table.for_release("8601").release == "8601"
    assert table.for_release("100300").text == "TRT-100300-EntropyCalibration2\na: 3f800000\n"
    assert CalibrationTable({"a": 1.0}, release="101401").for_release("101600").release == "101600"
    assert CalibrationTable({"a": 1.0}, release="101401").for_release("101400").release == "101401"


def test_a_table_of_another_calibrator_or_other_tensors_is_a_problem() -> None:
    assert CalibrationTable({"a": 1.0}).problem({"a", "b"}) == ""
    assert "is of MinMaxCalibration" in CalibrationTable({"a": 1.0}, algorithm="MinMaxCalibration").problem({"a"})
    assert "tensors such as 'a', none of which" in CalibrationTable({"a": 1.0}).problem({"b"})
