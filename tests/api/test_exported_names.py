"""`import traffic_yolo as ty`: which names there are, and that none of them costs anything before it is used."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import traffic_yolo as ty

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
NAMES = [
    "Converted",
    "Evaluated",
    "Model",
    "Prediction",
    "Swept",
    "TrafficYoloError",
    "__version__",
    "convert",
    "darknet",
    "evaluate",
    "load",
    "sweep",
]


def test_the_exported_names_are_these_and_load() -> None:
    assert sorted(ty.__all__) == NAMES
    assert all(getattr(ty, name) is not None for name in NAMES)
    assert set(NAMES) <= set(dir(ty))
    assert sorted(ty.darknet.__all__) == ["DarknetFiles", "read"]
    assert all(getattr(ty.darknet, name) is not None for name in ty.darknet.__all__)
    for module, name in ((ty, "lode"), (ty.darknet, "write")):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(module, name)


def test_the_page_names_each_of_them_with_attributes_that_are_there() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## What is promised")[1]
    for name in NAMES:
        assert f"`ty.{name}" in table, name
    for line in table.splitlines():
        cells = line.split("|")
        if "→" not in line or ("`path`" not in cells[2] and "`layers`" not in cells[2]):
            continue
        owner = cells[1].split("→")[-1].strip(" `").removeprefix("ty.")
        value: object = ty
        for part in owner.split("."):
            value = getattr(value, part)
        attributes = [text.split("(")[0] for text in cells[2].split("`")[1::2]]
        fields = set(getattr(value, "__dataclass_fields__", {}))
        assert [each for each in attributes if each not in fields and not hasattr(value, each)] == [], owner


@pytest.mark.parametrize("name", ["convert", "evaluate", "load", "sweep"])
def test_functions_are_annotated_and_explained(name: str) -> None:
    function = getattr(ty, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())
    assert "Raises" in (function.__doc__ or "")


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, traffic_yolo, traffic_yolo.darknet; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stdout))
    assert not loaded & {"torch", "numpy", "cv2", "numba", "yaml", "tqdm", "matplotlib", "click", "json", "urllib3"}
    assert {each for each in loaded if each.startswith("traffic_yolo")} == {
        "traffic_yolo",
        "traffic_yolo._version",
        "traffic_yolo.darknet",
    }
