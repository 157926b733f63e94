"""A data set in a store, made of the shares of the other tests of data sets."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.store import reading_lease

Convert = Callable[..., Path]


@pytest.fixture(autouse=True)
def leases_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test holds is its own; the process goes on."""
    holder = reading_lease._Holder()
    monkeypatch.setattr(holder, "start", lambda: None)
    monkeypatch.setattr(reading_lease, "_holder", holder)


@pytest.fixture
def source(small_data_set: Path, tmp_path: Path) -> Path:
    """A source that a test may change."""
    return shutil.copytree(small_data_set, tmp_path / "nas" / "source")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where data sets are kept."""
    return tmp_path / "nas" / "store"


@pytest.fixture
def convert_to(source: Path, store: Path) -> Convert:
    """Converts the source into the store and writes the reference to a folder, which it returns."""

    def to(out: Path, **options: object) -> Path:
        convert(ConvertOptions(**{"source": str(source), "data_store": str(store), **options}), out)  # type: ignore[arg-type]
        return out

    return to


@pytest.fixture
def referring(convert_to: Convert, tmp_path: Path) -> Path:
    """A folder that refers to a data set in the store."""
    return convert_to(tmp_path / "referring")
