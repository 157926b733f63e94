"""Arrays in one file: mapped, aligned, checked, and an ordinary npz."""

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.lib import format as npy

from traffic_yolo.detection.array_file import map_arrays, write_arrays

NAMES = st.text("abcdefghijklmnop_", min_size=1, max_size=70)
ARRAYS = arrays_of.arrays(
    st.sampled_from([np.uint8, np.int16, np.float16, np.float32, np.int64]),
    arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    elements={"allow_nan": False},
)


@examples(60)
@given(arrays=st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=6))
def test_arrays_come_back_mapped_and_aligned(tmp_path_factory: pytest.TempPathFactory, arrays: dict) -> None:
    path = tmp_path_factory.mktemp("arrays") / "arrays.npz"
    with path.open("wb") as file:
        write_arrays(file, arrays)
    mapped = map_arrays(path)
    assert list(mapped) == list(arrays)
    with np.load(path) as loaded:
        for name, array in arrays.items():
            for other in (mapped[name], loaded[name]):
                np.testing.assert_array_equal(other, array)
                assert other.dtype == array.dtype
            assert mapped[name].ctypes.data % 64 == 0 or not array.size
            assert mapped[name].flags.writeable


def test_writing_to_a_mapped_array_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        write_arrays(file, {"a": np.arange(5)})
    before = path.read_bytes()
    mapped = map_arrays(path)["a"]
    assert not mapped.flags.owndata
    mapped[:] = 0
    assert path.read_bytes() == before


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", a=np.zeros(4))
    with pytest.raises(ValueError, match=r"a\.npy is compressed"):
        map_arrays(tmp_path / "packed.npz")
    np.savez(tmp_path / "turned.npz", a=np.zeros((4, 3)).T)
    with pytest.raises(ValueError, match="no array of ours"):
        map_arrays(tmp_path / "turned.npz")
    (tmp_path / "noise").write_bytes(os.urandom(200))
    with pytest.raises(ValueError, match="not an archive of arrays"):
        map_arrays(tmp_path / "noise")


@pytest.mark.parametrize("stated", [(3, 2), (1, 2), (2**40, 2)])
def test_an_array_that_states_other_rows_than_it_holds_is_refused(tmp_path: Path, stated: tuple[int, int]) -> None:
    """Its checksum is right: numpy would take the bytes of the next entry for data."""
    content = io.BytesIO()
    npy.write_array_header_1_0(content, {"descr": "<i4", "fortran_order": False, "shape": stated})
    content.write(np.ones((2, 2), np.int32).tobytes())
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.npy", content.getvalue())
        archive.writestr("b.npy", bytes(500))
    with pytest.raises(ValueError, match=r"a\.npy states .* of int32, \d+ bytes; it holds 16"):
        map_arrays(path)


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("a.npy", b"")
    with pytest.raises(ValueError, match="stands there twice"):
        map_arrays(path)


def test_a_changed_byte_of_an_array_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        write_arrays(file, {"a": np.full(50, 7, np.uint8)})
    data = bytearray(path.read_bytes())
    data[data.index(bytes([7] * 50)) + 20] = 8
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.npy does not have its checksum"):
        map_arrays(path)
