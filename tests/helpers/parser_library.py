"""Builds the C++ parser of `deepstream/parser` with this machine's compiler, and calls it by ctypes."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCES = Path(__file__).resolve().parents[2] / "components" / "traffic_yolo" / "deepstream" / "parser"
FLOAT32, FLOAT16 = 0, 1  # NvDsInferDataType
ROOM = 200_000  # objects


class Layer(ctypes.Structure):
    """FlatLayer of src/flat_entry.cpp."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data_type", ctypes.c_int32),
        ("dimensions", ctypes.c_uint32),
        ("shape", ctypes.c_uint32 * 8),
        ("count", ctypes.c_uint32),
        ("values", ctypes.c_void_p),
    )


def missing_for_building() -> str:
    """What the machine lacks to build the parser; "" where nothing."""
    missing = [] if shutil.which("cmake") else ["cmake"]
    missing += [] if shutil.which("c++") or shutil.which("g++") or shutil.which("clang++") else ["a C++ compiler"]
    return " and ".join(missing)


def build(folder: Path, *targets: str, **settings: str) -> Path:
    """Builds `targets` below `folder` against our own header, CMake's variables set as given; returns `folder`."""
    variables = [f"-D{name}={value}" for name, value in {"NVDSINFER_INCLUDE_DIR": "interface", **settings}.items()]
    _run("cmake", "-S", str(SOURCES), "-B", str(folder), *variables)
    _run("cmake", "--build", str(folder), "--target", *targets)
    return folder


def _run(*command: str) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{finished.stdout}\n{finished.stderr}")


def layer_of(name: str | None, array: NDArray[np.float32], **changes: int) -> Layer:
    """An output (without the batch) that stays in `array`, which must outlive it; `changes` make it a wrong one."""
    assert array.flags.c_contiguous
    shape = (ctypes.c_uint32 * 8)(*array.shape)
    encoded = None if name is None else name.encode()
    layer = Layer(encoded, FLOAT32, array.ndim, shape, array.size, array.ctypes.data)
    for key, value in changes.items():
        setattr(layer, key, value)
    return layer


class Parser:
    """The library `traffic_yolo_parser_flat` of a build folder."""

    def __init__(self, folder: Path) -> None:
        self._function = ctypes.CDLL(str(folder / "libtraffic_yolo_parser_flat.so")).traffic_yolo_parse
        self._function.restype = ctypes.c_int64
        self._room = np.zeros((ROOM, 7), np.float32)

    def count(
        self, layers: "ctypes.Array[Layer]", hw: tuple[int, int], thresholds: NDArray[np.float32], labels: int
    ) -> int:
        """Parses without copying the objects out: what the benchmark times."""
        pointer = thresholds.ctypes.data_as(ctypes.c_void_p)
        sizes = (ctypes.c_uint32(hw[1]), ctypes.c_uint32(hw[0]), pointer, len(thresholds), len(thresholds))
        rows = self._room.ctypes.data_as(ctypes.c_void_p)
        return int(self._function(layers, len(layers), *sizes, labels, rows, ctypes.c_int64(len(self._room))))

    def __call__(
        self,
        layers: Sequence[Layer],
        network_hw: tuple[int, int],
        thresholds: Sequence[float],
        *,
        num_classes: int | None = None,
        all_labels: bool = False,
    ) -> NDArray[np.float32] | None:
        """Objects (K, 7): left, top, width, height, score, class id, rotation; None where the output is refused."""
        given = (Layer * max(1, len(layers)))(*layers)
        values = np.array(thresholds, np.float32)
        count = self._function(
            given,
            len(layers),
            network_hw[1],
            network_hw[0],
            values.ctypes.data_as(ctypes.c_void_p),
            len(values),
            len(values) if num_classes is None else num_classes,
            int(all_labels),
            self._room.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(ROOM),
        )
        if count < 0:
            return None
        assert count <= ROOM
        return self._room[:count].copy()
