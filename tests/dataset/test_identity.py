"""Converting what we wrote ourselves changes nothing: not a box, a class, a mark, a source, a confidence, a group or a split."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.options import WRITTEN_FORMATS, ConvertOptions, ExportOptions

SPLITS = ("train", "val", "test")
Entry = dict[str, Any]
CLASSES = ["TRUCK", "CAR", "traffic light", "VAN", "OTHERS"]  # VAN only in boxes that a class map ignores
MODEL = {"label_source": "model"}
DEVICE = {"label_source": "device"}
# What a box may say beside its place and class
KINDS: list[Entry] = [
    {},
    {"ignore": 1},
    {"iscrowd": 1, "area": 55.5},
    {"category": "VAN"},
    {"category": "OTHERS", "attributes": {"why": "far"}},
    {"category": "traffic light", "area": 33.25},
    {"category": "TRUCK", "attributes": {"occluded": True, "colour": "dark <blue>", "nested": {"a": [1, 2]}}},
    {"bbox": [WIDTH - 5.12345, HEIGHT - 7.98765, 40, 40]},  # cut at the corner
    {"bbox": [WIDTH - 6.00005, 3, 6.00005, 9.99995]},
    {"bbox": [-3.33333, -2.22222, 10.10101, 8.88888], "ignore": 1},
]
GUESSES: list[Entry] = [
    {**DEVICE, "confidence": 0.123456789},
    {**MODEL, "confidence": 1.0, "ignore": 1},
    {**MODEL, "score": 8.2981, "category": "TRUCK"},
    {**DEVICE, "confidence": 0.75, "category": "VAN"},
]


def write_source(root: Path) -> Path:
    """Three sites of two recordings with three pictures: all kinds of human boxes, one picture empty, one of guesses."""
    content: dict[str, list[Entry]] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    for number in range(18):
        site, recording, scan = "ABC"[number // 6], number // 3, number % 3
        name = f"2024050{recording}/SCAN_{scan:05d}.jpg"
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
        image = {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, "scan": f"SCAN_{scan:05d}"}
        image |= {"site": site, "camera": f"10.0.0.{recording}", "day": "20240501", "recording": f"2024050{recording}"}
        content["images"].append({**image, "attributes": {"weather": "rain", "time": 10.5 * scan}})
        kinds = [KINDS, [], GUESSES][scan] if recording % 2 else KINDS[number % 4 :]
        for place, kind in enumerate(kinds):
            fields = {"bbox": [4.00005 * place + 0.3, 3.33333 * place + number / 7, 20.1, 15.77777]} | kind
            category = CLASSES.index(fields.pop("category", "CAR")) + 1
            box = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": category, **fields}
            content["annotations"].append(box)
    (root / "instances.json").write_text(json.dumps(content))
    (root / "map.yaml").write_text(
        "classes: [TRUCK, CAR, traffic_light]\nrename: {traffic light: traffic_light}\nignore: [VAN, OTHERS]\n"
    )
    return root


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of ours."""
    folder = tmp_path_factory.mktemp("identity")
    root = write_source(folder / "source")
    run(root, folder / "first", class_map=str(root / "map.yaml"), val_sites="B", test_sites="C")
    return folder / "first"


def run(source: Path, out: Path, **options: Any) -> None:
    options = {"device_labels": "train", "min_confidence": 0.0, **options}
    convert(ConvertOptions(source=str(source), **options), out)


def content(folder: Path) -> dict[str, Any]:
    """All that a data set says of its pictures, whatever the order in which it numbers them."""
    found: dict[str, Any] = {"classes": DataSet.open(folder).classes}
    for split in SPLITS:
        coco = json.loads((folder / f"annotations/instances_{split}.json").read_text())
        names = {category["id"]: category["name"] for category in coco["categories"]}
        found[f"{split} categories"] = coco["categories"]
        for image in coco["images"]:
            boxes = [
                {**box, "category_id": names[box["category_id"]], "id": 0, "image_id": 0}
                for box in coco["annotations"]
                if box["image_id"] == image["id"]
            ]
            boxes.sort(key=lambda box: json.dumps(box, sort_keys=True))
            found[f"{split}/{image['file_name']}"] = ({**image, "id": 0}, boxes)
    found["texts"] = {str(path.relative_to(folder)): path.read_text() for path in (folder / "labels").rglob("*.txt")}
    found["names"] = (folder / "classes.names").read_text()
    found["pictures"] = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}
    return found


