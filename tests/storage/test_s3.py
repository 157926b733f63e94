"""What is particular to object storage: parts, credentials, certificates, conditions, and what a real server refuses."""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from minio.error import S3Error
from s3_servers import S3Server, free_port
from storage_settings import use

from traffic_yolo import storage
from traffic_yolo.errors import AlreadyExistsError, ChecksumError, NotFoundError, OptionsError, StorageError
from traffic_yolo.storage import s3_multipart
from traffic_yolo.storage.cache_folder import cache_folder
from traffic_yolo.storage.locations import parse_s3
from traffic_yolo.storage.s3 import S3Place, connect
from traffic_yolo.storage.s3_settings import S3Settings

MEBIBYTE = 1 << 20


def big_file(path: Path, mebibytes: float = 33.5) -> tuple[Path, str]:
    data = os.urandom(int(mebibytes * MEBIBYTE))
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def test_large_file_goes_in_parts_and_comes_back(server: S3Server, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    location = f"s3://{use(server, clean)}/big.h5"
    source, sha256 = big_file(tmp_path / "big")
    stored = storage.put(location, source)
    assert (stored.size, stored.sha256) == (source.stat().st_size, sha256)
    found = connect(S3Settings.from_environment()).stat_object(*parse_s3(location).__dict__.values())
    assert str(found.etag).endswith("-3"), "three parts: the ETag is no checksum of the content"
    assert hashlib.sha256(storage.fetch(location).read_bytes()).hexdigest() == sha256
    assert storage.verify(location).sha256 == sha256
    assert storage.read(location, offset=20 * MEBIBYTE, length=10) == source.read_bytes()[20 * MEBIBYTE :][:10]
    assert not list((cache_folder() / "uploads").glob("*"))


def test_interrupted_upload_goes_on_with_the_parts_that_are_there(
    server: S3Server, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    location = f"s3://{use(server, clean)}/big.h5"
    source, sha256 = big_file(tmp_path / "big")
    client = connect(S3Settings.from_environment())
    sent: list[int] = []
    real = client._upload_part

    def second_part_fails(*arguments: object) -> str:
        number = int(str(arguments[5]))
        if number == 2 and 2 not in sent:
            raise S3Error(None, "AccessDenied", "x", "", "", "")
        sent.append(number)
        return str(real(*arguments))

    clean.setattr(client, "_upload_part", second_part_fails)
    with pytest.raises(StorageError, match="access denied"):
        storage.put(location, source)
    assert storage.stat(location) is None
    before = sorted(sent)
    assert 2 not in before
    sent.append(2)
    sent.clear()
    clean.setattr(client, "_upload_part", lambda *a: (sent.append(int(str(a[5]))), real(*a))[1])
    assert storage.put(location, source).sha256 == sha256
    assert sorted(sent) == [number for number in (1, 2, 3) if number not in before]


def test_interrupted_upload_of_another_content_is_not_continued(
    bucket: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, _ = big_file(tmp_path / "big", 17)
    client = connect(S3Settings.from_environment())
    real = client._complete_multipart_upload
    clean.setattr(client, "_complete_multipart_upload", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        storage.put(f"{bucket}/big", source)
    clean.setattr(client, "_complete_multipart_upload", real)
    _, sha256 = big_file(source, 17)
    assert storage.put(f"{bucket}/big", source).sha256 == sha256
    assert storage.verify(f"{bucket}/big").sha256 == sha256


def test_file_that_changes_while_it_is_uploaded_leaves_the_old_object(
    bucket: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, _ = big_file(tmp_path / "big", 17)
    storage.put(f"{bucket}/big", b"old")
    clean.setattr("traffic_yolo.storage.s3.sha256_of_file", lambda _path: "0" * 64)
    with pytest.raises(StorageError, match="changed while it was uploaded"):
        storage.put(f"{bucket}/big", source)
    assert storage.read(f"{bucket}/big") == b"old"


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 16), (16 * MEBIBYTE * 10_000, 16), (16 * MEBIBYTE * 10_000 + 1, 17)]
)
def test_parts_are_as_many_as_s3_takes(size: int, expected: int) -> None:
    assert s3_multipart.part_bytes_of(size) == expected * MEBIBYTE
    assert -(-size // s3_multipart.part_bytes_of(size)) <= 10_000


def test_object_without_our_checksum_is_held_to_its_md5(
    server: S3Server, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = use(server, clean)
    connect(S3Settings.from_environment())._put_object(bucket, "foreign", b"put by another tool")
    stored = storage.stat(f"s3://{bucket}/foreign")
    assert stored is not None
    assert stored.sha256 == ""
    assert storage.fetch(f"s3://{bucket}/foreign").read_bytes() == b"put by another tool"
    clean.setattr("traffic_yolo.storage.s3._Head.etag_is_md5", True)
    clean.setattr(S3Place, "_chunks", lambda *_: iter([("", b"PUT by another tool")]))
    with pytest.raises(ChecksumError, match="expected MD5"):
        storage.fetch(f"s3://{bucket}/foreign", to=tmp_path / "x")


def test_object_whose_stored_checksum_is_wrong_is_not_handed_out(
    bucket: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "2")
    name = parse_s3(bucket + "/x").bucket
    connect(S3Settings.from_environment())._put_object(name, "x", b"rotten", {"x-amz-meta-sha256": "0" * 64})
    for ask in (storage.read, storage.fetch, storage.verify):
        with pytest.raises(ChecksumError, match=r"s3://.*/x: .*expected SHA-256 0000"):
            ask(f"{bucket}/x")
    assert storage.list_files(str(tmp_path)).files == []


@pytest.mark.long
def test_more_objects_than_a_page_are_listed(bucket: str) -> None:
    client, name = connect(S3Settings.from_environment()), parse_s3(bucket + "/x").bucket
    for number in range(1003):
        client._put_object(name, f"p/{number:05d}", b"x")
    listed = [file.name for file in storage.list_files(f"{bucket}/p").files]
    assert listed == [f"{number:05d}" for number in range(1003)]


def test_keys_that_would_lead_out_of_a_folder_are_left_out_and_named(
    bucket: str, moto: S3Server, tmp_path: Path
) -> None:
    name = parse_s3(bucket + "/x").bucket
    for key in ("p/../../evil", "p//double", "p/./dot", "p/ok", "p/folder/", "p/" + "x" * 256):
        connection = http.client.HTTPConnection(moto.host)  # clients that are well-behaved tidy such keys up
        connection.request("PUT", f"/{name}/{key.replace('.', '%2E')}", body=b"x")
        assert connection.getresponse().status == 200
        connection.close()
    listing = storage.list_files(f"{bucket}/p")
    assert [file.name for file in listing.files] == ["ok"]
    assert {skipped.name for skipped in listing.skipped} == {"../../evil", "/double", "./dot", "x" * 256}
    assert "part '..'" in {skipped.name: skipped.reason for skipped in listing.skipped}["../../evil"]
    storage.sync(f"{bucket}/p", str(tmp_path / "target"))
    assert list(tmp_path.rglob("*evil*")) == []
    assert [file.name for file in storage.list_files(str(tmp_path / "target")).files] == ["ok"]


def test_key_with_a_line_feed_stays_one_line_in_messages(ceph: S3Server, clean: pytest.MonkeyPatch) -> None:
    bucket = use(ceph, clean)
    storage.put(f"s3://{bucket}/new\nline", b"x")
    assert [file.name for file in storage.list_files(f"s3://{bucket}").files] == ["new\nline"]
    with pytest.raises(NotFoundError, match=r"other\\nline: object not found"):
        storage.read(f"s3://{bucket}/other\nline")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s3://", "expected s3://bucket/key"),
        ("s3://UPPER/a", "no name of a bucket"),
        ("s3://ab/a", "no name of a bucket"),
        ("s3://bucket/../a", r"part '\.\.'"),
        ("s3://bucket//a", "absolute name"),
        ("s3://bucket/" + "/".join(["x" * 250] * 5), "longer than the 1024 bytes"),
    ],
)
def test_locations_that_cannot_be_are_refused(location: str, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        storage.stat(location)


def test_wrong_secret_unknown_key_and_missing_bucket_are_told_apart(ceph: S3Server, clean: pytest.MonkeyPatch) -> None:
    """Only a real server checks signatures; each answer comes at once, for none of them passes by itself."""
    bucket = use(ceph, clean)
    storage.put(f"s3://{bucket}/a", b"x")
    clean.setattr("time.sleep", lambda _s: pytest.fail("tried again"))
    with pytest.raises(NotFoundError, match="no such bucket"):
        storage.read("s3://no-such-bucket/a")
    with pytest.raises(StorageError, match="no such bucket"):
        storage.put("s3://no-such-bucket/a", b"x")
    clean.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for ask in (storage.read, storage.stat, lambda place: storage.put(place, b"x")):
        with pytest.raises(StorageError, match="wrong AWS_SECRET_ACCESS_KEY"):
            ask(f"s3://{bucket}/a")
    clean.setenv("AWS_ACCESS_KEY_ID", "unknown")
    with pytest.raises(StorageError, match="does not know this AWS_ACCESS_KEY_ID"):
        storage.read(f"s3://{bucket}/a")
    clean.setenv("TRAFFIC_YOLO_S3_ANONYMOUS", "1")
    with pytest.raises(StorageError, match="access denied"):
        storage.read(f"s3://{bucket}/a")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TRAFFIC_YOLO_S3_ENDPOINT": ""}, "set TRAFFIC_YOLO_S3_ENDPOINT"),
        (
            {"TRAFFIC_YOLO_S3_ENDPOINT": "minio:9000"},
            "expected http://host:port or https://host:port, found 'minio:9000'",
        ),
        ({"TRAFFIC_YOLO_S3_ENDPOINT": "http://a/b"}, "expected http://host:port"),
        ({"TRAFFIC_YOLO_S3_ENDPOINT": "http://u:p@a"}, "credentials belong in"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "set AWS_SECRET_ACCESS_KEY, or"),
        ({"AWS_CA_BUNDLE": "/nowhere.pem"}, "certificate bundle not found: /nowhere.pem"),
        ({"TRAFFIC_YOLO_S3_TIMEOUT_S": "soon"}, "expected a whole number from 1"),
        ({"TRAFFIC_YOLO_STORAGE_ATTEMPTS": "0"}, "expected a whole number from 1"),
    ],
)
def test_environment_that_makes_no_sense_is_refused(
    clean: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    settings = {
        "TRAFFIC_YOLO_S3_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    for name, value in {**settings, **changes}.items():
        clean.setenv(name, value)
    with pytest.raises(OptionsError, match=words):
        storage.read("s3://bucket/a")


def test_secrets_are_not_shown(moto: S3Server, clean: pytest.MonkeyPatch) -> None:
    for name, value in moto.environment.items():
        clean.setenv(name, value)
    assert "test-secret" not in repr(S3Settings.from_environment())


def test_server_that_is_not_there_is_named_after_the_attempts(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("TRAFFIC_YOLO_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    clean.setenv("AWS_ACCESS_KEY_ID", "a")
    clean.setenv("AWS_SECRET_ACCESS_KEY", "b")
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "3")
    with pytest.raises(StorageError, match=r"s3://bucket/a: gave up after 3 attempts in \d+ s: .*Connection refused"):
        storage.read("s3://bucket/a")


def test_server_of_an_own_authority_wants_its_bundle(moto: S3Server, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TLS for real, through a terminating proxy in a process of its own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    from tls_proxy import tls_proxy

    bucket = use(moto, clean)
    with tls_proxy(moto.host, tmp_path / "cert.pem", tmp_path / "key.pem") as port:
        clean.setenv("TRAFFIC_YOLO_S3_ENDPOINT", f"https://localhost:{port}")
        clean.setattr("time.sleep", lambda _s: pytest.fail("tried again"))
        with pytest.raises(StorageError, match="certificate is not trusted; set AWS_CA_BUNDLE"):
            storage.put(f"s3://{bucket}/a", b"x")
        clean.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        storage.put(f"s3://{bucket}/a", b"over TLS")
        assert storage.read(f"s3://{bucket}/a") == b"over TLS"
        clean.setenv("TRAFFIC_YOLO_S3_ENDPOINT", f"https://{moto.host}")
        with pytest.raises(StorageError, match="does not speak TLS at this port"):
            storage.read(f"s3://{bucket}/a")


def test_put_new_whose_answer_was_lost_is_not_taken_for_another_writers(
    server: S3Server, clean: pytest.MonkeyPatch
) -> None:
    from fault_proxy import fault_proxy

    bucket = use(server, clean)
    with fault_proxy(server.host) as proxy:
        clean.setenv("TRAFFIC_YOLO_S3_ENDPOINT", f"http://{proxy.host}")
        proxy.fail_next("lost_answer", only="PUT")
        assert storage.put_new(f"s3://{bucket}/a", b"mine").sha256 == hashlib.sha256(b"mine").hexdigest()
        assert proxy.counts == {"lost_answer": 1}
        with pytest.raises(AlreadyExistsError):
            storage.put_new(f"s3://{bucket}/a", b"mine")


def test_cached_copy_that_was_changed_by_hand_is_fetched_again(bucket: str) -> None:
    storage.put(f"{bucket}/a", b"content")
    copy = storage.fetch(f"{bucket}/a")
    copy.write_bytes(b"CONTENT")
    assert storage.fetch(f"{bucket}/a").read_bytes() == b"content"
    note = next(copy.parent.glob(".*.fetched.json"))
    assert set(json.loads(note.read_text())) == {"identity", "sha256"}


def test_prefix_is_copied_to_the_cache_and_follows_what_is_removed(bucket: str) -> None:
    storage.put(f"{bucket}/share/a.h5", b"a")
    storage.put(f"{bucket}/share/b.h5", b"b")
    folder = storage.existing_path(f"{bucket}/share", what="source")
    assert sorted(path.name for path in folder.glob("*.h5")) == ["a.h5", "b.h5"]
    S3Place(parse_s3(f"{bucket}/share/a.h5")).remove()
    time.sleep(0.01)
    assert sorted(path.name for path in storage.existing_path(f"{bucket}/share", what="source").glob("*.h5")) == [
        "b.h5"
    ]
