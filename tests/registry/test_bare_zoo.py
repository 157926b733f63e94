"""A folder of cfg and weights pairs that people keep by hand: listed and loaded by name, never published to."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import traffic_yolo as ty
from traffic_yolo.cli import traffic_yolo
from traffic_yolo.errors import ModelError, OptionsError, StorageError
from traffic_yolo.pretrained.import_model import import_model
from traffic_yolo.pretrained.options import ModelChoice
from traffic_yolo.registry.bare_zoo import bare_pairs, check_no_bare_zoo, model_of_zoo

NAMES = ("model.cfg", "model.weights", "classes.names")


def touch(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("x")
    return root


def found(root: Path) -> dict[str, tuple[str, str, str]]:
    """Name -> weights, cfg and names, below the root."""
    return {
        pair.name: tuple(each.removeprefix(f"{root}/") for each in (pair.weights, pair.cfg, pair.names))  # type: ignore[misc]
        for pair in bare_pairs(root)
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.cfg", "a.weights", "a.names"], {"a": ("a.weights", "a.cfg", "a.names")}),
        (
            ["a.cfg", "a.weights", "b.cfg", "b.weights", "coco.names"],  # one names file serves all
            {"a": ("a.weights", "a.cfg", "coco.names"), "b": ("b.weights", "b.cfg", "coco.names")},
        ),
        (
            ["m/yolo.cfg", "m/yolo_best.weights", "m/obj.names"],  # a folder for each model names it
            {"m": ("m/yolo_best.weights", "m/yolo.cfg", "m/obj.names")},
        ),
        (
            ["m/x.cfg", "m/y.weights", "coco.names"],  # the only ones there, and the names beside the folder
            {"m": ("m/y.weights", "m/x.cfg", "coco.names")},
        ),
        (
            ["m/x.cfg", "m/x_1000.weights", "m/x_last.weights", "m/x.names"],
            {
                "x_1000": ("m/x_1000.weights", "m/x.cfg", "m/x.names"),
                "x_last": ("m/x_last.weights", "m/x.cfg", "m/x.names"),
            },
        ),
        # These weights fit that cfg to the byte, and are of another network
        (
            ["yolov4-csp.cfg", "yolov4-csp.weights", "yolov4-csp-swish.weights", "coco.names"],
            {
                "yolov4-csp": ("yolov4-csp.weights", "yolov4-csp.cfg", "coco.names"),
                "yolov4-csp-swish": ("yolov4-csp-swish.weights", "", "coco.names"),
            },
        ),
        (["a.cfg", "a.weights", "x.names", "y.names"], {"a": ("a.weights", "a.cfg", "")}),
        (
            ["m/a.cfg", "m/a.weights", "m/b.weights", "n/a.weights", "n/b.weights"],
            {
                "m/a": ("m/a.weights", "m/a.cfg", ""),
                "m/b": ("m/b.weights", "", ""),
                "n/a": ("n/a.weights", "", ""),
                "n/b": ("n/b.weights", "", ""),
            },
        ),
        (["small/0001-0123456789ab/model.weights", ".old/a.weights", "a.txt"], {}),  # a bundle is none
    ],
    ids=["pair", "shared names", "folder", "only ones", "trained", "alike", "two names", "one name twice", "nothing"],
)
def test_what_belongs_together(tmp_path: Path, files: list[str], expected: dict[str, tuple[str, str, str]]) -> None:
    assert found(touch(tmp_path, *files)) == expected


@pytest.fixture
def zoo(tmp_path: Path, untrained_model: Path) -> Path:
    """One model as a folder, and one without a cfg of its own."""
    folder = tmp_path / "YOLO"
    (folder / "street").mkdir(parents=True)
    for name, file in zip(NAMES, ("yolo.cfg", "yolo_best.weights", "obj.names"), strict=True):
        shutil.copy(untrained_model / name, folder / "street" / file)
    touch(folder, "lost/a.cfg", "lost/b.cfg", "lost/c.weights")
    return folder


def test_a_pair_is_loaded_by_its_name(
    zoo: Path, untrained_model: Path, small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = min((small_data_set / "images").rglob("*.jpg"))
    expected = ty.load(untrained_model, confidence_threshold=0.05)(picture)
    model = ty.load("street", zoo=zoo, confidence_threshold=0.05)
    assert model.name == "street"
    assert len(expected) > 3
    assert model(picture).boxes_xyxy.tolist() == expected.boxes_xyxy.tolist()
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path))
    monkeypatch.setenv("TRAFFIC_YOLO_ZOO", "nas://YOLO")
    assert ty.load("zoo://street").classes == model.classes
    with pytest.raises(OptionsError, match="version: street is a bare pair of cfg and weights, which has none"):
        ty.load("zoo://street/1")
    with pytest.raises(ModelError, match="no model 'tram'; found lost, street"):
        ty.load("zoo://tram")
    with pytest.raises(ModelError, match="c.weights: no cfg and no class names that is clearly its own lies beside it"):
        ty.load("zoo://lost")


@pytest.mark.long
def test_import_takes_a_pair_by_its_name(zoo: Path, untrained_model: Path, tmp_path: Path) -> None:
    imported = import_model(ModelChoice(zoo=str(zoo), model_name="street"), tmp_path / "model")
    assert (tmp_path / "model/model.weights").read_bytes() == (untrained_model / "model.weights").read_bytes()
    assert (tmp_path / "model/model.onnx").is_file()
    assert imported.origin == f"{zoo}/street/yolo_best.weights with {zoo}/street/yolo.cfg"
    with pytest.raises(OptionsError, match="version: street is a bare pair"):
        import_model(ModelChoice(zoo=str(zoo), model_name="street", version="1"), tmp_path / "other")


def test_zoo_list_shows_the_pairs(zoo: Path) -> None:
    text = CliRunner().invoke(traffic_yolo, ["zoo", "list", "--zoo", str(zoo)]).output.splitlines()
    assert text[0].startswith("bare pairs, read only")
    assert text[1].split() == [
        "lost",
        "c.weights",
        *["(no", "cfg", "and", "no", "class", "names", "that", "is", "clearly", "its", "own)"],
    ]
    assert text[2].split() == ["street", "yolo_best.weights", "yolo.cfg", "obj.names"]
    rows = json.loads(CliRunner().invoke(traffic_yolo, ["zoo", "list", "street", "--zoo", str(zoo), "--json"]).output)[
        "pairs"
    ]
    assert [(row["model"], row["state"], row["problem"]) for row in rows] == [("street", "pair", None)]


@pytest.mark.parametrize("command", ["show", "verify", "rollback"])
def test_what_needs_versions_says_so(zoo: Path, command: str) -> None:
    run = CliRunner().invoke(traffic_yolo, ["zoo", command, "street", "--zoo", str(zoo)])
    assert isinstance(run.exception, ModelError)
    assert "street is a bare pair of cfg and weights, without versions" in str(run.exception)


def test_nothing_is_published_there(zoo: Path, tmp_path: Path) -> None:
    from traffic_yolo.registry.publish import publish

    before = sorted(zoo.rglob("*"))
    nowhere = tmp_path / "none"
    with pytest.raises(
        OptionsError, match=r"zoo: .* holds bare pairs .*\(lost, street\) and is only read; publish to an"
    ):
        publish(
            model=nowhere, evaluation=nowhere, tuning=nowhere, validation=nowhere, dataset=nowhere, zoo=zoo, name="new"
        )
    assert sorted(zoo.rglob("*")) == before
    check_no_bare_zoo(tmp_path / "not-there-yet")
    (tmp_path / "empty").mkdir()
    check_no_bare_zoo(tmp_path / "empty")
    touch(zoo, "small/0001-0123456789ab/SHA256SUMS")  # a zoo beside which pairs lie stays one
    check_no_bare_zoo(zoo)


def test_a_model_with_versions_comes_before_a_pair_of_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "small/0001-0123456789ab/SHA256SUMS", "small.cfg", "small.weights", "small.names")
    assert not isinstance(model_of_zoo(tmp_path, "small"), type(bare_pairs(tmp_path)[0]))


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="model zoo not found"):
        bare_pairs(tmp_path / "none")
