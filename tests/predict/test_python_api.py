"""`ty.load` and what `docs/predict.md` shows of it."""

import json
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import traffic_yolo as ty
from traffic_yolo.boxes import xyxy_to_xywh
from traffic_yolo.errors import OptionsError, PictureError, StorageError
from traffic_yolo.predict.model import Model
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict

PAGE = Path(__file__).resolve().parents[2] / "docs" / "predict.md"


@pytest.fixture(scope="module")
def model(untrained_model: Path) -> Model:
    return ty.load(untrained_model, confidence_threshold=0.05)


@pytest.fixture(scope="module")
def street(small_data_set: Path) -> Path:
    return min((small_data_set / "images").rglob("*.jpg"))


def test_a_path_text_array_and_pil_image_give_what_the_command_gives(
    model: Model, untrained_model: Path, street: Path, tmp_path: Path
) -> None:
    from PIL import Image

    options = ModelOptions(confidence_threshold=0.05)
    predict(untrained_model, [street], tmp_path / "out", PredictOptions(save=("jsonl",), draw=False), options)
    written = json.loads((tmp_path / "out" / "detections.jsonl").read_text())["detections"]
    prediction = model(street)
    assert len(prediction) == len(written) > 3
    assert prediction.boxes_xyxy.tolist() == [each["xyxy"] for each in written]
    assert prediction.scores.tolist() == [each["score"] for each in written]
    assert list(prediction.class_names) == [each["class_name"] for each in written]

    rgb = prediction.image_rgb  # decoders may differ by a grey value: the same pixels in all forms
    forms = [model(rgb[..., ::-1]), model(rgb, channels="rgb"), model(Image.fromarray(rgb)), model(str(street))]
    forms += [*model([street, street]), *model(each for each in (street, rgb[..., ::-1]))]
    assert len(forms) == 8
    for each in forms:
        assert (each.boxes_xyxy == prediction.boxes_xyxy).all()
        assert (each.scores == prediction.scores).all()
    assert model([]) == []


def test_a_prediction_says_its_boxes_in_every_form(model: Model, street: Path) -> None:
    prediction = model(street)
    coco = prediction.to_coco(image_id=7)
    assert [each["bbox"] for each in coco] == xyxy_to_xywh(prediction.boxes_xyxy.astype(float)).tolist()
    assert [each["category_id"] for each in coco] == (prediction.class_ids + 1).tolist()
    assert {each["image_id"] for each in coco} == {7}
    plotted = prediction.plot()
    assert plotted.shape == prediction.image_rgb.shape
    assert (plotted[..., ::-1] != prediction.image_rgb).any()
    assert (prediction.image_rgb == model(street).image_rgb).all()  # drawn on a copy
    assert re.fullmatch(rf"<Prediction {street.stem}: 320 x 192 pixels, (\d+ \w+(, )?)+>", repr(prediction))
    assert "data:image/jpeg;base64," in prediction._repr_html_()
    assert "160 x 96" in repr(model)


def test_an_iterator_is_read_no_further_than_four_batches(untrained_model: Path) -> None:
    model = ty.load(untrained_model, batch=2)
    taken = []

    def frames() -> "object":
        for number in range(1000):
            taken.append(number)
            yield np.zeros((72, 96, 3), np.uint8)

    stream = model(frames())
    next(stream)
    time.sleep(0.2)  # another thread reads it
    assert 2 < len(taken) <= 4 * 2
    stream.close()
    assert len(taken) <= 4 * 2


def test_an_array_is_neither_copied_nor_drawn_on(model: Model) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (72, 96, 3), np.uint8)
    kept = picture.copy()
    for channels, found_rgb in (("bgr", kept[..., ::-1]), ("rgb", kept)):
        prediction = model(picture, channels=channels)
        assert np.shares_memory(prediction.image_rgb, picture)
        assert (prediction.image_rgb == found_rgb).all()
        assert not np.shares_memory(prediction.plot(), picture)
        assert (picture == kept).all()


def test_to_supervision_hands_on_the_same_numbers(model: Model, street: Path) -> None:
    pytest.importorskip("supervision", reason="supervision is no dependency")
    prediction = model(street)
    handed = prediction.to_supervision()
    assert (handed.xyxy == prediction.boxes_xyxy).all()
    assert (handed.confidence == prediction.scores).all()
    assert (handed.class_id == prediction.class_ids).all()
    assert tuple(handed["class_name"]) == prediction.class_names


def test_without_supervision_the_line_says_so(model: Model, street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = model(street)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(OptionsError, match="the package supervision is not installed"):
        prediction.to_supervision()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"picture 1: expected an array \(H, W, 3\) uint8, found 8 x 8 uint8; convert"),
        (np.zeros((8, 8, 4), np.uint8), "found 8 x 8 x 4 uint8"),
        (np.zeros((8, 8, 3), np.uint16), "found 8 x 8 x 3 uint16"),
        (np.zeros((8, 8, 3), np.float32), "found 8 x 8 x 3 float32"),
        (np.zeros((0, 8, 3), np.uint8), "found 0 x 8 x 3 uint8"),
        (7, "expected a path, an array .*; found int"),
    ],
    ids=["grey", "alpha", "16 bit", "float", "empty", "number"],
)
def test_nothing_is_guessed_of_an_array(model: Model, picture: object, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        model(picture)


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "I;16", "P"])
def test_a_pil_image_of_another_mode_is_refused(model: Model, mode: str) -> None:
    from PIL import Image

    with pytest.raises(OptionsError, match=f"expected a PIL image of mode RGB or L, found {mode}"):
        model(Image.new(mode, (8, 8)))


def test_faults_are_one_line(model: Model, untrained_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("none")
    with pytest.raises(PictureError, match="text.jpg: expected a JPEG"):
        model(tmp_path / "text.jpg")
    with pytest.raises(StorageError, match="picture not found"):
        model("nowhere.jpg")
    with pytest.raises(OptionsError, match="channels: expected 'bgr' or 'rgb', found 'gbr'"):
        model(np.zeros((8, 8, 3), np.uint8), channels="gbr")
    with pytest.raises(OptionsError, match="class_thresholds: 'TRAM' is no class"):
        ty.load(untrained_model, class_thresholds={"TRAM": 0.5})
    with pytest.raises(ty.TrafficYoloError, match="model not found"):
        ty.load(tmp_path / "nowhere")


def test_the_page_of_examples_runs(
    untrained_model: Path,
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("street.jpg", "a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(street.read_bytes())
    monkeypatch.chdir(tmp_path)
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert '"zoo://traffic-small", zoo="nas://zoo"' in code
    values: dict[str, object] = {}
    exec(code.replace('"zoo://traffic-small", zoo="nas://zoo"', repr(str(untrained_model))), values)
    assert capsys.readouterr().out.startswith("<Prediction street: 320 x 192 pixels")
    assert isinstance(values["picture"], np.ndarray)
    assert cv2.imwrite("plotted.png", values["picture"])
    assert len(values["several"]) == 2  # type: ignore[arg-type]
