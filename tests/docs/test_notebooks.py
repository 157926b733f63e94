"""The notebooks of examples/: committed without outputs, and their code runs (all of them in kernels by `make slow`)."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
LIGHT = ("03_atm_to_coco_and_yolo",)  # no PyTorch, no training: here too, cell after cell in this process


def cells(notebook: Path, kind: str) -> list[str]:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), "clear the outputs before committing"


def test_list_has_every_notebook_by_its_title() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\((\w+\.ipynb)\)", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    titles = [(cells(path, "markdown")[0].splitlines()[0].removeprefix("# "), path.name) for path in NOTEBOOKS]
    assert listed == titles


@pytest.mark.parametrize("name", LIGHT)
def test_code_of_a_light_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    monkeypatch.setenv("TRAFFIC_YOLO_EXAMPLES", str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "small_model", raising=False)
    values: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(cells(EXAMPLES / f"{name}.ipynb", "code")):
        exec(compile(source, f"cell {number} of {name}", "exec"), values)
    monkeypatch.delitem(sys.modules, "small_model")
