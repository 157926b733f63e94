"""Zip files of labelling tools: read like the folder in them, called by their own name, bounded, and gone afterwards."""

import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.convert import ContentToMatch, convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.named_files import NOTHING, named_files
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources import archives
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.errors import LabelError, OptionsError
from traffic_yolo.limits import Limits, in_force
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot

XYWH = [1, 1, 20, 20]
FILES = {
    "data.yaml": b"train: ../train/images\nval: ../valid/images\nnames: [CAR]\n",
    "train/images/a.jpg": jpeg(1),
    "train/labels/a.txt": b"0 0.5 0.5 0.25 0.5\n",
    "valid/images/b.jpg": jpeg(2),
    "valid/labels/b.txt": b"0 0.5 0.5 0.5 0.5\n",
}


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def packed(path: Path, files: dict[str, bytes], *, around: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(around + name, data)
    return path


def read(path: Path, **options: str) -> list[tuple[str, str, int]]:
    frames = open_source(SourceChoice(str(path), **options)).frames()
    return [(frame.file_name, frame.label_file, len(frame.annotations)) for frame in frames]


@pytest.mark.parametrize("around", ["", "export 3/"], ids=["plain", "in a folder"])
def test_an_archive_is_read_like_the_folder_in_it(tmp_path: Path, around: str) -> None:
    path = packed(tmp_path / "a.ZIP", {**FILES, "__MACOSX/._data.yaml": b"\0"} if not around else FILES, around=around)
    assert read(path) == [
        ("train/a.jpg", f"{path}/{around}train/labels/a.txt", 1),
        ("valid/b.jpg", f"{path}/{around}valid/labels/b.txt", 1),
    ]


def test_the_same_archive_gives_the_same_data_set_and_a_snapshot_tells_its_content(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", FILES)
    options = ConvertOptions(str(path), splits="none")
    content = ContentToMatch(ShareContent.of(take_snapshot(str(path))))
    first, second = convert(options, tmp_path / "1"), convert(options, tmp_path / "2", content=content)
    assert len(DataSet.open(tmp_path / "1").split("all")) == 2
    assert first.counts == second.counts
    for name in ("annotations/instances_all.json", "report.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert "scratch" not in (tmp_path / "1/report.json").read_text()
    assert named_files(options, "", "run-1") == NOTHING  # all that is read is in the archive


def test_labels_laid_over_recordings_may_be_an_archive(share: object, tmp_path: Path) -> None:
    labels = Path(share.label_file)  # type: ignore[attr-defined]
    path = packed(tmp_path / "labels.zip", {"instances.json": labels.read_bytes()})
    choice = SourceChoice(str(share.recordings), labels=str(path))  # type: ignore[attr-defined]
    (first, *_) = [frame for frame in open_source(choice).frames() if frame.labelled]
    assert first.label_file.startswith(f"{path}/instances.json: image")


def with_mode(mode: int) -> Callable[[zipfile.ZipFile], None]:
    def add(archive: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo("train/images/link.jpg")
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")

    return add


def named(name: str) -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, b"x")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("add", "words"),
    [
        (with_mode(stat.S_IFLNK | 0o777), "expected files and folders, found a link: 'train/images/link.jpg'"),
        (with_mode(stat.S_IFIFO), "expected files and folders, found a special file"),
        (named("../evil.txt"), "which leads out of it"),
        (named("a/../../evil.txt"), "which leads out of it"),
        (named("..\\evil.txt"), "which leads out of it"),
        (named("/evil.txt"), "which leads out of it"),
        (named("C:\\evil.txt"), "which leads out of it"),
        (named("data.yaml"), "expected one file of a name, found two called 'data.yaml'"),
        (named("train/images/a.jpg/b.jpg"), "cannot be unpacked into"),
        (named("x" * 300), "expected names of 255 bytes at most"),
    ],
)
def test_what_does_not_belong_into_an_export_is_refused_and_nothing_stays(
    tmp_path: Path, scratch: Path, add: Callable[[zipfile.ZipFile], None], words: str
) -> None:
    path = packed(tmp_path / "a.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    with pytest.raises(LabelError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert not list(scratch.iterdir())
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.zip", "scratch"}


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Limits(archive_files=4), "more than 4 files; raise the limit archive_files"),
        (Limits(archive_bytes=100), "more than 100 bytes when it is unpacked; raise the limit archive_bytes"),
        (Limits(archive_expansion=500), "more than 500 for each; raise the limit archive_expansion"),
    ],
)
def test_bombs_are_refused_before_anything_is_unpacked(
    tmp_path: Path, scratch: Path, bounds: Limits, words: str
) -> None:
    path = packed(tmp_path / "a.zip", {**FILES, "zeros": b"\0" * 30_000_000})
    with in_force(bounds), pytest.raises(LabelError, match=words):
        read(path)
    assert not list(scratch.iterdir())
    assert read(path)


