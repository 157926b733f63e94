"""A store of data sets: whole under its fingerprint, made once whoever makes it, and handed on by reference."""

import shutil
from pathlib import Path

import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.reference import REFERENCE_NAME
from traffic_yolo.dataset.shards import Shard, convert_shard, merge_shards
from traffic_yolo.dataset.store import merge_into_store
from traffic_yolo.errors import DatasetError, OptionsError, StorageError


@pytest.fixture
def parts(small_data_set: Path, tmp_path: Path) -> list[Path]:
    folders = [tmp_path / f"part{index}" for index in range(2)]
    for index, folder in enumerate(folders):
        convert_shard(ConvertOptions(str(small_data_set), policy='{leak_check: "off"}'), folder, Shard(index, 2))
    return folders


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_the_merged_data_set_and_a_reference_to_it(parts: list[Path], tmp_path: Path) -> None:
    merged = merge_into_store(parts, tmp_path / "store", tmp_path / "out", run_id="run-1")
    merge_shards(parts, tmp_path / "plain")
    (kept,) = (tmp_path / "store").iterdir()
    assert (kept.name, content(kept)) == (merged.fingerprint, content(tmp_path / "plain"))
    assert set(content(tmp_path / "out")) == {REFERENCE_NAME, "report.html"}
    assert DataSet.open(tmp_path / "out").root == kept


def test_a_second_run_shares_it_and_one_that_was_removed_is_made_again(parts: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "store"
    merged = merge_into_store(parts, store, tmp_path / "first", run_id="run-1")
    before = (store / merged.fingerprint).stat().st_ino
    merge_into_store(parts, store, tmp_path / "second", run_id="run-2")
    assert [path.name for path in store.iterdir()] == [merged.fingerprint]
    assert (store / merged.fingerprint).stat().st_ino == before
    shutil.rmtree(store / merged.fingerprint)
    with pytest.raises(StorageError, match="data set not found"):
        DataSet.open(tmp_path / "first")
    merge_into_store(parts, store, tmp_path / "third", run_id="run-3")
    assert DataSet.open(tmp_path / "first").fingerprint == merged.fingerprint


@pytest.mark.parametrize("killed", ["while merging", "before it had its name", "before the reference"])
def test_a_task_that_was_killed_is_finished_by_the_next(
    parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    place = {
        "while merging": "traffic_yolo.dataset.shards._check_files",
        "before it had its name": "traffic_yolo.dataset.store.os.rename",
        "before the reference": "traffic_yolo.dataset.store.shutil.copyfile",
    }[killed]

    def die(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(place, die)
        merge_into_store(parts, tmp_path / "store", tmp_path / "out", run_id="run-1")
    assert not (tmp_path / "out").exists()
    merged = merge_into_store(parts, tmp_path / "store", tmp_path / "out", run_id="run-1")
    assert [path.name for path in (tmp_path / "store").iterdir()] == [merged.fingerprint]
    assert DataSet.open(tmp_path / "out").fingerprint == merged.fingerprint


def test_other_content_under_the_name_and_no_run_are_refused(parts: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "store"
    merged = merge_into_store(parts, store, tmp_path / "first", run_id="run-1")
    manifest = store / merged.fingerprint / "manifest.json"
    manifest.write_text(manifest.read_text().replace(merged.fingerprint, "0" * len(merged.fingerprint)))
    with pytest.raises(DatasetError, match="holds another data set"):
        merge_into_store(parts, store, tmp_path / "second", run_id="run-2")
    with pytest.raises(OptionsError, match="run_id: expected the id of this run"):
        merge_into_store(parts, store, tmp_path / "third", run_id="")
    with pytest.raises(StorageError, match="no output can be written into object storage"):
        merge_into_store(parts, "s3://bucket/store", tmp_path / "fourth", run_id="run-3")
