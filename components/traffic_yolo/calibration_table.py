"""TensorRT's calibration table: the scale of each tensor for INT8 without Q/DQ nodes, as a text file.

    TRT-8503-EntropyCalibration2
    input: 3c010204
    /network/layers.0/conv/Conv_output_0: 3e1c71c7

The first line names the TensorRT release and the calibrator. Each other line has a tensor and the eight hexadecimal
digits of a float32, the highest byte first: the scale, which is the magnitude that becomes 127, divided by 127. The
form is that of the tables which TensorRT writes and NVIDIA's TAO exporters write for it; a tensor's name may hold ": ".
nvinfer hands such a file to an `IInt8EntropyCalibrator2` that has no pictures, so that it must fit.
"""

import math
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from traffic_yolo.errors import ModelError
from traffic_yolo.messages import shown

ALGORITHM = "EntropyCalibration2"  # nvdsinfer_context_impl.cpp: NvDsInferInt8Calibrator is an IInt8EntropyCalibrator2
LEVELS = 127  # the largest signed byte on both sides: TensorRT's scales are symmetric
RELEASE = "8503"  # of TensorRT 8.5.3, which DeepStream 6.3 has: the oldest that we write configurations for
MOST_BYTES = 16 << 20  # a tensor takes some 60
_HEADER = re.compile(r"TRT-(?P<release>[0-9A-Za-z]+)-(?P<algorithm>[0-9A-Za-z]+)")
_LINE = re.compile(r"(?P<tensor>.+): (?P<scale>[0-9A-Fa-f]{1,8})")  # TensorRT leaves leading zeros out


@dataclass(frozen=True)
class CalibrationTable:
    """Scales by tensor. `release`: the TensorRT of the first line, such as "8503" (8.5.3) or "100300" (10.3.0).

    `scales`: float32 values, above 0 and finite, in the file's order; a tensor without one stays in float.
    """

    scales: Mapping[str, float]
    release: str = RELEASE
    algorithm: str = ALGORITHM

    @classmethod
    def of_ranges(cls, ranges: Mapping[str, float]) -> "CalibrationTable":
        """The table of the magnitudes that become 127, each above 0."""
        return cls({tensor: _rounded(magnitude / LEVELS) for tensor, magnitude in ranges.items()})

    @classmethod
    def read(cls, path: Path) -> "CalibrationTable":
        """Reads a table. Raises `ModelError` with the line for what is none, and for a scale that is no number above 0.

        Of a tensor that stands twice the last line counts, as for one who reads from the top.
        """
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ModelError(f"{path}: {path.stat().st_size} bytes; a calibration table has at most {MOST_BYTES}")
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path}: cannot be read as a calibration table: {error}") from error
        header = _HEADER.fullmatch(lines[0].strip()) if lines else None
        if header is None:
            found = shown(lines[0]) if lines else "an empty file"
            raise ModelError(
                f"{path}: is no calibration table: expected TRT-8503-{ALGORITHM} at its head, found {found}"
            )
        scales = {}
        for number, line in enumerate(lines[1:], start=2):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line.rstrip())
            if match is None:
                raise ModelError(
                    f"{path}:{number}: expected a tensor and eight hexadecimal digits such as input: 3c010204, found "
                    f"{shown(line)}"
                )
            scale = struct.unpack(">f", bytes.fromhex(match["scale"].zfill(8)))[0]
            if not (math.isfinite(scale) and scale > 0):
                raise ModelError(f"{path}:{number}: the scale of {match['tensor']} is {scale:g}; expected above 0")
            scales[match["tensor"]] = scale
        if not scales:
            raise ModelError(f"{path}: names no tensor, so that nothing would be in INT8; expected a line for each")
        return cls(scales, header["release"], header["algorithm"])

    @property
    def text(self) -> str:
        """The file's content."""
        lines = [f"{tensor}: {struct.pack('>f', scale).hex()}" for tensor, scale in self.scales.items()]
        return "\n".join([f"TRT-{self.release}-{self.algorithm}", *lines, ""])

    @property
    def magnitudes(self) -> dict[str, float]:
        """What becomes 127 of each tensor."""
        return {tensor: scale * LEVELS for tensor, scale in self.scales.items()}

    def for_release(self, release: str) -> "CalibrationTable":
        """A copy for another TensorRT; as it is where major and minor number are the same.

        TensorRT 10 refuses a table of 8 ("Calibration table does not match calibrator algorithm type") and takes the
        same scales under its own number, as NVIDIA's users report; a patch release is left as it is, for a table that
        was made on the node itself.
        """
        return self if _minor(self.release) == _minor(release) else replace(self, release=release)

    def problem(self, tensors: Collection[str]) -> str:
        """What keeps nvinfer from building INT8 of a graph with these tensors by this table; "" where nothing does."""
        if self.algorithm != ALGORITHM:
            return f"is of {self.algorithm}, and nvinfer's calibrator is {ALGORITHM}"
        if not set(self.scales) & set(tensors):
            first = next(iter(self.scales))
            return f"names tensors such as {shown(first)}, none of which the ONNX file has"
        return ""


def _rounded(value: float) -> float:
    """As float32, in which the file holds it; never 0."""
    return max(float(struct.unpack(">f", struct.pack(">f", value))[0]), 2.0**-149)


def _minor(release: str) -> str:
    """Major and minor number: 8503 is 8.5, and from TensorRT 10 on two digits a part: 101401 is 10.14."""
    return release[:-2]
