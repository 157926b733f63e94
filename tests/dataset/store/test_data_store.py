"""A data set in a store: the bytes and figures of the folder; whole, once, or a line that says what is wrong."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import at_each_point

from traffic_yolo.cli import main
from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.check_source import check_source
from traffic_yolo.dataset.convert import ContentToMatch, convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.folder.shards import Shard, convert_shard, merge_shards
from traffic_yolo.dataset.import_dataset import import_dataset
from traffic_yolo.dataset.options import ConvertOptions, DataSetChoice, ExportOptions, SourceChoice
from traffic_yolo.dataset.reference import REFERENCE_NAME, DatasetReference
from traffic_yolo.dataset.store.handed_on import data_set_written
from traffic_yolo.dataset.store.opening import data_set_folder
from traffic_yolo.dataset.store.recipe import Recipe
from traffic_yolo.errors import DatasetError, OptionsError, StorageError
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

Convert = Callable[..., Path]
SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
STEP = 1 if SLOW else 9
OWN = {"manifest.json", "report.html", "report.json", "splits.yaml"}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def data_sets_in(store: Path) -> list[Path]:
    return [path for path in store.iterdir() if not path.name.startswith(".")]


def test_store_has_the_bytes_and_the_artifact_what_is_its_own(
    source: Path, store: Path, referring: Path, tmp_path: Path
) -> None:
    convert(ConvertOptions(str(source)), tmp_path / "whole")
    (kept,) = data_sets_in(store)
    assert content(kept) == content(tmp_path / "whole")
    assert set(content(referring)) == OWN | {REFERENCE_NAME}
    assert all((referring / name).read_bytes() == (kept / name).read_bytes() for name in OWN)
    whole, found = DataSet.open(tmp_path / "whole"), DataSet.open(referring)
    assert (found.root, found.manifest, found.classes) == (kept, whole.manifest, whole.classes)
    assert kept.name == found.fingerprint == whole.fingerprint
    assert [image.file_name for image in found.split("val")] == [image.file_name for image in whole.split("val")]
    assert data_set_folder(referring) == kept


@pytest.mark.long
def test_evaluation_by_reference_comes_to_the_same(referring: Path, untrained_model: Path, tmp_path: Path) -> None:
    whole = evaluate(untrained_model, DataSet.open(referring).root, tmp_path / "whole").record
    record = evaluate(untrained_model, referring, tmp_path / "by reference").record
    assert (record.metrics, record.data) == (whole.metrics, whole.data)
    assert record.metrics["ap50"] is not None


@pytest.mark.skipif(not SLOW, reason="two trainings; TRAFFIC_YOLO_SLOW=1 runs it")
def test_training_by_reference_gives_the_same_weights(source: Path, referring: Path, tmp_path: Path) -> None:
    convert(ConvertOptions(str(source)), tmp_path / "whole")
    options = TrainingOptions(width=64, height=64, batch=2, max_batches=4, seed=1)
    for name, data in (("a", tmp_path / "whole"), ("b", referring)):
        train(data, tmp_path / name, options)
    assert (tmp_path / "a" / "model.weights").read_bytes() == (tmp_path / "b" / "model.weights").read_bytes()
    assert (tmp_path / "a" / "trained_on.json").read_bytes() == (tmp_path / "b" / "trained_on.json").read_bytes()


def test_equal_content_is_kept_once_and_every_manifest_is_its_own(
    convert_to: Convert, store: Path, referring: Path, tmp_path: Path
) -> None:
    again = convert_to(tmp_path / "again", min_confidence=0.25)  # there are no labels of devices, so the same content
    assert len(data_sets_in(store)) == 1
    first, second = DataSet.open(referring), DataSet.open(again)
    assert first.root == second.root
    assert (first.manifest["min_confidence"], second.manifest["min_confidence"]) == (0.5, 0.25)
    assert len(data_sets_in(store)) == 1
    assert not [path for path in store.iterdir() if path.name.startswith(".data-set")]


def test_merged_shards_are_kept_as_a_conversion_in_one_piece_is(
    source: Path, store: Path, referring: Path, tmp_path: Path
) -> None:
    options = ConvertOptions(str(source), data_store=str(store))
    parts = [tmp_path / f"part-{index}" for index in range(2)]
    content_of = ContentToMatch(ShareContent.of(take_snapshot(str(source))))
    for index, part in enumerate(parts):
        convert_shard(options, part, Shard(index, 2), snapshot=content_of)
    merge_shards(parts, tmp_path / "merged")
    assert DataSet.open(tmp_path / "merged").root == DataSet.open(referring).root
    shutil.rmtree(DataSet.open(referring).root)
    reference = DatasetReference.of(tmp_path / "merged")
    assert reference is not None
    assert reference.stored is not None
    assert reference.stored.recipe.content == str(content_of.content)
    assert len(DataSet.open(tmp_path / "merged").split("test")) == 3  # made again, in one piece


def test_reference_is_a_source_and_handed_on(referring: Path, source: Path, tmp_path: Path) -> None:
    plain, by_reference = (
        convert(ConvertOptions(str(given), splits="test"), tmp_path / name).fingerprint
        for name, given in (("a", data_set_folder(referring)), ("b", referring))
    )
    assert plain == by_reference
    assert not check_source(SourceChoice(str(referring)), CheckOptions()).run.findings.as_dict().get("error")
    assert export_labels(ExportOptions(str(referring), to="coco"), tmp_path / "labels").num_pictures == 9
    import_dataset(DataSetChoice(dataset=str(referring)), tmp_path / "imported")
    assert DataSet.open(tmp_path / "imported").root == DataSet.open(referring).root
    pinned = convert(
        ConvertOptions(str(source), policy=f"{{keep_splits: {referring}}}"), tmp_path / "pinned"
    ).fingerprint
    assert pinned == DataSet.open(referring).fingerprint


def test_snapshot_of_a_reference_is_no_snapshot_of_its_files(referring: Path, tmp_path: Path) -> None:
    seen = ContentToMatch(ShareContent.of(take_snapshot(str(referring))))
    with pytest.raises(OptionsError, match=r"source: .*referring only refers to a data set, .*; give .*store/"):
        convert(ConvertOptions(str(referring)), tmp_path / "out", content=seen)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))


def rename_a_class(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CAR", b"CAB"))


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("classes.yaml", rename_a_class, "classes.yaml is not the file that convert wrote"),
        ("annotations/instances_val.json", flip, "instances_val.json is not the file that convert wrote"),
        ("images/**/*.jpg", Path.unlink, r"\.jpg: expected \d+ bytes, found nothing; somebody has changed"),
        ("images/**/*.jpg", lambda path: path.write_bytes(b"x"), r"\.jpg: expected \d+ bytes, found 1 bytes"),
    ],
    ids=["classes", "labels", "picture gone", "picture cut off"],
)
def test_what_was_changed_in_the_store_is_read_by_nobody(
    convert_to: Convert, referring: Path, name: str, harm: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    for path in sorted(DataSet.open(referring).root.glob(name)):
        harm(path)
    with pytest.raises(DatasetError, match=message):
        DataSet.open(referring).split("val", missing_files=True)
    with pytest.raises(DatasetError, match="somebody has changed the data set that is kept there: move"):
        convert_to(tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_what_was_changed_in_the_artifact_is_read_by_nobody(referring: Path) -> None:
    manifest = (referring / "manifest.json").read_bytes()
    (referring / "manifest.json").write_bytes(manifest + b" ")
    with pytest.raises(DatasetError, match=r"manifest.json is not the manifest that convert wrote: reference.json"):
        DataSet.open(referring)
    (referring / "manifest.json").unlink()
    with pytest.raises(DatasetError, match="manifest.json is missing; hand on the whole folder"):
        DataSet.open(referring)
    (referring / "manifest.json").write_bytes(manifest)
    reference = json.loads((referring / REFERENCE_NAME).read_text())
    for stored in (
        [],
        {"manifest_sha256": 1, "recipe": {}},
        {**reference["stored"], "recipe": {}},
        {**reference["stored"], "recipe": {**reference["stored"]["recipe"], "cache": 1}},
        {**reference["stored"], "recipe": {"options": {"source": "a"}}},
    ):
        (referring / REFERENCE_NAME).write_text(json.dumps({**reference, "stored": stored}))
        with pytest.raises(DatasetError, match=r"reference\.json: (stored|recipe): .*(expected|run convert anew)"):
            DataSet.open(referring)


def test_store_that_is_not_mounted_is_not_made(referring: Path, store: Path) -> None:
    store.rename(store.with_name("unmounted"))
    with pytest.raises(StorageError, match="data store not found: .*store; check that the share is mounted here"):
        DataSet.open(referring)
    assert not store.exists()


def test_store_in_object_storage_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        OptionsError, match=r"data_store: s3://bucket/b: readers of a data set need files, .* path or nas://"
    ):
        ConvertOptions("x", data_store="s3://bucket/b")
    with pytest.raises(SystemExit) as ended:
        main(["convert", "--source", "x", "--data-store", "s3://bucket/b", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: --data-store: s3://bucket/b")
    assert printed.count("\n") == 1


def test_location_is_kept_as_pods_have_it(
    convert_to: Convert, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path / "nas"))
    by_nas = convert_to(tmp_path / "by nas", data_store="nas://store")
    reference = DatasetReference.of(by_nas)
    assert reference is not None
    assert reference.location == f"nas://store/{reference.fingerprint}"
    shutil.move(tmp_path / "nas", tmp_path / "another mount")
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path / "another mount"))
    assert DataSet.open(by_nas).root == tmp_path / "another mount" / "store" / reference.fingerprint
    monkeypatch.chdir(tmp_path)
    relative = convert_to(tmp_path / "relative", source=str(tmp_path / "another mount" / "source"), data_store="kept")
    monkeypatch.chdir("/")
    assert DataSet.open(relative).root == tmp_path / "kept" / reference.fingerprint


@pytest.mark.many(1)
@pytest.mark.parametrize("full", [False, True], ids=["killed", "disk full"])
def test_writer_cut_off_at_any_point_leaves_a_whole_data_set_or_none(
    small_data_set: Path, tmp_path: Path, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a conversion does beside making files, which are copied here: every operation below the two folders."""
    monkeypatch.setattr("os.fsync", lambda _: None)  # a kill takes nothing from the system that a program has given it
    monkeypatch.setattr("traffic_yolo.storage.whole_folder._SYNCFS", lambda _: 0)
    whole, place = content(small_data_set), tmp_path / "work" / "at 1"
    cut_off = kept_without_reference = 0

    def attempt() -> None:
        options = ConvertOptions("anything", data_store=str(place / "store"))
        try:
            with data_set_written(place / "out", Recipe(options)) as folder:
                shutil.copytree(small_data_set, folder, dirs_exist_ok=True)
        except shutil.Error as error:  # of many files, for each that did not fit
            raise StorageError("the disk is full") from error

    for at in at_each_point(attempt, below=tmp_path / "work", full=full, step=STEP):
        kept = data_sets_in(place / "store") if (place / "store").exists() else []
        assert [content(folder) for folder in kept] in ([], [whole])
        if (place / "out").exists():
            assert DataSet.open(place / "out").root == kept[0]
        else:
            cut_off += 1
            kept_without_reference += len(kept)
            attempt()
            assert {path.name for path in place.iterdir()} == {"out", "store"}
            assert len(list((place / "store").iterdir())) == 2  # it and the leases
        (kept_now,) = data_sets_in(place / "store")
        assert content(kept_now) == whole
        assert set(content(place / "out")) == OWN | {REFERENCE_NAME}
        shutil.rmtree(place)
        place = tmp_path / "work" / f"at {at + STEP}"
    assert cut_off > 5
    assert kept_without_reference > 0
