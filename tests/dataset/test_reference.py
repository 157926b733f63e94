"""A data set by reference: read where it lies, with the content that it had, or not at all."""

import shutil
from pathlib import Path

import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.import_dataset import import_dataset
from traffic_yolo.dataset.options import DataSetChoice
from traffic_yolo.dataset.reference import REFERENCE_NAME, DatasetReference
from traffic_yolo.dataset.store.opening import data_set_folder
from traffic_yolo.errors import DatasetError, OptionsError, StorageError
from traffic_yolo.storage import write_json


@pytest.fixture
def lying(small_data_set: Path, tmp_path: Path) -> Path:
    """A data set that a test may change."""
    return shutil.copytree(small_data_set, tmp_path / "nas" / "data")


def test_reference_is_the_data_set_without_its_pictures(lying: Path, tmp_path: Path) -> None:
    imported = import_dataset(DataSetChoice(dataset=str(lying)), tmp_path / "handed on")
    assert sorted(path.name for path in (tmp_path / "handed on").iterdir()) == [REFERENCE_NAME, "report.html"]
    found, whole = DataSet.open(tmp_path / "handed on"), DataSet.open(lying)
    assert (found.root, found.classes, found.fingerprint) == (lying, whole.classes, whole.fingerprint)
    assert [image.path for image in found.split("val")] == [image.path for image in whole.split("val")]
    assert imported.counts == {"train_images": 3, "val_images": 3, "test_images": 3}
    assert data_set_folder(tmp_path / "handed on") == lying == data_set_folder(lying)
    assert f"{lying}: 3 train, 3 val, 3 test pictures" in imported.text


def test_reference_of_a_reference_is_one_to_the_data_set(lying: Path, tmp_path: Path) -> None:
    import_dataset(DataSetChoice(dataset=str(lying)), tmp_path / "first")
    import_dataset(DataSetChoice(dataset=str(tmp_path / "first")), tmp_path / "second")
    assert (tmp_path / "first" / REFERENCE_NAME).read_bytes() == (tmp_path / "second" / REFERENCE_NAME).read_bytes()


def test_location_is_kept_as_pods_have_it(lying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path / "nas"))
    import_dataset(DataSetChoice(dataset="nas://data"), tmp_path / "by nas")
    reference = DatasetReference.of(tmp_path / "by nas")
    assert reference is not None
    assert reference.location == "nas://data"
    monkeypatch.chdir(tmp_path / "nas")
    assert DatasetReference.to("data", "f").location == str(lying)


def test_what_was_converted_anew_since_is_refused(lying: Path, tmp_path: Path) -> None:
    DatasetReference.to(lying, "0123456789abcdef").write(tmp_path)
    with pytest.raises(DatasetError, match=r"nas/data: holds another data set than when the run began .*0123456789ab…"):
        DataSet.open(tmp_path)


def test_what_is_gone_or_no_reference_is_refused(lying: Path, tmp_path: Path) -> None:
    handed_on = tmp_path / "handed on"
    import_dataset(DataSetChoice(dataset=str(lying)), handed_on)
    shutil.move(lying, tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"data set not found: .*nas/data; check the path"):
        DataSet.open(handed_on)
    shutil.copytree(handed_on, lying)
    with pytest.raises(DatasetError, match="a reference to a data set, where the data set itself was expected"):
        DataSet.open(handed_on)
    for content in ({"schema_version": 2}, [], {"schema_version": 1, "location": "", "fingerprint": "f"}):
        write_json(handed_on / REFERENCE_NAME, content)
        with pytest.raises(DatasetError, match=r"reference\.json: (not a reference|expected a location)"):
            DataSet.open(handed_on)


def test_a_source_is_converted(small_data_set: Path, tmp_path: Path) -> None:
    imported = import_dataset(DataSetChoice(source=str(small_data_set), splits="test"), tmp_path / "made")
    assert DataSet.open(tmp_path / "made").num_images == {"train": 0, "val": 0, "test": 9}
    assert imported.counts["test_images"] == 9
    assert not (tmp_path / "made" / REFERENCE_NAME).exists()
    assert (tmp_path / "made" / "report.html").is_file()


def test_both_or_neither_and_labels_alone_are_refused(small_data_set: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="dataset: expected a data set, or a source to convert, found neither"):
        DataSetChoice()
    with pytest.raises(OptionsError, match="dataset: it is taken as it was converted, source would be without effect"):
        DataSetChoice(dataset="a", source="b")
    with pytest.raises(OptionsError, match="splits would be without effect"):
        DataSetChoice(dataset="a", splits="test")
    labels = DataSetChoice(source=str(small_data_set), labels_only=True)
    import_dataset(labels, tmp_path / "labels")
    with pytest.raises(DatasetError, match="converted with labels_only, it has no pictures to detect on"):
        import_dataset(DataSetChoice(dataset=str(tmp_path / "labels")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
