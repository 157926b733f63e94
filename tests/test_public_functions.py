"""The functions of the steps that docs/architecture.md calls public take text and path objects alike."""

import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "architecture.md"
PACKAGE = REPOSITORY / "components" / "traffic_yolo"
# Public names in the modules of the steps that no user calls: they work inside a folder that a step is writing
INNER = {
    "dataset.convert.write_frames",
    "dataset.convert.complete",
    "evaluation.compare.check_comparable",
    "atm.synthetic.share.render_recording",
    "atm.layouts.Layout.describe_name",
    "model_folder.check_class_count",
    "tuning.training_store.code_files",
    "trained_on.picture_hashes",
}


def documented() -> list[str]:
    """The names in the section Public functions, below the package."""
    section = PAGE.read_text(encoding="utf-8").split("## Public functions")[1].split("\n## ")[0]
    rows = "".join(line for line in section.splitlines() if line.startswith("| "))
    return [name for name in re.findall(r"`([A-Za-z_0-9.]+)`", rows) if name != "traffic_yolo.storage"]


def functions_of(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions, class methods and methods that a module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for member, held in vars(value).items():
                function = getattr(held, "__func__", held)
                if inspect.isfunction(function) and not member.startswith("_"):
                    yield f"{name}.{member}", function


def leaves(annotation: Any) -> Iterator[Any]:
    parts = typing.get_args(annotation)
    yield from [annotation] if not parts else [leaf for part in parts for leaf in leaves(part)]


def module_of(name: str) -> str:
    """The module of `room.file.function` or `room.file.Class.method`."""
    parts = name.split(".")
    while parts:
        if (PACKAGE / "/".join(parts)).with_suffix(".py").is_file():
            return f"traffic_yolo.{'.'.join(parts)}"
        parts.pop()
    raise AssertionError(f"{name}: no module of ours")


@pytest.mark.parametrize("name", documented())
def test_documented_function_is_there(name: str) -> None:
    module = module_of(name)
    value: Any = importlib.import_module(module)
    for part in f"traffic_yolo.{name}".removeprefix(f"{module}.").split("."):
        value = getattr(value, part)
    assert callable(value)
    assert (value.__doc__ or "").strip()


@pytest.mark.parametrize("module", sorted({module_of(name) for name in documented()}))
def test_no_public_function_of_a_step_asks_for_a_path_object(module: str) -> None:
    wrong = [
        f"{name}({parameter}: {annotation})"
        for name, function in functions_of(importlib.import_module(module))
        if f"{module.removeprefix('traffic_yolo.')}.{name}" not in INNER
        for parameter, annotation in typing.get_type_hints(function).items()
        if parameter != "return"
        and any(isinstance(leaf, type) and issubclass(leaf, Path) for leaf in leaves(annotation))
    ]
    assert wrong == [], "annotate with storage.AnyPath, and resolve with input_path or output_path"


def test_main_functions_take_text(
    tmp_path: Path, small_data_set: Path, untrained_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traffic_yolo.dataset.convert import convert
    from traffic_yolo.dataset.data_set import DataSet
    from traffic_yolo.dataset.export_labels import export_labels
    from traffic_yolo.dataset.options import ConvertOptions, ExportOptions
    from traffic_yolo.detection.detect_options import DetectOptions
    from traffic_yolo.detection.detect_step import detect_file
    from traffic_yolo.detection.raw_detections import RawDetections
    from traffic_yolo.metrics.ground_truth import read_ground_truth
    from traffic_yolo.model_folder import ModelFolder
    from traffic_yolo.snapshot.snapshot import load_snapshot, take_snapshot, write_snapshot

    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    data, model = str(small_data_set), str(untrained_model)
    write_snapshot("snapshot.json", take_snapshot(data))
    convert(ConvertOptions(data), "nas://data", snapshot_path="nas://snapshot.json", processes=1)
    assert load_snapshot("snapshot.json").files
    classes = DataSet.open("nas://data").classes
    assert ModelFolder.open(model).classes == classes
    export_labels(ExportOptions(data, to="coco"), "file://" + str(tmp_path / "labels"))
    found = detect_file(model, "data", "val", "nas://val.npz", DetectOptions())
    found.save("again.npz")
    assert len(RawDetections.load("nas://again.npz")) == len(found)
    assert read_ground_truth("nas://data/annotations/instances_val.json", classes).classes == tuple(classes)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"snapshot.json", "data", "labels", "val.npz", "again.npz"}


def test_a_path_object_that_swallowed_a_scheme_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from traffic_yolo.dataset.data_set import DataSet
    from traffic_yolo.errors import StorageError
    from traffic_yolo.storage import atomic_folder, write_text

    monkeypatch.chdir(tmp_path)
    for act in (
        lambda: DataSet.open(Path("nas://data")),
        lambda: write_text(Path("s3://bucket/x"), "x"),
        lambda: atomic_folder(Path("file:///x")).__enter__(),
    ):
        with pytest.raises(StorageError, match="a path object cannot hold a location with a scheme"):
            act()
    assert list(tmp_path.iterdir()) == []