def assert_same(after: dict[str, Any], before: dict[str, Any]) -> None:
    assert after.keys() == before.keys()
    for key, value in before.items():
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], list):  # picture, boxes
            assert after[key][0] == value[0]
            for found, expected in zip(after[key][1], value[1], strict=True):
                assert found == expected, key
        assert after[key] == value, key


def test_the_first_data_set_holds_all_that_is_to_come_back(first: Path) -> None:
    boxes = [
        box
        for split in SPLITS
        for box in json.loads((first / f"annotations/instances_{split}.json").read_text())["annotations"]
    ]
    assert {box["label_source"] for box in boxes} == {"human", "device", "model"}
    assert {box["confidence"] for box in boxes} == {None, 0.123456789, 1.0, 0.75}
    assert sum(box["iscrowd"] for box in boxes) > 3
    assert sum(box["ignore"] for box in boxes) > 12
    assert max(box["bbox"][0] + box["bbox"][2] for box in boxes) == WIDTH
    assert {box["attributes"].get("score") for box in boxes} == {None, 8.2981}


@pytest.mark.parametrize("source", ["", "data.yaml"], ids=["COCO", "YOLO"])
def test_a_data_set_converted_again_is_the_same(first: Path, tmp_path: Path, source: str) -> None:
    run(first / source, tmp_path / "again")
    assert_same(content(tmp_path / "again"), content(first))


@pytest.mark.parametrize("to", WRITTEN_FORMATS)
def test_labels_exported_in_any_format_convert_to_the_same_data_set(first: Path, tmp_path: Path, to: str) -> None:
    export_labels(ExportOptions(source=str(first), to=to, copy_pictures=True), tmp_path / "labels")
    run(tmp_path / "labels", tmp_path / "again", policy=f"{{keep_splits: {first}}}")
    assert_same(content(tmp_path / "again"), content(first))


def test_kitti_regions_that_nobody_labelled_stay_ignored(tmp_path: Path) -> None:
    for folder in ("label_2", "image_2"):
        (tmp_path / "kitti" / folder).mkdir(parents=True)
    columns = "-1 -1 -1 -1000 -1000 -1000 -10"
    for number in range(4):
        (tmp_path / f"kitti/image_2/{number:06d}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"kitti/label_2/{number:06d}.txt").write_text(
            f"Car 0 0 -10 10 20 40 60 {columns}\nDontCare -1 -1 -10 5 5 20 20 {columns}\n"
        )
    run(tmp_path / "kitti", tmp_path / "one")
    run(tmp_path / "one", tmp_path / "two")
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert DataSet.open(folder).classes == ("Car",)
        images = [image for split in SPLITS for image in DataSet.open(folder).split(split)]
        assert [image.ignore.tolist() for image in images] == [[False, True]] * 4
    assert_same(content(tmp_path / "two"), content(tmp_path / "one"))


def test_a_class_that_the_source_sets_apart_is_ignored_and_any_other_that_is_left_out_dropped() -> None:
    rules = ClassMap.default(["CAR", "VAN", "OTHERS", "BIRD"], kept={"CAR", "OTHERS"}, apart={"VAN"})
    fates = {name: rules.fate(name, where="") for name in ("CAR", "VAN", "OTHERS", "BIRD")}
    assert fates == {
        "CAR": ("keep", "CAR"), "VAN": ("ignore", "VAN"), "OTHERS": ("ignore", "OTHERS"), "BIRD": ("drop", "BIRD"),
    }  # fmt: skip


def test_ignored_labels_laid_over_recordings_are_kept_and_make_no_class(share: Any, tmp_path: Path) -> None:
    share.coco["categories"].append({"id": 9, "name": "TRAIN", "supercategory": "ignored"})
    for image in share.coco["images"]:
        share.annotation(image_id=image["id"], category_id=9, bbox=[1, 1, 9, 9], ignore=1)
    share.save()
    convert(ConvertOptions(source=str(share.recordings), labels=str(share.label_file)), tmp_path / "out")
    data_set = DataSet.open(tmp_path / "out")
    assert data_set.classes == ("BUS", "CAR")
    assert sum(int(image.ignore.sum()) for split in SPLITS for image in data_set.split(split)) == 9
