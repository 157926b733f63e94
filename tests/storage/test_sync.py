"""What a sync copies, what it leaves alone, and what it refuses."""

import os
import time
from pathlib import Path

import pytest
from killing import run_undisturbed

from traffic_yolo import storage
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.storage import folder_sync
from traffic_yolo.storage.local import LocalPlace


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, data in (("a/1.h5", b"one"), ("a/2.h5", b"two"), ("b c/ü.h5", b"three")):
        storage.put(str(tmp_path / "source" / name), data)
    return tmp_path / "source"


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes are copied."""
    names: list[str] = []
    real = folder_sync._Sync._copy

    def spy(self: folder_sync._Sync, file: storage.StoredFile) -> storage.StoredFile:
        names.append(file.name)
        return real(self, file)

    monkeypatch.setattr(folder_sync._Sync, "_copy", spy)
    return names


def names_below(location: str) -> list[str]:
    return [file.name for file in storage.list_files(location).files]


def test_every_scheme_takes_a_sync_and_gives_it_back(
    source: Path, root: str, tmp_path: Path, copies: list[str]
) -> None:
    report = storage.sync(str(source), f"{root}/copy")
    assert report.text == "3 copied (0.0 MiB), 0 unchanged"
    assert storage.sync(str(source), f"{root}/copy").text == "0 copied (0.0 MiB), 3 unchanged"
    assert storage.sync(f"{root}/copy", str(tmp_path / "back")).copied == 3
    assert len(copies) == 6
    for name in names_below(str(source)):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()


def test_only_what_is_new_or_other_is_copied(source: Path, tmp_path: Path, copies: list[str]) -> None:
    target = str(tmp_path / "target")
    storage.sync(str(source), target)
    copies.clear()
    (source / "a" / "2.h5").write_bytes(b"TWO")
    storage.put(str(source / "new.h5"), b"new")
    assert storage.sync(str(source), target).text == "2 copied (0.0 MiB), 2 unchanged"
    assert sorted(copies) == ["a/2.h5", "new.h5"]
    assert storage.read(f"{target}/a/2.h5") == b"TWO"


def test_file_that_was_changed_at_the_target_is_mended(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    storage.sync(str(source), str(target))
    (target / "a" / "1.h5").write_bytes(b"ONE")
    assert storage.sync(str(source), str(target)).copied == 1
    assert (target / "a" / "1.h5").read_bytes() == b"one"


def test_same_content_that_another_tool_put_there_is_not_copied(
    source: Path, tmp_path: Path, copies: list[str]
) -> None:
    storage.put(str(tmp_path / "target" / "a" / "1.h5"), b"one")
    assert storage.sync(str(source), str(tmp_path / "target")).text == "2 copied (0.0 MiB), 1 unchanged"
    assert "a/1.h5" not in copies


def test_delete_removes_what_a_sync_put_there_and_nothing_else(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    storage.sync(str(source), str(target))
    storage.put(str(target / "mine.txt"), b"mine")
    (target / "a" / "2.h5").write_bytes(b"changed by hand")
    for name in ("1.h5", "2.h5"):
        (source / "a" / name).unlink()
    assert storage.sync(str(source), str(target)).text == "0 copied (0.0 MiB), 1 unchanged, 3 in the target alone"
    report = storage.sync(str(source), str(target), delete=True)
    assert report.text == "0 copied (0.0 MiB), 1 unchanged, 1 removed, 2 in the target alone"
    assert names_below(str(target)) == ["a/2.h5", "b c/ü.h5", "mine.txt"]


def test_delete_refuses_a_source_that_has_lost_its_mount(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    storage.sync(str(source), str(target))
    before = names_below(str(target))
    source.rename(tmp_path / "away")
    source.mkdir()
    with pytest.raises(StorageError, match="no file lies there, and delete would empty .*; check that the share"):
        storage.sync(str(source), str(target), delete=True)
    assert names_below(str(target)) == before
    source.rmdir()
    (tmp_path / "away").rename(source)
    assert storage.sync(str(source), str(target), delete=True).text == "0 copied (0.0 MiB), 3 unchanged"


def test_file_that_changes_while_it_is_copied_is_left_out_and_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalPlace.stream

    def grow(self: LocalPlace, offset: int = 0, length: int | None = None) -> object:
        yield from real(self, offset, length)
        if self.path.name == "2.h5":
            with self.path.open("ab") as file:
                file.write(b"more")

    monkeypatch.setattr(LocalPlace, "stream", grow)
    report = storage.sync(str(source), str(tmp_path / "target"))
    assert [tuple(skipped) for skipped in report.skipped] == [("a/2.h5", folder_sync.CHANGING)]
    assert names_below(str(tmp_path / "target")) == ["a/1.h5", "b c/ü.h5"]


def test_young_files_wait(source: Path, tmp_path: Path) -> None:
    os.utime(source / "a" / "1.h5", (1, 1))
    report = storage.sync(str(source), str(tmp_path / "target"), settle_s=60)
    assert (report.copied, len(report.skipped)) == (1, 2)
    assert report.skipped[0].reason == "is younger than 60 s"


def test_link_in_the_target_that_leads_out_is_not_followed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="target/a: leads out of .*target; remove the link"):
        storage.sync(str(source), str(tmp_path / "target"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_two_syncs_to_one_target_do_not_meet(source: Path, tmp_path: Path) -> None:
    with (
        folder_sync._state(str(source), str(tmp_path / "target")),
        pytest.raises(StorageError, match="another sync writes there"),
    ):
        storage.sync(str(source), str(tmp_path / "target"))


def test_another_source_is_not_taken_for_the_first(source: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    storage.sync(str(source), target)
    storage.put(str(tmp_path / "other" / "a" / "1.h5"), b"1st")
    storage.sync(str(tmp_path / "other"), target)
    assert storage.read(f"{target}/a/1.h5") == b"1st"
    storage.sync(str(source), target)
    assert storage.read(f"{target}/a/1.h5") == b"one"


def test_damaged_state_costs_time_and_never_truth(source: Path, tmp_path: Path, copies: list[str]) -> None:
    target = tmp_path / "target"
    storage.sync(str(source), str(target))
    for state in (target / ".traffic-yolo-sync").glob("*.hashes"):
        state.write_bytes(b"rubbish")
    (target / "a" / "1.h5").write_bytes(b"ONE")
    copies.clear()
    assert storage.sync(str(source), str(target)).copied == 1
    assert copies == ["a/1.h5"]


def test_what_makes_no_sense_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a file, not a folder; fetch or put it"):
        storage.sync(str(source / "a" / "1.h5"), str(tmp_path / "target"))
    with pytest.raises(StorageError, match="source not found: .*nowhere"):
        storage.sync(str(tmp_path / "nowhere"), str(tmp_path / "target"))
    for inside in (source, source / "a"):
        with pytest.raises(StorageError, match="lies below the source .*, and would be copied into itself"):
            storage.sync(str(source), str(inside))
    with pytest.raises(OptionsError, match="settle_s nan"):
        storage.sync(str(source), str(tmp_path / "target"), settle_s=float("nan"))
    with pytest.raises(OptionsError, match="jobs 0"):
        storage.sync(str(source), str(tmp_path / "target"), jobs=0)
    assert not (tmp_path / "target").exists()


def test_commands_do_what_they_say(source: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    assert run_undisturbed(["storage", "sync", str(source), target]) == "3 copied (0.0 MiB), 0 unchanged\n"
    assert run_undisturbed(["storage", "ls", target]) == "a/1.h5\na/2.h5\nb c/ü.h5\n"
    assert run_undisturbed(["storage", "ls", "-l", target]).splitlines()[0].split()[0] == "3"
    assert run_undisturbed(["storage", "verify", target]) == "3 files as expected, 0 missing or wrong\n"
    put = run_undisturbed(["storage", "put", str(source / "a" / "1.h5"), str(tmp_path / "x")])
    assert put == f"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  {tmp_path / 'x'}\n"
    fetched = run_undisturbed(["storage", "fetch", str(tmp_path / "x"), "--out", str(tmp_path / "y")])
    assert fetched == f"{tmp_path / 'y'}\n"
    assert "nothing to compare with" in run_undisturbed(["storage", "verify", str(tmp_path / "x")])


def test_verify_names_what_is_wrong_missing_and_unknown(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from traffic_yolo.cli import main

    target = tmp_path / "target"
    storage.sync(str(source), str(target))
    (target / "a" / "1.h5").write_bytes(b"ONE")
    (target / "a" / "2.h5").unlink()
    storage.put(str(target / "more"), b"x")
    with pytest.raises(SystemExit) as caught:
        main(["storage", "verify", str(target)])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert "WRONG: " in out
    assert "a/1.h5: expected SHA-256 7692c3ad" in out
    assert "a/2.h5: not found" in out
    assert "1 files as expected, 2 missing or wrong, 1 without a known checksum" in out
    assert err.startswith("error: ")
    with pytest.raises(SystemExit):
        main(["storage", "verify", str(source)])
    assert "no checksums are known there; give --snapshot" in capsys.readouterr().err


def test_unchanged_files_are_not_read(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = str(tmp_path / "target")
    storage.sync(str(source), target)
    time.sleep(0.15)
    storage.sync(str(source), target)
    monkeypatch.setattr(LocalPlace, "stream", lambda *_: pytest.fail("read"))
    assert storage.sync(str(source), target).unchanged == 3


@pytest.mark.parametrize(("at_source", "at_target"), [("a/b", "a"), ("a", "a/b")])
def test_folder_and_file_of_one_name_are_said(tmp_path: Path, at_source: str, at_target: str) -> None:
    storage.put(str(tmp_path / "source" / at_source), b"x")
    storage.put(str(tmp_path / "target" / at_target), b"y")
    with pytest.raises(StorageError, match="target/a(/b)?: (File exists|Is a directory)"):
        storage.sync(str(tmp_path / "source"), str(tmp_path / "target"))
    assert storage.read(str(tmp_path / "target" / at_target)) == b"y"
