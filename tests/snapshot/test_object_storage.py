"""A share in object storage: the same fingerprint and counts as on a disk, and an unchanged one is not read again."""

from pathlib import Path

import pytest
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo import storage
from traffic_yolo.atm.recording import find_recordings
from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.errors import StorageError
from traffic_yolo.snapshot import reading
from traffic_yolo.snapshot.content import ShareContent, held_files
from traffic_yolo.snapshot.options import RecordingsChoice
from traffic_yolo.snapshot.snapshot import load_snapshot, take_snapshot, write_snapshot


@pytest.mark.long
def test_share_in_a_bucket_is_told_as_on_a_disk(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_CACHE", str(tmp_path / "cache"))
    options = SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=3, image_wh=(160, 96))
    write_share(tmp_path / "nas", options)
    source, labels = tmp_path / "nas" / "recordings", tmp_path / "nas" / "human_labels.json"
    bucket = f"s3://{use(moto, monkeypatch)}"
    storage.sync(str(source), f"{bucket}/recordings")
    storage.put(f"{bucket}/labels.json", labels)
    cache = f"{bucket}/kept/.snapshot.cache"
    on_disk = take_snapshot(str(source))
    taken = take_snapshot(f"{bucket}/recordings", cache=cache)
    assert (taken.fingerprint, taken.totals, taken.files) == (on_disk.fingerprint, on_disk.totals, on_disk.files)
    labelled = take_snapshot(f"{bucket}/recordings", labels=f"{bucket}/labels.json", cache=cache)
    assert [file.path for file in labelled.files][-1] == "labels:labels.json"

    monkeypatch.setattr(reading, "_read_object", lambda task, _layout: pytest.fail(f"read {task.name}"))
    assert take_snapshot(f"{bucket}/recordings", labels=f"{bucket}/labels.json", cache=cache) == labelled
    monkeypatch.undo()
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)

    first = find_recordings(source)[0]
    storage.put(f"{bucket}/recordings/{first.relative_to(source).as_posix()}", first.read_bytes()[:-1])
    (skipped,) = take_snapshot(f"{bucket}/recordings", cache=cache).skipped
    assert skipped.reason.startswith("is still being written, or was cut off: ")

    write_snapshot(tmp_path / "s.json", taken)
    storage.put(f"{bucket}/kept/s.json", tmp_path / "s.json")
    assert load_snapshot(f"{bucket}/kept/s.json") == taken
    storage.put(f"{bucket}/kept/broken.json", b"{")
    with pytest.raises(StorageError, match="snapshot s3://.*/kept/broken.json line 1 column 2: not valid JSON"):
        load_snapshot(f"{bucket}/kept/broken.json")
    with pytest.raises(StorageError, match="source is empty: s3://.*/nothing"):
        take_snapshot(f"{bucket}/nothing")


def test_share_in_a_bucket_holds_what_it_held(moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_CACHE", str(tmp_path / "cache"))
    bucket = f"s3://{use(moto, monkeypatch)}"
    for name in ("a.h5", "b.h5"):
        storage.put(f"{bucket}/recordings/{name}", name.encode() * 9)
    storage.put(f"{bucket}/labels.json", b"{}")
    choice = RecordingsChoice(f"{bucket}/recordings", labels=f"{bucket}/labels.json")
    content = ShareContent.of(take_snapshot(choice.source, labels=choice.labels))
    held = held_files(content, choice)
    assert held.names == {"a.h5", "b.h5"}
    storage.put(f"{bucket}/hashes", held.hashes.dump())
    monkeypatch.setattr("traffic_yolo.snapshot.content.existing_path", lambda *_, **__: pytest.fail("read"))
    assert held_files(content, choice, cache=f"{bucket}/hashes").names == held.names
    storage.put(f"{bucket}/recordings/a.h5", b"A.h5" * 9)
    monkeypatch.undo()
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRAFFIC_YOLO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StorageError, match="s3://.*/recordings: the files have the names and sizes .*other content"):
        held_files(content, choice, cache=f"{bucket}/hashes")
