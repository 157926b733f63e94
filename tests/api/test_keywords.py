"""Keyword arguments of a program as the options of a step."""

from pathlib import Path

import pytest

from traffic_yolo.api.keywords import options_of
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.evaluation.options import EvaluateOptions
from traffic_yolo.tuning.tune_options import TuneOptions


def test_paths_and_lists_become_what_the_option_is() -> None:
    (options,) = options_of("convert", {"source": Path("a/b"), "val_sites": ["A", "B"]}, ConvertOptions)
    assert options == ConvertOptions("a/b", val_sites="A,B")
    (options,) = options_of("sweep", {"confidences": [0.1, 0.25], "least_truths": 3}, TuneOptions)
    assert options.sweep().confidences == (0.1, 0.25)
    (options,) = options_of("evaluate", {"also": ["val"], "trained_on": (Path("d"), "coco")}, EvaluateOptions)
    assert options == EvaluateOptions(also=("val",), trained_on=("d", "coco"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "x", "val_site": "A"}, "convert: unknown option 'val_site'; did you mean val_sites"),
        ({"source": "x", "val_sites": ["A,B"]}, "val_sites: a comma separates its parts, so none may hold one"),
        ({"source": "x", "labels_only": 1}, "convert: labels_only: expected true or false, found 1"),
        ({"source": "x", "splits": None}, "convert: splits: expected a text, found None"),
        ({"source": ""}, "source: expected a folder or file, found nothing"),
    ],
    ids=["unknown", "comma", "type", "none", "empty"],
)
def test_what_makes_no_sense_is_one_line(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message) as caught:
        options_of("convert", given, ConvertOptions)
    assert "\n" not in str(caught.value)