def test_an_archive_that_states_less_than_it_holds_unpacks_no_more_than_that(tmp_path: Path, scratch: Path) -> None:
    path = packed(tmp_path / "a.zip", {**FILES, "zeros": b"\0" * 30_000_000})
    data = path.read_bytes()
    path.write_bytes(data.replace((30_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    with pytest.raises(LabelError, match=r"a\.zip: expected a zip file, found a damaged one"):
        read(path)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_damaged_archive_is_refused_by_name(tmp_path: Path, kept: float) -> None:
    path = packed(tmp_path / "a.zip", FILES)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(LabelError, match=r"a\.zip: expected a zip file, found a damaged one"):
        read(path)


def test_faults_and_problems_name_the_archive(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "a.zip", {**FILES, "train/labels/a.txt": b"7 0.5 0.5 0.5 0.5\n", "valid/images/b.jpg": b"no"}
    )
    problems: list[Problem] = []
    source = open_source(SourceChoice(str(path)), SourceOptions(on_problem=problems.append))
    assert list(source.frames()) == []
    assert [problem.message.partition(" ")[0].partition(":")[0] for problem in problems] == [
        f"{path}/train/labels/a.txt", f"{path}/valid/images/b.jpg",
    ]  # fmt: skip
    path = packed(tmp_path / "b.zip", {"data.yaml": b"train: none\nnames: [CAR]\n"})
    with pytest.raises(OSError, match=rf"{path}/data\.yaml: names none, which is neither a folder") as caught:
        read(path)
    assert "scratch" not in str(caught.value)
    path = packed(tmp_path / "c.zip", {"a.h5": b"x"})
    with pytest.raises(OptionsError, match=r"c\.zip: expected an archive of labels, found recordings in it"):
        read(path)


def test_a_quarantine_takes_of_an_archive_what_it_takes_of_the_folder_in_it(tmp_path: Path) -> None:
    """The picture of the broken label, which stands in front of the others' as the file is read as a whole."""
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in (1, 2, 3)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": 1, "bbox": box}
            for n, (image, box) in enumerate([(1, XYWH), (2, [1, 1, "x", 20]), (2, XYWH), (3, XYWH)], start=1)
        ],
        "categories": [{"id": 1, "name": "CAR"}],
    }
    files = {"instances.json": json.dumps(content).encode(), **{f"{n}.jpg": jpeg(n) for n in (1, 2, 3)}}
    (tmp_path / "folder").mkdir()
    for name, data in files.items():
        (tmp_path / "folder" / name).write_bytes(data)
    packed(tmp_path / "a.zip", files)
    kept, aside, told = [], [], []
    for source in ("folder", "a.zip"):
        out, quarantine = tmp_path / f"{source} out", tmp_path / f"{source} aside"
        convert(ConvertOptions(str(tmp_path / source), splits="none", quarantine=str(quarantine)), out)
        kept.append(sorted(path.name for path in (out / "images").rglob("*.jpg")))
        entries = json.loads((quarantine / "quarantine.json").read_text())["entries"]
        aside.append([(entry["what"], entry["check"], entry["name"]) for entry in entries])
        told.append([(entry["file"], entry["reason"]) for entry in entries])
        for entry in entries:
            member = entry["file"].partition(f"{source}/")[2]
            assert (quarantine / entry["copy"]).read_bytes() == files[member]
        assert "scratch" not in (quarantine / "quarantine.json").read_text()
    assert kept == [["1.jpg", "3.jpg"]] * 2
    assert aside[0] == aside[1]
    assert len(aside[0]) == 2
    in_folder = [
        tuple(text.replace(str(tmp_path / "folder"), str(tmp_path / "a.zip")) for text in row) for row in told[0]
    ]
    assert in_folder == told[1]


def test_a_quarantine_copies_labels_out_of_an_archive_laid_over_recordings(share: object, tmp_path: Path) -> None:
    content = json.loads(Path(share.label_file).read_text())  # type: ignore[attr-defined]
    content["annotations"][0]["bbox"] = [1, 1, "x", 20]
    data = json.dumps(content).encode()
    path = packed(tmp_path / "labels.zip", {"sub/instances.json": data})
    options = ConvertOptions(
        str(share.root),  # type: ignore[attr-defined]
        labels=str(path),
        splits="none",
        quarantine=str(tmp_path / "aside"),
    )
    convert(options, tmp_path / "out")
    text = (tmp_path / "aside/quarantine.json").read_text()
    assert "scratch" not in text
    label = next(entry for entry in json.loads(text)["entries"] if entry["what"] == "label")
    assert label["file"] == f"{path}/sub/instances.json"
    assert (tmp_path / "aside" / label["copy"]).read_bytes() == data


def test_pictures_outside_of_the_archive_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/a.jpg").write_bytes(jpeg(1))
    path = packed(tmp_path / "a.zip", {**FILES, "data.yaml": f"train: {tmp_path}/own\nnames: [CAR]\n".encode()})
    problems: list[Problem] = []
    source = open_source(SourceChoice(str(path)), SourceOptions(on_problem=problems.append))
    assert list(source.frames()) == []
    assert [problem.kind for problem in problems if "lies outside of" in problem.message] == ["picture-missing"]
    assert not any("scratch" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("raw", "encoding", "name"),
    [
        ("차량.jpg".encode("cp949"), "auto", "차량"),
        ("차량.jpg".encode(), "auto", "차량"),  # macOS: UTF-8 without the mark
        ("车.jpg".encode("gb18030"), "auto", "车"),
        ("é.jpg".encode("cp437"), "auto", "é"),  # what zip says of names without a mark
        ("é.jpg".encode("cp1252"), "cp1252", "é"),
    ],
)
def test_names_in_the_code_page_of_somebody_s_desk(tmp_path: Path, raw: bytes, encoding: str, name: str) -> None:
    placeholder = "N" * (len(raw) - 4) + ".jpg"
    path = packed(tmp_path / "a.zip", {"data.yaml": b"train: images\nnames: [CAR]\n", f"images/{placeholder}": jpeg(1),
                                       "labels/other.txt": b""})  # fmt: skip
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), raw))
    problems: list[Problem] = []
    source = open_source(SourceChoice(str(path), label_encoding=encoding), SourceOptions(on_problem=problems.append))
    assert [frame.scan for frame in source.frames()] == [name]


def test_what_was_unpacked_goes_with_the_process_that_did_it(tmp_path: Path, scratch: Path) -> None:
    read(packed(tmp_path / "a.zip", FILES))
    (folder,) = scratch.iterdir()
    archives._remove(folder, os.getpid() + 1)
    assert folder.is_dir()
    archives._remove(folder, os.getpid())
    assert not folder.exists()
