"""A data set that is gone from its store: made again by whoever misses it, the same, or one line says why not."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_yolo.cli import main
from traffic_yolo.dataset.convert import ContentToMatch, convert, recipe_of
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.named_files import check_named_files, named_files
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.store.opening import REBUILDS_NAME
from traffic_yolo.errors import DatasetError, StorageError
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot

Convert = Callable[..., Path]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def visible(store: Path) -> list[str]:
    return [path.name for path in store.iterdir() if not path.name.startswith(".")]


@pytest.fixture
def gone(referring: Path) -> Path:
    """A reference to a data set that somebody has deleted."""
    shutil.rmtree(DataSet.open(referring).root)
    return referring


def change_a_label(source: Path) -> None:
    """In what convert wrote and reads again, a box that is a pixel wider."""
    path = source / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace('"bbox":[', '"bbox":[1', 1))


def test_it_is_made_again_with_the_same_bytes(referring: Path, source: Path, tmp_path: Path) -> None:
    kept = DataSet.open(referring).root
    before = content(kept)
    shutil.rmtree(kept)
    assert DataSet.open(referring).root == kept
    assert content(kept) == before
    assert visible(kept.parent) == [kept.name]


def test_of_two_that_miss_it_one_works(gone: Path, store: Path) -> None:
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if len(DataSet.open(gone).split("train")) == 3 else 1
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    (kept,) = visible(store)
    assert os.listdir(store / REBUILDS_NAME / kept) == ["1"]


def test_a_source_that_has_changed_gives_no_other_data_set(gone: Path, source: Path, store: Path) -> None:
    change_a_label(source)
    with pytest.raises(DatasetError) as refusal:
        DataSet.open(gone)
    line = str(refusal.value)
    assert "the data set is gone and could not be made again: the source has changed since: converted now" in line
    assert line.endswith("run convert anew")
    assert "\n" not in line
    assert visible(store) == []
    shutil.rmtree(source)
    with pytest.raises(DatasetError, match=r"gone and could not be made again: source not found: .*source"):
        DataSet.open(gone)


def test_it_keeps_to_the_content_of_the_share_that_it_was_made_of(source: Path, store: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("leak_check: report\n")
    options = ConvertOptions(str(source), policy=str(policy), data_store=str(store))
    files = named_files(options, "", "run-1")
    seen = ContentToMatch(ShareContent.of(take_snapshot(str(source))), tmp_path / "cache", files=files)
    convert(options, tmp_path / "out", content=seen)
    shutil.rmtree(DataSet.open(tmp_path / "out").root)
    assert DataSet.open(tmp_path / "out").root.is_dir()
    shutil.rmtree(DataSet.open(tmp_path / "out").root)
    policy.write_text("leak_check: fail\n")
    with pytest.raises(DatasetError, match=r"could not be made again: policy .*policy.yaml: expected SHA-256"):
        DataSet.open(tmp_path / "out")
    policy.write_text("leak_check: report\n")
    change_a_label(source)
    with pytest.raises(DatasetError, match=r"could not be made again: .*source: .*run began"):
        DataSet.open(tmp_path / "out")


def test_options_that_came_from_a_settings_file_need_it_no_more(source: Path, tmp_path: Path) -> None:
    settings, class_map = tmp_path / "settings.yaml", tmp_path / "map.yaml"
    settings.write_text("min_confidence: 0.25\n")
    class_map.write_text("drop: [BIRD]\n")
    options = ConvertOptions(str(source), min_confidence=0.25, class_map=str(class_map))
    files = named_files(options, str(settings), "run-1")
    assert files.startswith("settings=")
    seen = ContentToMatch(ShareContent.of(take_snapshot(str(source))), files=files)
    repeated = recipe_of(options, seen)
    settings.unlink()
    assert repeated.options == options
    check_named_files(repeated.files, repeated.options)
    class_map.write_text("drop: [BUS]\n")
    with pytest.raises(StorageError, match="class_map .*: expected SHA-256"):
        check_named_files(repeated.files, repeated.options)


def test_command_line_keeps_to_its_snapshot(source: Path, store: Path, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "listing.json", take_snapshot(str(source)))
    given = ["--source", str(source), "--snapshot", str(tmp_path / "listing.json"), "--data-store", str(store)]
    with pytest.raises(SystemExit) as ended:
        main(["convert", *given, "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    shutil.rmtree(DataSet.open(tmp_path / "out").root)
    (source / "added.txt").write_text("x")
    assert DataSet.open(tmp_path / "out").root.is_dir()
    shutil.rmtree(DataSet.open(tmp_path / "out").root)
    (tmp_path / "listing.json").unlink()
    with pytest.raises(DatasetError, match=r"could not be made again: .*listing.json"):
        DataSet.open(tmp_path / "out")


def test_folder_in_a_store_that_is_named_itself_cannot_be_made_again(referring: Path) -> None:
    kept = DataSet.open(referring).root
    assert DataSet.open(kept).root == kept
    shutil.rmtree(kept)
    with pytest.raises(DatasetError, match="data set not found: .* it is gone from its store: run convert anew"):
        DataSet.open(kept)
