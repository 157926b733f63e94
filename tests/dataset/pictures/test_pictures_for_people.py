"""Every picture that the product writes for people follows --pictures: none, blurred by what is known, or full."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.pictures.choice import PICTURES
from traffic_yolo.dataset.pictures.drawn_boxes import DrawnBox
from traffic_yolo.dataset.pictures.privacy_blur import for_people, names_of
from traffic_yolo.dataset.plug_ins import plug_ins
from traffic_yolo.dataset.report.samples import draw_boxes
from traffic_yolo.errors import OptionsError

ROOT = Path(__file__).parents[3] / "components" / "traffic_yolo"
CAR = (40.0, 40.0, 140.0, 120.0)


def street() -> NDArray[np.uint8]:
    """A picture with fine stripes, which a blur takes away and JPEG keeps."""
    picture = np.full((180, 240, 3), 90, np.uint8)
    picture[::4] = 200
    picture[1::4] = 200
    return picture


def shown(*, known: list[tuple[tuple[float, float, float, float], str]], word: str) -> NDArray[np.uint8] | None:
    data = cv2.imencode(".png", street())[1].tobytes()
    html = draw_boxes(data, [DrawnBox(CAR, (255, 0, 0))], "a street", known=known, pictures_shown=word)
    if html is None:
        return None
    jpeg = base64.b64decode(re.findall(r"data:image/jpeg;base64,([^\"']+)", html)[0])
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def stripes(picture: NDArray[np.uint8], rows: slice, columns: slice) -> float:
    return float(picture[rows, columns].astype(float).mean(axis=(1, 2)).std())


PLATE, ROOF = (slice(85, 115), slice(50, 130)), (slice(45, 70), slice(50, 130))
ELSEWHERE = (slice(130, 175), slice(150, 235))


def test_none_shows_none_and_full_shows_all() -> None:
    assert shown(known=[(CAR, "CAR")], word="none") is None
    full = shown(known=[(CAR, "CAR")], word="full")
    assert full is not None
    assert min(stripes(full, *PLATE), stripes(full, *ROOF), stripes(full, *ELSEWHERE)) > 30


def test_blurred_takes_the_part_of_each_known_box_alone() -> None:
    picture = shown(known=[(CAR, "CAR")], word="blurred")
    assert picture is not None
    assert stripes(picture, *PLATE) < 10
    assert min(stripes(picture, *ROOF), stripes(picture, *ELSEWHERE)) > 30


def test_a_picture_of_which_nothing_is_known_is_blurred_as_a_whole() -> None:
    picture = shown(known=[], word="blurred")
    assert picture is not None
    assert max(stripes(picture, *place) for place in (PLATE, ELSEWHERE)) < 12


def test_a_region_of_all_classes_has_no_name_and_is_blurred_whole() -> None:
    names = names_of([1, -1, 0], ("CAR", "PEDESTRIAN"))
    assert names == ["PEDESTRIAN", "", "CAR"]
    picture = for_people(street(), np.array([CAR]), names[1:2], "blurred")
    assert max(stripes(picture, *PLATE), stripes(picture, *ROOF)) < 10


def test_the_option_reaches_the_page_of_a_conversion() -> None:
    for word in PICTURES:
        assert plug_ins(ConvertOptions(source="x", pictures=word)).pictures == word
    with pytest.raises(OptionsError, match="pictures: expected one of none, blurred, full, found 'sharp'"):
        ConvertOptions(source="x", pictures="sharp")


def test_no_module_draws_a_picture_for_a_page_past_the_choice() -> None:
    drawing = re.compile(r"\bwith_boxes\(|cv2\.imencode\(|\badd_image\(")
    # What draws for people and not through `for_people`, and why
    others = {
        "dataset/pictures/drawn_boxes.py": "draws what it is given",
        "predict/drawing.py": "draws what the user asks to see, of pictures that are the user's own",
        "predict/written_rows.py": "writes that",
        "predict/writers.py": "writes that",
        "dataset/anonymize.py": "writes what it has blurred",
        "predict/prediction.py": "draws that",
        "dataset/pictures/picture_file.py": "changes no picture of a data set that it can copy, and shows none",
        "training/event_log_tensorboard.py": "sends pictures that training/batch_pictures.py made",
        "atm/synthetic/sensor.py": "renders streets that are not there",
    }
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if drawing.search(text := path.read_text(encoding="utf-8")) and "for_people(" not in text
    }
    assert found <= set(others), found - set(others)
