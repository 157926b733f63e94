"""Downloads from a real HTTP server: ranges, cut connections, wrong sizes and checksums, and what they leave."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, file_server

from traffic_yolo.errors import ChecksumError, StorageError
from traffic_yolo.storage.download import download

DATA = np.random.default_rng(5).bytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "3")
    monkeypatch.setattr("traffic_yolo.storage.retry.time.sleep", lambda _: None)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(DATA)
    with file_server(tmp_path / "served") as running:
        yield running


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path.name != "served")


def test_a_file_comes_whole(server: FileServer, tmp_path: Path) -> None:
    came = download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
    assert (tmp_path / "a").read_bytes() == DATA
    assert (came.sha256, came.size, came.resumed_at) == (SHA256, len(DATA), 0)
    assert left(tmp_path / "a") == ["a"]
    assert server.asked == [("file", "")]


@pytest.mark.parametrize("sha256", [SHA256, ""], ids=["checksum", "no checksum"])
def test_a_cut_connection_is_continued(server: FileServer, tmp_path: Path, sha256: str) -> None:
    server.faults["file"] = [*([] if sha256 else [""]), "cut:100000", "cut:50000"]
    came = download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=sha256)
    assert (tmp_path / "a").read_bytes() == DATA
    assert came.sha256 == SHA256
    assert server.bytes_sent_for("file")[-2:] == ["bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("sha256", [SHA256, ""], ids=["checksum", "no checksum"])
def test_the_next_attempt_goes_on_where_the_last_gave_up(server: FileServer, tmp_path: Path, sha256: str) -> None:
    server.faults["file"] = [*([] if sha256 else [""]), "cut:100000", "503", "503", "503"]
    with pytest.raises(StorageError, match="gave up after 3 attempts.*the server answered 503"):
        download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=sha256)
    assert not (tmp_path / "a").exists()
    assert len(left(tmp_path / "a")) == 1
    came = download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=sha256)
    assert came.resumed_at == 100_000
    assert (tmp_path / "a").read_bytes() == DATA
    assert left(tmp_path / "a") == ["a"]


def test_without_a_checksum_another_version_is_not_joined_to_what_came(server: FileServer, tmp_path: Path) -> None:
    server.faults["file"] = ["", "cut:100000", "503", "503", "503"]
    with pytest.raises(StorageError):
        download(f"{server.address}/file", tmp_path / "a", size=len(DATA))
    other = DATA[::-1]
    (server.folder / "file").write_bytes(other)
    server.version = "2"
    came = download(f"{server.address}/file", tmp_path / "a", size=len(DATA))
    assert (came.resumed_at, (tmp_path / "a").read_bytes()) == (0, other)
    assert left(tmp_path / "a") == ["a"]


def test_a_server_without_ranges_begins_again(server: FileServer, tmp_path: Path) -> None:
    server.faults["file"] = ["cut:100000", "whole"]
    came = download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
    assert (came.resumed_at, (tmp_path / "a").read_bytes()) == (0, DATA)


def test_a_server_that_gets_nowhere_is_given_up(server: FileServer, tmp_path: Path) -> None:
    for faults in (["cut:100000", *["cut:0"] * 3], ["cut:100000", *["whole-cut:50000"] * 9]):
        server.asked.clear()
        server.faults["file"] = faults
        with pytest.raises(StorageError, match="gave up after 3 attempts.*the connection was cut"):
            download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
        assert len(server.asked) == 3
        for part in tmp_path.glob(".a.*.part"):
            part.unlink()


def test_a_damaged_part_is_fetched_from_the_beginning(server: FileServer, tmp_path: Path) -> None:
    server.faults["file"] = ["cut:100000", "503", "503", "503"]
    with pytest.raises(StorageError):
        download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
    (part,) = [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    part.write_bytes(bytes(100_000))
    came = download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
    assert (came.resumed_at, (tmp_path / "a").read_bytes()) == (0, DATA)


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (DATA[:-1] + b"x", f"expected SHA-256 {SHA256}, found .*; it is not the published file"),
        (DATA[:-1], "expected 300,000 bytes, the server has 299,999"),
        (DATA + b"x", "expected 300,000 bytes, the server has 300,001"),
    ],
    ids=["content", "short", "long"],
)
def test_another_file_is_refused_and_leaves_nothing(
    server: FileServer, tmp_path: Path, served: bytes, message: str
) -> None:
    (server.folder / "file").write_bytes(served)
    with pytest.raises(ChecksumError, match=message):
        download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
    assert left(tmp_path / "a") == []


def test_what_is_not_there_is_said_at_once(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"/none: nothing there \(404\)"):
        download(f"{server.address}/none", tmp_path / "a", size=1, sha256=SHA256)
    assert len(server.asked) == 1
    assert not (tmp_path / "a").exists()


def test_another_part_than_asked_for_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.faults["file"] = ["cut:1000", "other"]
    with pytest.raises(StorageError, match="another part of the file than was asked for"):
        download(f"{server.address}/file", tmp_path / "a", size=len(DATA), sha256=SHA256)


def test_a_redirect_is_followed(server: FileServer, tmp_path: Path) -> None:
    server.faults["old"] = [f"to:{server.address}/file"]
    download(f"{server.address}/old", tmp_path / "a", size=len(DATA), sha256=SHA256)
    assert (tmp_path / "a").read_bytes() == DATA


def test_no_server_and_no_address_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "1")
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
        with pytest.raises(StorageError, match="no connection to the server"):
            download(address, tmp_path / "a", size=1, sha256=SHA256)
    with pytest.raises(StorageError, match="expected an address that begins with https://"):
        download("ftp://x/file", tmp_path / "a", size=1)
    with pytest.raises(StorageError, match=r"http://\[/file: this is no address"):
        download("http://[/file", tmp_path / "a", size=1)


def test_a_proxy_of_the_environment_is_asked(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    download("http://files.invalid/models/file", tmp_path / "a", size=len(DATA), sha256=SHA256)
    assert (tmp_path / "a").read_bytes() == DATA
