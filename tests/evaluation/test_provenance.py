"""Whether weights may have seen the pictures: by content, by name, by declaration, and through a chain of trainings."""

from dataclasses import replace
from pathlib import Path

import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.evaluation.provenance import KNOWN_WEIGHTS, provenance
from traffic_yolo.trained_on import TrainedOn, picture_hashes

YOLOV4 = next(digest for digest, (name, _) in KNOWN_WEIGHTS.items() if name == "yolov4.weights")
NAMES = ("a/one.jpg", "a/two.jpg")
HASHES = ("1" * 16, "2" * 16)


def trained(pictures: tuple[str, ...] = (), chosen_on: tuple[str, ...] = (), start: str = "") -> TrainedOn:
    return TrainedOn("f" * 64, pictures, chosen_on, "start.weights" if start else "", start)


@pytest.mark.parametrize(
    ("trained_on", "weights", "verdict", "count"),
    [
        (None, "0" * 64, "unknown", 0),
        (trained(("3" * 16,)), "0" * 64, "not seen", 0),
        (trained(("3" * 16, "2" * 16)), "0" * 64, "seen", 1),
        (trained((), ("1" * 16,)), "0" * 64, "seen", 1),  # the best weights were chosen on it
        (trained(("3" * 16,), start="9" * 64), "0" * 64, "unknown", 0),
        (trained(("3" * 16,), start=YOLOV4), "0" * 64, "not seen", 0),  # COCO's names are others
    ],
)
def test_verdict_by_content(trained_on: TrainedOn | None, weights: str, verdict: str, count: int) -> None:
    found = provenance(NAMES, HASHES, weights_sha256=weights, trained_on=trained_on)
    assert (found.verdict, found.pictures, found.of) == (verdict, count, 2)
    assert found.reasons


def test_what_a_teacher_has_seen_is_seen(tmp_path: Path) -> None:
    (tmp_path / "t.weights").write_bytes(b"weights")
    own = trained(("3" * 16,))
    taught = own.taught_by(trained(("2" * 16,), ("1" * 16,)), weights=tmp_path / "t.weights")
    found = provenance(NAMES, HASHES, weights_sha256="0" * 64, trained_on=taught)
    assert (found.verdict, found.pictures) == ("seen", 2)
    unknown = own.taught_by(None, weights=tmp_path / "t.weights")
    found = provenance(NAMES, HASHES, weights_sha256="0" * 64, trained_on=unknown)
    assert (found.verdict, found.reasons) == (
        "unknown", ("what the training's teacher was trained on is not known; declare it (trained_on)",)
    )  # fmt: skip
    public = replace(own, teacher_weights="yolov4.weights", teacher_weights_sha256=YOLOV4)
    found = provenance(("val2017/000000000139.jpg",), HASHES[:1], weights_sha256="0" * 64, trained_on=public)
    assert found.verdict == "may have seen"
    assert "had yolov4.weights as its teacher" in found.reasons[0]


@pytest.mark.parametrize("names", [("val2017/000000000139.jpg", "x.jpg"), ("COCO_val2014_000000000139.jpg", "y.png")])
def test_public_weights_may_have_seen_what_is_named_like_their_training_set(names: tuple[str, ...]) -> None:
    found = provenance(names, HASHES, weights_sha256=YOLOV4, trained_on=None)
    assert (found.verdict, found.pictures) == ("may have seen", 1)
    assert "yolov4.weights" in found.reasons[0]
    started = provenance(names, HASHES, weights_sha256="0" * 64, trained_on=trained(start=YOLOV4))
    assert started.verdict == "may have seen"
    declared = provenance(names, HASHES, weights_sha256="0" * 64, trained_on=None, declared=["coco/train2017"])
    assert declared.verdict == "may have seen"
    assert declared.trained_on == ("coco/train2017",)


def test_a_declared_data_set_is_compared_by_content(small_data_set: Path) -> None:
    data = DataSet.open(small_data_set)
    for split, verdict in (("train", "seen"), ("test", "not seen")):
        names = [image.file_name for image in data.split(split)]
        hashes = picture_hashes(data.root, data.manifest, names)
        found = provenance(names, hashes, weights_sha256="0" * 64, trained_on=None, declared=[str(small_data_set)])
        assert found.verdict == verdict
        assert found.pictures == (len(names) if verdict == "seen" else 0)


def test_a_declaration_that_is_neither_is_refused() -> None:
    with pytest.raises(EvaluationError, match="trained_on 'imagenet': neither a data set folder nor one of coco"):
        provenance(NAMES, HASHES, weights_sha256="0" * 64, trained_on=None, declared=["imagenet"])


def test_pictures_that_the_manifest_does_not_list_are_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.jpg").write_bytes(b"abc")
    assert picture_hashes(tmp_path, {}, ["x.jpg"]) == ("ba7816bf8f01cfea",)  # FIPS 180's example
    listed = {"files": [{"path": "images/x.jpg", "sha256": "f" * 64}]}
    assert picture_hashes(tmp_path, listed, ["x.jpg"]) == ("f" * 16,)


def test_the_list_reads_back_equal_and_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trained_on.json"
    trained(("1",), ("2",), "3").write(path)
    assert TrainedOn.read(path) == trained(("1",), ("2",), "3")
    for content in ("{}", "[]", '{"schema_version": 9}'):
        path.write_text(content)
        with pytest.raises(ModelError, match="trained_on.json"):
            TrainedOn.read(path)
