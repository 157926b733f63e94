"""Models that are there already: the same boxes and scores for the classes that are judged, and all that is known of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.errors import DarknetFormatError, EvaluationError, ModelError, OptionsError, StorageError
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.evaluation.provenance import KNOWN_WEIGHTS
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pretrained.comparison import comparison_markdown
from traffic_yolo.pretrained.import_model import IMPORT_NAME, import_model
from traffic_yolo.pretrained.options import ModelChoice
from traffic_yolo.storage import sha256_of_file


def choice(model: Path, **others: object) -> ModelChoice:
    names = {"cfg": "model.cfg", "weights": "model.weights", "weights_names": "classes.names"}
    return ModelChoice(**{**{key: str(model / name) for key, name in names.items()}, **others})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def broader(untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with two classes that the data set has not, another order, and another name for one that it has."""
    from traffic_yolo.darknet.surgery import change_classes

    old = ModelFolder.open(untrained_model).classes
    network = Network.read(untrained_model / "model.cfg", untrained_model / "model.weights").eval()
    new = ["kite", *old[::-1][:-1], "coach", "zebra"]  # the first class is called coach
    changed = change_classes(network, old, new, seeds={"coach": old[0]})
    folder = tmp_path_factory.mktemp("broader")
    changed.cfg.write(folder / "model.cfg")
    changed.save_weights(folder / "model.weights")
    (folder / "classes.names").write_text("".join(f"{name}\n" for name in new))
    return folder


def test_darknet_files_of_the_data_set_s_classes_are_taken_byte_for_byte(
    untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    imported = import_model(choice(untrained_model), tmp_path / "model", dataset=small_data_set)
    for name in ("model.cfg", "model.weights", "classes.names"):
        assert (tmp_path / "model" / name).read_bytes() == (untrained_model / name).read_bytes()
    assert ModelFolder.open(tmp_path / "model").onnx_path.is_file()
    assert (imported.judged, imported.weights_sha256) == ((), sha256_of_file(untrained_model / "model.weights"))
    told = json.loads((tmp_path / "model" / IMPORT_NAME).read_text())
    assert (told["weights_sha256"], told["judged"]) == (imported.weights_sha256, {})


@pytest.mark.long
def test_cut_model_gives_the_classes_that_are_left_the_very_same_scores(
    broader: Path, untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    data = DataSet.open(small_data_set)
    first = ModelFolder.open(untrained_model).classes[0]
    imported = import_model(choice(broader, class_seeds=f"{first}=coach"), tmp_path / "model", dataset=small_data_set)
    model = ModelFolder.open(tmp_path / "model")
    assert model.classes == data.classes
    assert dict(imported.judged)[first] == "coach"
    assert f"{first}=coach" in imported.text
    cut, whole = (detect_split(each, data, "test") for each in (model, ModelFolder.open(untrained_model)))
    np.testing.assert_array_equal(cut.boxes_xyxy, whole.boxes_xyxy)
    np.testing.assert_array_equal(
        cut.class_scores_of(slice(None)),
        whole.class_scores_of(slice(None))[:, [whole.classes.index(c) for c in cut.classes]],
    )


def test_class_that_nothing_stands_for_is_refused_by_name(broader: Path, small_data_set: Path, tmp_path: Path) -> None:
    first = DataSet.open(small_data_set).classes[0]
    with pytest.raises(
        EvaluationError, match=rf"no class of the model stands for {first} of the data set.*class_seeds"
    ):
        import_model(choice(broader), tmp_path / "model", dataset=small_data_set)
    with pytest.raises(OptionsError, match="class 'coaches' does not exist"):
        import_model(choice(broader, class_seeds=f"{first}=coaches"), tmp_path / "model", dataset=small_data_set)
    assert not (tmp_path / "model").exists()


@pytest.mark.long
def test_class_that_stands_for_two_is_told(broader: Path, small_data_set: Path, tmp_path: Path) -> None:
    first, second, *_ = DataSet.open(small_data_set).classes
    seeds = f"{first}=coach,{second}=coach"
    imported = import_model(choice(broader, class_seeds=seeds), tmp_path / "model", dataset=small_data_set)
    assert "note: coach stands for several classes" in imported.text


@pytest.mark.long
def test_public_weights_stay_known_when_their_classes_are_cut(
    broader: Path, small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the hash of the file that they came in: else a leak from COCO would not be told any more."""
    first = DataSet.open(small_data_set).classes[0]
    known = {sha256_of_file(broader / "model.weights"): ("yolov9000.weights", "coco")}
    monkeypatch.setattr("traffic_yolo.evaluation.provenance.KNOWN_WEIGHTS", {**KNOWN_WEIGHTS, **known})
    import_model(choice(broader, class_seeds=f"{first}=coach"), tmp_path / "model", dataset=small_data_set)
    record = evaluate(tmp_path / "model", small_data_set, tmp_path / "evaluation").record
    assert record.provenance["trained_on"] == ["coco"]
    assert record.provenance["verdict"] == "not seen"


@pytest.mark.long
def test_another_input_size_leaves_the_weights_alone(untrained_model: Path, tmp_path: Path) -> None:
    import_model(choice(untrained_model, width=192, height=128), tmp_path / "model")
    assert ModelFolder.open(tmp_path / "model").network_hw == (128, 192)
    assert (tmp_path / "model" / "model.weights").read_bytes() == (untrained_model / "model.weights").read_bytes()
    with pytest.raises(OptionsError, match="width: expected a multiple of 32, found 100; take 96 or 128"):
        import_model(choice(untrained_model, width=100), tmp_path / "other")


def test_files_that_do_not_fit_are_refused_and_nothing_is_left(
    untrained_model: Path, broader: Path, tmp_path: Path
) -> None:
    shutil.copytree(untrained_model, tmp_path / "mixed")
    shutil.copy(broader / "classes.names", tmp_path / "mixed")
    with pytest.raises(ModelError, match="class names, but"):
        import_model(choice(tmp_path / "mixed"), tmp_path / "model")
    shutil.copy(untrained_model / "classes.names", tmp_path / "mixed")
    (tmp_path / "mixed" / "model.weights").write_bytes((untrained_model / "model.weights").read_bytes()[:-4])
    with pytest.raises(DarknetFormatError):
        import_model(choice(tmp_path / "mixed"), tmp_path / "model")
    with pytest.raises(StorageError, match="cfg not found"):
        import_model(choice(tmp_path / "nowhere"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "cfg: expected cfg, weights and weights_names, or zoo and model_name; found nothing"),
        ({"cfg": "a", "weights": "b"}, "weights_names: expected .* found cfg, weights"),
        ({"zoo": "z"}, "model_name: expected the name of a model in the zoo, found nothing"),
        ({"zoo": "z", "model_name": "m", "cfg": "a"}, "zoo: cfg names another model"),
        ({"model_name": "m"}, "model_name: a name in a zoo; give zoo"),
        ({"zoo": "z", "model_name": "m", "width": 0}, "width: expected at least 1, found 0"),
    ],
)
def test_it_is_one_model_or_none(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=f"^{message}"):
        ModelChoice(**given)  # type: ignore[arg-type]


@pytest.mark.long
def test_evaluation_stands_alone_without_a_zoo(untrained_model: Path, small_data_set: Path, tmp_path: Path) -> None:
    evaluate(untrained_model, small_data_set, tmp_path / "evaluation")
    text = comparison_markdown(tmp_path / "evaluation", name="candidate")
    assert "| candidate | this run |" in text
