"""Several sources in one conversion: each frame once, under one list of classes, and known by where it is from."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_shares import HEIGHT, WIDTH, Share, jpeg, three_sites

from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.check_source import check_source
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.folder.shards import Shard, convert_shard, merge_shards
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.dataset.quarantine import QUARANTINE_NAME
from traffic_yolo.dataset.sources.source_list import read_source_list
from traffic_yolo.errors import LabelError, OptionsError, StorageError
from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot
from traffic_yolo.storage import NAS_ROOT_VARIABLE

LINE = "0 .5 .5 .25 .5\n"


def yolo_set(root: Path, names: list[str], folder: str, seeds: list[int]) -> Path:
    """A YOLO set with one picture of `jpeg(seed)` for each seed in one folder, each with one box of class 0."""
    for place in ("images", "labels"):
        (root / place / folder).mkdir(parents=True)
    for seed in seeds:
        (root / f"images/{folder}/{seed}.jpg").write_bytes(jpeg(seed))
        (root / f"labels/{folder}/{seed}.txt").write_text(LINE)
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": names}))
    return root


def listing(path: Path, *entries: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump({"sources": list(entries)}))
    return str(path)


@pytest.fixture
def mixed(share: Share, tmp_path: Path) -> str:
    """A share of recordings (nine labelled frames), and two YOLO sets whose folders have one name."""
    yolo_set(tmp_path / "one", ["car"], "north", [900, 901])
    yolo_set(tmp_path / "two", ["CAR", "BIKE"], "north", [902])
    return listing(
        tmp_path / "list.yaml",
        {"name": "share", "source": str(share.recordings), "labels": str(share.label_file)},
        {"name": "one", "source": "one", "source_format": "yolo"},
        {"name": "two", "source": "two"},
    )


def images(out: Path, split: str = "all") -> dict[str, dict[str, Any]]:
    content = json.loads((out / f"annotations/instances_{split}.json").read_text())
    return {image["file_name"]: image for image in content["images"]}


def test_every_frame_comes_out_once_with_its_bytes_and_its_source(mixed: str, share: Share, tmp_path: Path) -> None:
    class_map = tmp_path / "classes.yaml"
    class_map.write_text("classes: [CAR, BUS]\nrename: {car: CAR}\ndrop: [BIKE, TRUCK, LONG_TRUCK]\n")
    summary = convert(ConvertOptions(source=mixed, splits="none", class_map=str(class_map)), tmp_path / "out")
    found = images(tmp_path / "out")
    assert len(found) == 12
    for name, seed in {"one-north/900.jpg": 900, "one-north/901.jpg": 901, "two-north/902.jpg": 902}.items():
        assert (tmp_path / "out/images" / name).read_bytes() == jpeg(seed)
        assert found[name]["attributes"] == {"data_source": name[:3]}
    assert sum(image["attributes"] == {"data_source": "share"} for image in found.values()) == 9
    assert (
        "1 names of recordings are in several sources, and have the source's before them here: north" in summary.notes
    )
    # car of one set, CAR of the others: one class
    boxes = [
        DataSet.open(tmp_path / "out").classes[i]
        for x in DataSet.open(tmp_path / "out").split("all")
        for i in x.class_ids
    ]
    assert (boxes.count("CAR"), boxes.count("BUS")) == (9 + 3, 9)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [(each["name"], each["description"]) for each in manifest["source"]["sources"]] == [
        ("share", "ATM, 3 recordings, human labels"),
        ("one", "2 pictures in files"),
        ("two", "1 pictures in files"),
    ]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["findings"]["sources"]["two"] == {"pictures": {"all": 1}, "boxes": {"CAR": 1}}
    assert "source one: 2 pictures, 2 boxes" in summary.notes
    assert ">Sources</h2>" in (tmp_path / "out/report.html").read_text()


def test_without_a_class_map_names_that_differ_in_case_alone_are_named(mixed: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"the sources' classes: warning: .*\[alike-classes\]"):
        convert(ConvertOptions(source=mixed, splits="none", policy="{fail_on: warning}"), tmp_path / "out")


@pytest.mark.long
def test_shards_and_processes_come_to_the_same_bytes(mixed: str, tmp_path: Path) -> None:
    options = ConvertOptions(source=mixed)
    convert(options, tmp_path / "one-piece", processes=1)
    convert(options, tmp_path / "processes", processes=3)
    parts = [tmp_path / f"part{index}" for index in range(4)]
    counts = [convert_shard(options, part, Shard(index, 4)).num_pictures for index, part in enumerate(parts)]
    assert sum(counts) == 12
    assert max(counts) < 12
    merge_shards(parts, tmp_path / "merged")
    whole = tree(tmp_path / "one-piece")
    assert tree(tmp_path / "processes") == whole
    assert tree(tmp_path / "merged") == whole


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
def test_own_splits_count_where_every_source_has_some(tmp_path: Path) -> None:
    for name, seeds in {"a": [1, 2, 3], "b": [4, 5, 6]}.items():
        root = tmp_path / name
        for split, seed in zip(("train", "val", "test"), seeds, strict=True):
            yolo_set(root, ["CAR"], split, [seed])
        splits = {split: f"images/{split}" for split in ("train", "val", "test")}
        (root / "data.yaml").write_text(yaml.safe_dump({**splits, "names": ["CAR"]}))
    path = listing(tmp_path / "l.yaml", {"name": "a", "source": "a"}, {"name": "b", "source": "b"})
    convert(ConvertOptions(source=path), tmp_path / "out")
    for split, seeds in {"train": (1, 4), "val": (2, 5), "test": (3, 6)}.items():
        assert set(images(tmp_path / "out", split)) == {f"a-{split}/{seeds[0]}.jpg", f"b-{split}/{seeds[1]}.jpg"}


def test_a_source_may_have_a_snapshot_of_its_own(share: Share, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s.json", take_snapshot(str(share.recordings), labels=str(share.label_file)))
    yolo_set(tmp_path / "one", ["CAR"], "north", [900])
    atm = {"name": "share", "source": str(share.recordings), "labels": str(share.label_file), "snapshot": "s.json"}
    path = listing(tmp_path / "l.yaml", atm, {"name": "one", "source": "one"})
    share.site("Z", 9)  # came later
    convert(ConvertOptions(source=path, splits="none"), tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert "3 recordings" in manifest["source"]["sources"][0]["description"]
    assert len(manifest["source"]["sources"][0]["snapshot"]) == 64
    share.label_file.write_text(share.label_file.read_text().replace("10.5", "11.5"))
    with pytest.raises(StorageError, match="expected SHA-256"):
        convert(ConvertOptions(source=path, splits="none"), tmp_path / "two")
    with pytest.raises(OptionsError, match="lists several sources: give it there"):
        convert(ConvertOptions(source=path), tmp_path / "three", snapshot_path=tmp_path / "s.json")


def test_the_bad_of_every_source_goes_aside_under_its_name(tmp_path: Path) -> None:
    first, second = three_sites(tmp_path / "first"), three_sites(tmp_path / "second")
    for built in (first, second):
        built.annotation(image_id=1, category_id=0, bbox=[1, 2, 0, 4])
        built.save()
    yolo = yolo_set(tmp_path / "one", ["CAR"], "north", [900, 901])
    (yolo / "images/north/900.jpg").write_bytes(b"nothing")
    atm = [
        {"name": name, "source": str(built.recordings), "labels": str(built.label_file)}
        for name, built in (("first", first), ("second", second))
    ]
    path = listing(tmp_path / "l.yaml", *atm, {"name": "one", "source": "one"})
    aside = tmp_path / "aside"
    options = ConvertOptions(source=path, splits="none", quarantine=str(aside), policy="{leak_check: 'off'}")
    convert(options, tmp_path / "out")
    assert len(images(tmp_path / "out")) == 8 + 8 + 1
    entries = json.loads((aside / QUARANTINE_NAME).read_text())["entries"]
    copies = [entry["copy"] for entry in entries]
    assert sorted(copy.split("/")[:2] for copy in copies) == [
        ["labels", "first"], ["labels", "second"], ["pictures", "first"], ["pictures", "one"], ["pictures", "second"],
    ]  # fmt: skip
    assert all((aside / copy).is_file() for copy in copies)
    with pytest.raises(OptionsError, match="apart from the source"):
        inside = ConvertOptions(source=path, quarantine=str(yolo / "aside"))
        convert(inside, tmp_path / "never")


def test_check_reads_a_list_too(mixed: str, share: Share) -> None:
    outcome = check_source(SourceChoice(source=mixed), CheckOptions(decode="none"))
    assert outcome.run.frames == 12
    assert outcome.description.startswith("share: ATM, 3 recordings, human labels; one: 2 pictures in files")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: []", "sources: expected a list of one or more"),
        ("sources: [{name: a, source: a}]\nmore: 1", "unknown key 'more'; known: sources"),
        ("sources: [{name: a}]", "sources.0.: expected the key source too, found name"),
        ("sources: [{source: a}]", "expected the key name too"),
        ("sources: [{name: a b, source: a}]", "name: expected letters"),
        ("sources: [{name: a, source: a, label: x}]", "sources.0.: unknown key 'label'; did you mean labels"),
        ("sources: [{name: a, source: a, voc_origin: 1}]", "voc_origin: expected a text, found 1; write it in quotes"),
        ("sources: [{name: a, source: a, source_format: gif}]", "sources.0.: source_format"),
        ("sources: [{name: a, source: a}, {name: a, source: a}]", "found a twice; rename one"),
        ("sources: [{name: a, source: list.yaml}]", "found a list of sources"),
    ],
)
def test_what_is_no_list_is_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    yolo_set(tmp_path / "a", ["CAR"], "north", [900])
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(OptionsError, match=message):
        convert(ConvertOptions(source=str(tmp_path / "list.yaml")), tmp_path / "out")


def test_options_of_one_source_do_not_go_with_a_list(mixed: str, share: Share, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="labels: .* lists several sources: give it there"):
        convert(ConvertOptions(source=mixed, labels=str(share.label_file)), tmp_path / "out")


def test_a_class_that_the_map_does_not_name_is_refused(mixed: str, tmp_path: Path) -> None:
    class_map = tmp_path / "classes.yaml"
    class_map.write_text("classes: [CAR, BUS, TRUCK, LONG_TRUCK]\n")
    with pytest.raises((LabelError, OptionsError), match="car|BIKE"):
        convert(ConvertOptions(source=mixed, splits="none", class_map=str(class_map)), tmp_path / "out")


def test_sizes_are_those_of_the_pictures(mixed: str, tmp_path: Path) -> None:
    convert(ConvertOptions(source=mixed, splits="none"), tmp_path / "out")
    assert {(image["width"], image["height"]) for image in images(tmp_path / "out").values()} == {(WIDTH, HEIGHT)}


def test_the_page_s_list_is_one(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (repository / "docs/data-formats.md").read_text()
    (text,) = [part for part in page.split("```") if part.startswith("yaml\nsources:")]
    monkeypatch.setenv(NAS_ROOT_VARIABLE, str(tmp_path))
    for folder in ("recordings/june", "lists", "public-set"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lists/sources.yaml").write_text(text.removeprefix("yaml\n"))
    june, public = read_source_list(tmp_path / "lists/sources.yaml")
    assert (june.name, june.choice.source, june.snapshot) == (
        "june", "nas://recordings/june", str(tmp_path / "lists/june.json"),
    )  # fmt: skip
    assert (public.choice.source, public.choice.label_source) == (str(tmp_path / "lists/../public-set"), "human")
