"""The zoo: versions, the one in use, publishing twice, at once, and onto a full disk."""

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from judged_runs import publish

from traffic_yolo.errors import ModelError, OptionsError, StorageError
from traffic_yolo.registry.bundle import verify_bundle
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.registry.zoo import current_bundle, current_version, set_current, versions
from traffic_yolo.verdict_file import VERDICT_NAME, write_verdict

MakeRun = Callable[..., dict[str, Path]]


def test_a_published_bundle_verifies_is_current_and_stands_in_the_ledger(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    published = publish(**make_run(), zoo=zoo, name="traffic-small")
    assert published.is_new
    assert published.is_current
    assert published.version.startswith("0001-")
    assert published.bundle.parent == tmp_path / "zoo" / "traffic-small"
    verify_bundle(published.bundle)
    assert (tmp_path / "zoo" / "traffic-small" / "current").read_text() == f"{published.version}\n"
    assert current_bundle(zoo, "traffic-small") == published.bundle
    (entry,) = LedgerTable.read(zoo).entries
    assert (entry.name, entry.version) == ("traffic-small", published.version)
    assert "in use (current)" in published.text


def test_a_zoo_on_the_nas_takes_text_and_lies_below_the_root(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    published = publish(**{name: str(folder) for name, folder in make_run().items()}, zoo="nas://models/zoo", name="m")
    assert published.bundle.parent == tmp_path / "models" / "zoo" / "m"
    assert len(LedgerTable.read("nas://models/zoo").entries) == 1
    assert not (tmp_path / "nas:").exists()


def test_the_same_content_is_published_once(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    first = publish(**make_run(), zoo=zoo, name="m")
    again = publish(**make_run(), zoo=zoo, name="m")
    assert again.bundle == first.bundle
    assert (first.is_new, again.is_new) == (True, False)
    assert "was published already" in again.text
    assert len(versions(zoo, "m")) == 1
    assert len(LedgerTable.read(zoo).entries) == 1


def test_versions_count_up_and_the_last_is_in_use(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    published = [publish(**make_run(seed), zoo=zoo, name="m") for seed in range(3)]
    assert versions(zoo, "m") == [each.bundle for each in published]
    assert [each.version[:5] for each in published] == ["0001-", "0002-", "0003-"]
    assert current_version(zoo, "m") == published[2].version


def test_rolling_back_lasts_through_a_repeated_publication(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    first, second = (publish(**make_run(seed), zoo=zoo, name="m") for seed in range(2))
    assert set_current(zoo, "m", first.version) == first.bundle
    again = publish(**make_run(1), zoo=zoo, name="m")
    assert not again.is_current
    assert current_version(zoo, "m") == first.version
    assert "not in use" in again.text
    assert again.bundle == second.bundle


def test_a_model_whose_parity_failed_is_kept_but_not_used(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    good = publish(**make_run(0), zoo=zoo, name="m")
    bad = publish(**make_run(1, passed=False), zoo=zoo, name="m")
    assert bad.is_new
    assert not bad.is_current
    assert "NOT MADE CURRENT: parity: FAILED 0.970 AP50 falls from 0.6 to 0.3" in bad.text
    assert current_version(zoo, "m") == good.version
    assert "FAILED" in LedgerTable.read(zoo).markdown()


def test_a_model_that_its_training_made_worse_is_kept_but_not_used(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    first = publish(**make_run(), zoo=zoo, name="small")
    run = make_run(1)
    write_verdict(run["model"] / VERDICT_NAME, learnt=True, worse=("test: worse: -5.1 AP50",), details={})
    second = publish(**run, zoo=zoo, name="small")
    assert (second.is_new, second.is_current) == (True, False)
    assert "NOT MADE CURRENT: training: FAILED 1 test: worse: -5.1 AP50" in second.text
    assert current_bundle(zoo, "small") == first.bundle
    assert (second.bundle / VERDICT_NAME).is_file()


def test_a_training_that_learnt_nothing_makes_no_version(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    run = make_run(1)
    write_verdict(run["model"] / VERDICT_NAME, learnt=False, worse=(), details={})
    first = publish(**run, zoo=zoo, name="small")  # there is no other to use
    assert (first.is_new, first.is_current) == (True, True)
    again = publish(**run, zoo=zoo, name="small")
    assert (again.bundle, again.is_new, again.nothing_new) == (first.bundle, False, "nothing was learnt")
    assert "nothing new to publish" in again.text
    assert [path.name for path in versions(zoo, "small")] == [first.version]


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema_version": 1, "learnt": "no", "worse": []}', "{"])
def test_a_damaged_verdict_is_named(make_run: MakeRun, tmp_path: Path, content: str) -> None:
    run = make_run()
    (run["model"] / VERDICT_NAME).write_text(content)
    with pytest.raises(ModelError, match=r"verdict\.json"):
        publish(**run, zoo=tmp_path / "zoo", name="small")


def test_nothing_is_in_use_before_the_first_good_model(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    publish(**make_run(passed=False), zoo=zoo, name="m")
    assert current_version(zoo, "m") is None
    with pytest.raises(ModelError, match="no version is in use"):
        current_bundle(zoo, "m")


def test_an_unknown_version_is_refused_with_those_there_are(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    published = publish(**make_run(), zoo=zoo, name="m")
    with pytest.raises(ModelError, match=rf"no version '0009-0'; found {published.version}"):
        set_current(zoo, "m", "0009-0")
    with pytest.raises(ModelError, match="no model 'other'; found m"):
        set_current(zoo, "other", "x")


def test_a_tampered_version_can_neither_be_set_nor_read_nor_published_again(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    published = publish(**make_run(), zoo=zoo, name="m")
    (published.bundle / "model.weights").write_bytes(b"others")
    for attempt in (
        lambda: set_current(zoo, "m", published.version),
        lambda: current_bundle(zoo, "m"),
        lambda: publish(**make_run(), zoo=zoo, name="m"),
    ):
        with pytest.raises(ModelError, match=r"model.weights was changed after publishing"):
            attempt()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "ledger", "with blank"])
def test_a_name_that_cannot_be_a_folder_is_refused(make_run: MakeRun, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionsError, match="model name"):
        publish(**make_run(), zoo=str(tmp_path / "zoo"), name=name)
    assert not (tmp_path / "zoo").exists()


def test_folders_that_do_not_belong_together_leave_no_zoo(make_run: MakeRun, tmp_path: Path) -> None:
    run = {**make_run(0), "tuning": make_run(1)["tuning"]}
    with pytest.raises(ModelError, match="another model"):
        publish(**run, zoo=str(tmp_path / "zoo"), name="m")
    assert not (tmp_path / "zoo").exists()


def test_a_full_disk_leaves_the_zoo_as_it_was(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = str(tmp_path / "zoo")
    first = publish(**make_run(0), zoo=zoo, name="m")
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> Path:
        if target.name == "model.onnx":
            raise OSError(28, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr("traffic_yolo.registry.bundle.shutil.copyfile", full)
    with pytest.raises(StorageError, match="the disk is full"):
        publish(**make_run(1), zoo=zoo, name="m")
    assert versions(zoo, "m") == [first.bundle]
    assert current_version(zoo, "m") == first.version
    assert len(LedgerTable.read(zoo).entries) == 1
    home = tmp_path / "zoo" / "m"
    assert {path.name for path in home.iterdir()} == {".lock", "current", "history", "publications", first.version}


def test_a_copy_that_was_damaged_on_the_way_is_not_published(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(source: Path, target: Path) -> Path:
        target.write_bytes(source.read_bytes()[:-1])
        return target

    monkeypatch.setattr("traffic_yolo.registry.bundle.shutil.copyfile", damaged)
    with pytest.raises(ModelError, match="was changed"):
        publish(**make_run(), zoo=str(tmp_path / "zoo"), name="m")
    assert versions(str(tmp_path / "zoo"), "m") == []


def _publish(run: dict[str, Path], zoo: str) -> str:
    return publish(**run, zoo=zoo, name="m").version


@pytest.mark.long
def test_publishers_at_once_lose_nothing_and_agree_on_equal_content(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    runs = [make_run(seed) for seed in (0, 1, 0, 1, 2, 2)]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        published = pool.starmap(_publish, [(run, zoo) for run in runs])
    assert published[0] == published[2]
    assert published[1] == published[3]
    assert published[4] == published[5]
    found = [path.name for path in versions(zoo, "m")]
    assert sorted(set(published)) == found
    assert [name[:4] for name in found] == ["0001", "0002", "0003"]
    assert {entry.version for entry in LedgerTable.read(zoo).entries} == set(found)
    assert current_version(zoo, "m") in found


def test_a_zoo_on_the_nas_is_found_below_its_root(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nas").mkdir()
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path / "nas"))
    published = publish(**make_run(), zoo="nas://models/zoo", name="m")
    assert published.bundle.is_relative_to(tmp_path / "nas" / "models" / "zoo" / "m")
    assert len(LedgerTable.read("nas://models/zoo").entries) == 1


def test_a_zoo_that_cannot_be_written_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "zoo").write_text("a file")
    with pytest.raises(StorageError, match="the model zoo cannot be read: Not a directory"):
        publish(**make_run(), zoo=str(tmp_path / "zoo"), name="m")
