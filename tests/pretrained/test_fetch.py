"""`fetch`: a published model from a real server or a folder, held to what is known of it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from file_server import FileServer, file_server

from traffic_yolo import published_weights
from traffic_yolo.cli import traffic_yolo
from traffic_yolo.errors import ChecksumError, DarknetFormatError, ModelError, OptionsError, StorageError
from traffic_yolo.evaluation.provenance import KNOWN_WEIGHTS
from traffic_yolo.pretrained.fetch import fetch_model
from traffic_yolo.pretrained.fetch_options import FetchOptions
from traffic_yolo.published_weights import published_model, published_models, read_published


@pytest.fixture
def server(tmp_path: Path, untrained_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves a small network as "street", and has a catalogue that knows it."""
    monkeypatch.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "1")
    folder = tmp_path / "served"
    folder.mkdir()
    for name, published in (
        ("model.cfg", "street.cfg"),
        ("model.weights", "street.weights"),
        ("classes.names", "a.names"),
    ):
        (folder / published).write_bytes((untrained_model / name).read_bytes())
    catalogue(tmp_path, folder, monkeypatch)
    with file_server(folder) as running:
        yield running


def catalogue(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, knows_weights: bool = True, sha1: str = ""
) -> None:
    files = {"cfg": "street.cfg", "weights": "street.weights", "names": "a.names"}
    parts = {
        part: {
            "address": f"https://published.invalid/x/{name}",
            "size": (folder / name).stat().st_size,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if part != "weights" or knows_weights
            else "",
        }
        for part, name in files.items()
    }
    if sha1:
        parts["weights"]["sha1"] = sha1
    model = {"source": "https://published.invalid", "licence": "free", "trained_on": "coco", **parts}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": {"street": model}}))
    models = read_published(tmp_path / "models.yaml")
    monkeypatch.setattr(published_weights, "published_models", lambda: models)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_three_files_come_and_stay(server: FileServer, tmp_path: Path) -> None:
    options = FetchOptions(mirror=f"{server.address}/some/folder/")
    fetched = fetch_model("street", tmp_path / "models", options)
    assert names(tmp_path / "models") == ["street.cfg", "street.names", "street.weights"]
    assert (tmp_path / "models/street.weights").read_bytes() == (server.folder / "street.weights").read_bytes()
    assert [each.is_verified for each in fetched.files] == [True] * 3
    assert "SHA-256 as published" in fetched.text
    assert fetched.text.endswith("street, trained on coco: free, from https://published.invalid")
    again = fetch_model("street", tmp_path / "models", FetchOptions(mirror="http://nobody.invalid"))
    assert [each.how for each in again.files] == ["already there"] * 3


def test_a_cut_download_is_continued_by_the_next_command(server: FileServer, tmp_path: Path) -> None:
    options = FetchOptions(mirror=server.address)
    server.faults["street.weights"] = ["cut:1000"]
    with pytest.raises(StorageError, match="the connection was cut"):
        fetch_model("street", tmp_path / "models", options)
    assert not (tmp_path / "models/street.weights").exists()
    fetch_model("street", tmp_path / "models", options)
    assert server.bytes_sent_for("street.weights") == ["", "bytes=1000-"]


def test_a_folder_will_do_where_the_net_is_closed(server: FileServer, tmp_path: Path) -> None:
    fetch_model("street", tmp_path / "a", FetchOptions(from_folder=str(server.folder)))
    fetch_model("street", tmp_path / "b", FetchOptions(from_folder=str(tmp_path / "a")))  # under fetch's own names
    assert names(tmp_path / "b") == ["street.cfg", "street.names", "street.weights"]
    assert server.asked == []
    with pytest.raises(StorageError, match="street.cfg: not found; it is published at https://"):
        fetch_model("street", tmp_path / "c", FetchOptions(from_folder=str(tmp_path / "models.yaml")))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-4] + b"\0\0\0\0", "expected SHA-256 .* found"),
        (lambda data: data[:-4], "expected .* bytes, (the server has|found)"),
    ],
    ids=["content", "size"],
)
@pytest.mark.parametrize("how", ["server", "folder"])
def test_another_file_is_refused_and_leaves_none(
    server: FileServer, tmp_path: Path, damage: Callable[[bytes], bytes], message: str, how: str
) -> None:
    path = server.folder / "street.weights"
    path.write_bytes(damage(path.read_bytes()))
    options = FetchOptions(mirror=server.address) if how == "server" else FetchOptions(from_folder=str(server.folder))
    with pytest.raises(ChecksumError, match=message):
        fetch_model("street", tmp_path / "models", options)
    assert names(tmp_path / "models") == ["street.cfg", "street.names"]


