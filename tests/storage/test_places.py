"""What every scheme promises alike: one suite over paths, file://, nas:// and s3:// on two servers."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from traffic_yolo import storage
from traffic_yolo.errors import AlreadyExistsError, ChecksumError, NotFoundError, StorageError

ODD_NAMES = [
    "a b", "ü/漢字/ملف", "100%", "a%20b", "a+b", "q?x=1&y#z", "back\\slash", "quote\"'", "e\u0301", "🚗.h5", "-rf", "~t", "a;b,c=d",
]  # fmt: skip


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_is_put_is_read_and_listed(root: str) -> None:
    data = os.urandom(100_000)
    stored = storage.put(f"{root}/deep/a.bin", data)
    assert (stored.name, stored.size, stored.sha256) == ("a.bin", len(data), sha256(data))
    assert storage.read(f"{root}/deep/a.bin") == data
    assert b"".join(storage.stream(f"{root}/deep/a.bin", offset=7)) == data[7:]
    (listed,) = storage.list_files(root).files
    assert (listed.name, listed.size) == ("deep/a.bin", len(data))
    found = storage.stat(f"{root}/deep/a.bin")
    assert found is not None
    assert found.identity == listed.identity == stored.identity
    assert storage.verify(f"{root}/deep/a.bin").sha256 == sha256(data)


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 3), (2, 3), (9, 1), (9, 100), (10, 1), (99, 5), (4, None)])
def test_any_range_is_read(root: str, offset: int, length: int | None) -> None:
    data = b"0123456789"
    storage.put(f"{root}/a", data)
    end = None if length is None else offset + length
    assert storage.read(f"{root}/a", offset=offset, length=length) == data[offset:end]


def test_empty_file_is_a_file(root: str) -> None:
    storage.put(f"{root}/empty", b"")
    assert storage.read(f"{root}/empty") == b""
    assert [(file.name, file.size) for file in storage.list_files(root).files] == [("empty", 0)]


def test_put_replaces_and_changes_the_identity(root: str, tmp_path: Path) -> None:
    before = storage.put(f"{root}/a", b"old")
    (tmp_path / "new").write_bytes(b"new")
    after = storage.put(f"{root}/a", tmp_path / "new")
    assert storage.read(f"{root}/a") == b"new"
    assert after.identity != before.identity


def test_put_new_fails_cleanly_where_something_is(root: str) -> None:
    storage.put_new(f"{root}/ledger/1.json", b"first")
    with pytest.raises(AlreadyExistsError, match="1.json: exists already"):
        storage.put_new(f"{root}/ledger/1.json", b"second")
    assert storage.read(f"{root}/ledger/1.json") == b"first"
    assert [file.name for file in storage.list_files(root).files] == ["ledger/1.json"]


def test_nothing_where_something_was_is_no_listing(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.01)
    assert storage.list_files(f"{root}/removed").files == []
    with pytest.raises(StorageError, match="removed: .*while it was listed"):
        storage.list_files(f"{root}/removed", was_there=True)
    storage.put(f"{root}/kept/.hidden", b"x")
    assert storage.exists(f"{root}/kept")
    assert storage.list_files(f"{root}/kept", was_there=True).files == []


def test_of_many_writers_of_one_name_exactly_one_succeeds(root: str) -> None:
    results: list[str] = []
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        try:
            storage.put_new(f"{root}/one", b"%d" % number)
            results.append(f"{number}")
        except AlreadyExistsError:
            results.append("")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [result for result in results if result]
    assert len(results) == 8
    assert storage.read(f"{root}/one") == winner.encode()


def test_odd_names_are_taken_as_they_are(root: str) -> None:
    for name in ODD_NAMES:
        storage.put(storage.join(root, name), name.encode())
    assert [file.name for file in storage.list_files(root).files] == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert storage.read(storage.join(root, name)) == name.encode()


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "..", "", "a\0b", "x" * 256, "\udce9"]
)
def test_names_that_lead_out_or_cannot_be_are_refused(root: str, name: str) -> None:
    with pytest.raises(StorageError) as caught:
        storage.join(root, name)
    assert "\n" not in str(caught.value)


def test_fetch_gives_a_checked_file_on_this_machine(root: str, tmp_path: Path) -> None:
    storage.put(f"{root}/a.bin", b"content")
    assert storage.fetch(f"{root}/a.bin", sha256=sha256(b"content")).read_bytes() == b"content"
    assert storage.fetch(f"{root}/a.bin", to=tmp_path / "copy").read_bytes() == b"content"
    with pytest.raises(ChecksumError, match="expected SHA-256 0000"):
        storage.fetch(f"{root}/a.bin", to=tmp_path / "wrong", sha256="0" * 64)
    assert not (tmp_path / "wrong").exists()


def test_fetched_copy_follows_the_object(root: str) -> None:
    storage.put(f"{root}/a.bin", b"one")
    assert storage.fetch(f"{root}/a.bin").read_bytes() == b"one"
    storage.put(f"{root}/a.bin", b"two")
    assert storage.fetch(f"{root}/a.bin").read_bytes() == b"two"


def test_what_is_missing_is_named(root: str, tmp_path: Path) -> None:
    assert storage.stat(f"{root}/nowhere") is None
    assert not storage.exists(f"{root}/nowhere")
    assert storage.list_files(f"{root}/nowhere").files == []
    for ask in (storage.read, storage.fetch, storage.verify, lambda place: list(storage.stream(place))):
        with pytest.raises(NotFoundError, match="nowhere"):
            ask(f"{root}/nowhere")
    with pytest.raises(NotFoundError, match="nowhere"):
        storage.put(f"{root}/a", tmp_path / "nowhere")
    with pytest.raises(StorageError, match="thing not found"):
        storage.existing_path(f"{root}/nowhere", what="thing")


def test_folder_is_no_file_and_exists(root: str) -> None:
    storage.put(f"{root}/folder/a", b"x")
    assert storage.stat(f"{root}/folder") is None
    assert storage.exists(f"{root}/folder")
    assert [file.name for file in storage.list_files(f"{root}/folder").files] == ["a"]
    assert [file.name for file in storage.list_files(f"{root}/folder/a").files] == ["a"]


def test_hidden_names_are_left_out(root: str) -> None:
    for name in (".hidden", ".folder/a", "b/.c", "shown"):
        storage.put(f"{root}/{name}", b"x")
    assert [file.name for file in storage.list_files(root).files] == ["shown"]


def test_neighbour_with_a_longer_name_is_not_listed(root: str) -> None:
    storage.put(f"{root}/site/a", b"x")
    storage.put(f"{root}/site2/b", b"x")
    assert [file.name for file in storage.list_files(f"{root}/site").files] == ["a"]


def test_existing_path_is_on_this_machine_whatever_the_scheme(root: str) -> None:
    storage.put(f"{root}/share/a/1", b"one")
    storage.put(f"{root}/share/2", b"two")
    folder = storage.existing_path(f"{root}/share", what="source")
    assert (folder / "a" / "1").read_bytes() == b"one"
    assert storage.existing_path(f"{root}/share/2", what="file").read_bytes() == b"two"


def test_path_that_never_was_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: pytest.fail("waited"))
    for ask in (storage.read, storage.fetch, lambda place: storage.fetch(place, to=tmp_path / "x")):
        with pytest.raises(NotFoundError, match="nowhere/a: file not found"):
            ask(str(tmp_path / "nowhere" / "a"))


def test_place_on_this_machine_is_where_it_says(tmp_path: Path) -> None:
    storage.put(f"file://{tmp_path}/a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
    with pytest.raises(StorageError, match="expected an absolute path"):
        storage.read("file://relative/a")


def test_link_that_leads_out_of_the_nas_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setenv(storage.NAS_ROOT_VARIABLE, str(tmp_path / "nas"))
    with pytest.raises(StorageError, match="leaves the NAS root"):
        storage.read("nas://link")
    monkeypatch.setenv(storage.NAS_ROOT_VARIABLE, str(tmp_path / "not mounted"))
    with pytest.raises(StorageError, match="not mounted .*is not there; check that the share is mounted"):
        storage.put("nas://a", b"x")
    assert not (tmp_path / "not mounted").exists()


def test_put_new_works_where_links_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    storage.put_new(str(tmp_path / "a"), b"first")
    with pytest.raises(AlreadyExistsError):
        storage.put_new(str(tmp_path / "a"), b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["x" * 255, "漢" * 85])
def test_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    storage.put(str(tmp_path / name), b"x")
    storage.put_new(str(tmp_path / "sub" / name), b"y")
    assert storage.read(str(tmp_path / name)) == b"x"


def test_places_that_cannot_be_written_are_named_without_temporary_names(tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    with pytest.raises(StorageError, match="/folder: Is a directory"):
        storage.put(str(tmp_path / "folder"), b"x")
    with pytest.raises(StorageError, match="/x{300}: File name too long"):
        storage.put(str(tmp_path / ("x" * 300)), b"x")
    with pytest.raises(StorageError, match="the location is empty"):
        storage.list_files("")
    with pytest.raises(StorageError, match="NUL byte"):
        storage.read(f"{tmp_path}/a\0b")
    assert os.listdir(tmp_path) == ["folder"]