def test_a_file_that_is_there_with_another_content_is_left_alone(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/street.weights").write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"street.weights: is there with another content \(4 bytes"):
        fetch_model("street", tmp_path / "models", FetchOptions(mirror=server.address))
    assert (tmp_path / "models/street.weights").read_bytes() == b"mine"
    assert server.asked == []


def test_weights_without_a_known_checksum_are_held_to_the_cfg(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue(tmp_path, server.folder, monkeypatch, knows_weights=False)
    fetched = fetch_model("street", tmp_path / "good", FetchOptions(mirror=server.address))
    sha256 = hashlib.sha256((server.folder / "street.weights").read_bytes()).hexdigest()
    assert "NOT VERIFIED: no checksum of it is known" in fetched.text
    assert sha256 in fetched.text
    good = (server.folder / "street.weights").read_bytes()
    for bad in (good[:-4] + b"\xff\xff\xff\xff", b"<html>" + good[6:]):  # a NaN; a page in the place of the file
        (server.folder / "street.weights").write_bytes(bad)
        with pytest.raises(DarknetFormatError):
            fetch_model("street", tmp_path / "bad", FetchOptions(mirror=server.address))
        assert names(tmp_path / "bad") == ["street.cfg", "street.names"]


def test_weights_that_nobody_can_verify_are_warned_of_and_held_to_what_came_first(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue(tmp_path, server.folder, monkeypatch, knows_weights=False)
    models, mirror = tmp_path / "models", FetchOptions(mirror=server.address)
    first = fetch_model("street", models, mirror).files[1]
    (warned,) = caplog.messages
    assert "NOT VERIFIED: no checksum of the published file is known" in warned
    assert (models / "street.weights.sha256").read_text() == f"{first.sha256}  street.weights\n"
    caplog.clear()
    again = fetch_model("street", models, mirror)
    assert "already there" in again.text
    assert "SHA-256 as at the first fetch, NOT as published" in again.text
    assert [each.is_verified for each in again.files] == [True, False, True]
    assert not caplog.messages
    # From the folder, too, and where the file itself is gone
    copied = fetch_model("street", tmp_path / "copy", FetchOptions(from_folder=str(models)))
    assert copied.files[1].checked.startswith("SHA-256 as at the first fetch")
    published = server.folder / "street.weights"
    whole = published.read_bytes()
    (models / "street.weights").unlink()
    published.write_bytes(whole[:-4] + b"\0\0\0\0")
    with pytest.raises(ChecksumError, match=r"expected SHA-256 .* that is what came at first"):
        fetch_model("street", models, mirror)
    assert names(models) == ["street.cfg", "street.names", "street.weights.sha256"]
    (models / "street.weights").write_bytes(published.read_bytes())
    with pytest.raises(StorageError, match=r"another content .* as at the first fetch"):
        fetch_model("street", models, mirror)
    (models / "street.weights.sha256").write_text("<html>")
    with pytest.raises(ChecksumError, match=r"street.weights.sha256: expected a SHA-256 and a file's name"):
        fetch_model("street", models, mirror)


def test_a_checksum_of_the_users_own_is_one(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256((server.folder / "street.weights").read_bytes()).hexdigest()
    with pytest.raises(OptionsError, match=f"^sha256: the published file has {sha256}, found 0000"):
        fetch_model("street", tmp_path / "a", FetchOptions(mirror=server.address, sha256="0" * 64))
    catalogue(tmp_path, server.folder, monkeypatch, knows_weights=False)
    given = fetch_model("street", tmp_path / "b", FetchOptions(mirror=server.address, sha256=sha256)).files[1]
    assert (given.is_verified, given.checked) == (True, "SHA-256 as given")
    assert names(tmp_path / "b") == ["street.cfg", "street.names", "street.weights"]
    with pytest.raises(ChecksumError, match="expected SHA-256 0000"):
        fetch_model("street", tmp_path / "c", FetchOptions(mirror=server.address, sha256="0" * 64))
    with pytest.raises(OptionsError, match="^sha256: expected 64 hexadecimal digits"):
        FetchOptions(sha256=sha256.upper())


@pytest.mark.parametrize("how", ["server", "folder"])
def test_where_only_a_sha1_is_known_it_is_held_to(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    options = FetchOptions(mirror=server.address) if how == "server" else FetchOptions(from_folder=str(server.folder))
    published = server.folder / "street.weights"
    sha1 = hashlib.sha1(published.read_bytes(), usedforsecurity=False).hexdigest()
    catalogue(tmp_path, server.folder, monkeypatch, knows_weights=False, sha1=sha1)
    came = fetch_model("street", tmp_path / "a", options).files[1]
    assert (came.is_verified, came.checked) == (True, "SHA-1 as published")
    assert names(tmp_path / "a") == ["street.cfg", "street.names", "street.weights"]
    published.write_bytes(published.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ChecksumError, match=f"expected SHA-1 {sha1}, found"):
        fetch_model("street", tmp_path / "b", options)
    assert names(tmp_path / "b") == ["street.cfg", "street.names"]
    (tmp_path / "a" / "street.weights").write_bytes(published.read_bytes())
    with pytest.raises(ChecksumError, match=f"expected SHA-1 {sha1}, found"):
        fetch_model("street", tmp_path / "a", options)


def test_the_command_says_what_came_and_lists_what_there_is(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner().invoke(
        traffic_yolo, ["fetch", "street", "--out", str(tmp_path / "m"), "--from", str(server.folder)]
    )
    assert run.exit_code == 0, run.output
    assert f"see it at work: traffic-yolo predict {tmp_path}/m/street.weights" in run.output
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path))
    run = CliRunner().invoke(traffic_yolo, ["fetch", "street", "--out", "nas://n", "--from", "nas://m"])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "n" / "street.weights").is_file()
    listed = CliRunner().invoke(traffic_yolo, ["fetch"]).output
    assert listed.startswith("street ")
    values = json.loads(CliRunner().invoke(traffic_yolo, ["fetch", "--json"]).output)["models"]
    assert [each["name"] for each in values] == ["street"]
    run = CliRunner().invoke(traffic_yolo, ["fetch", "street", "--out", str(tmp_path / "m"), "--json"])
    assert [each["how"] for each in json.loads(run.output)["files"]] == ["already there"] * 3


def test_mistakes_are_one_line(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no published model 'streets'; did you mean street"):
        fetch_model("streets", tmp_path)
    with pytest.raises(OptionsError, match="mirror: from_folder names another place"):
        FetchOptions(mirror="https://x", from_folder="y")
    with pytest.raises(OptionsError, match="mirror: expected an address that begins with https://, found 'nas://x'"):
        FetchOptions(mirror="nas://x")
    missing = CliRunner().invoke(traffic_yolo, ["fetch", "street"])
    assert isinstance(missing.exception, OptionsError)
    assert "--out: expected a folder" in str(missing.exception)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": {"address": "https://x/y", "size": 5}},
            "models.street.weights: expected the key sha256 too, found ",
        ),
        ({"weights": {"address": "https://x/y", "size": 5, "sha256": "abc"}}, "sha256: expected 64 hexadecimal digits"),
        (
            {"weights": {"address": "http://x/y", "size": 5, "sha256": ""}},
            "address: expected one that begins with https",
        ),
        ({"weights": {"address": "https://x/y", "size": 0, "sha256": ""}}, "size: expected a number of bytes"),
        (
            {"published": {"ap": 43.5, "width": 1, "height": 1, "pictures": "x"}},
            r"published.ap: expected a number from 0 to 1, found 43.5",
        ),
        ({"licence": 5}, "licence: expected a text"),
        ({"more": 5}, "models.street: unknown key 'more'; "),
    ],
    ids=["no checksum key", "checksum", "address", "size", "percent", "licence", "unknown"],
)
def test_a_catalogue_that_is_wrong_is_refused(
    server: FileServer, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    content = yaml.safe_load((tmp_path / "models.yaml").read_text())
    content["models"]["street"] |= change
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match=message):
        read_published(tmp_path / "models.yaml")


def test_the_catalogue_of_the_package_is_read_and_evaluate_knows_its_weights() -> None:
    models = published_models()
    assert {"yolov4", "yolov4-tiny", "yolo-fastest-1.1"} <= set(models)
    assert published_model("yolov4").weights.sha256.startswith("e8a4f6c6")
    for model in models.values():
        assert (model.weights.sha256 in KNOWN_WEIGHTS) == bool(model.weights.sha256 and model.trained_on)
    # Both files that lay at the address of yolov4-tiny.weights are known, and only the newer is fetched
    tiny = models["yolov4-tiny"].weights
    assert [KNOWN_WEIGHTS[each] for each in (tiny.sha256, *tiny.earlier_sha256)] == [
        ("yolov4-tiny.weights", "coco")
    ] * 2


def test_the_catalogue_agrees_with_the_reference_files(reference: Path) -> None:
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.show import network_table

    compared = 0
    for model in published_models().values():
        for folder in ("cfg", "weights"):
            for part, file in (("cfg", model.cfg), ("weights", model.weights), ("names", model.names)):
                path = reference / folder / file.file_name
                if path.is_file():
                    assert path.stat().st_size == file.size, path
                    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256, path
                    compared += 1
                    if part == "cfg":
                        table = network_table(Cfg.read(path))
                        assert table.weights_bytes == model.weights.size, path
                        if model.published:
                            net = Cfg.read(path).net
                            assert model.published.network_wh == (net.get_int("width", 0), net.get_int("height", 0))
    assert compared > 20
