"""The fanned-out conversion: its YAML is what the source says, and it makes the data set of the single run."""

import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from quick_yaml import load_documents

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.dataset.component import convert_files, convert_shard, merge_shards, plan_shards
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.snapshot.component import hash_share
from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.convert_pipeline import convert_pipeline
from traffic_yolo_pipelines.local_run import run_locally

# kfp draws each with a decorator that warns about nothing we could change (see setup.cfg)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def documents(path: Path) -> list[Any]:
    loaded = load_documents(path.read_text())
    for document in loaded:
        document.pop("sdkVersion", None)
    return loaded


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_committed_yaml_is_what_the_source_compiles_to(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRAFFIC_YOLO_IMAGE_PREFIX", "TRAFFIC_YOLO_KFP_SERVER"):
        monkeypatch.delenv(name, raising=False)
    compile_to(convert_pipeline, tmp_path / "compiled.yaml")
    committed = repository / "pipelines" / "convert_pipeline.yaml"
    assert documents(committed) == documents(tmp_path / "compiled.yaml"), (
        "the committed YAML is stale; run `make compile`"
    )


@pytest.mark.parametrize(
    "component",
    [hash_share, convert_files, plan_shards, convert_shard, merge_shards],
    ids=lambda component: component.name,
)
def test_every_parameter_of_a_component_is_described(component: Any) -> None:
    documented = inspect.getdoc(component.python_func) or ""
    for name in inspect.signature(component.python_func).parameters:
        assert f"{name}:" in documented, name


@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="18 s; TRAFFIC_YOLO_SLOW=1 runs it")
def test_fanned_out_conversion_is_the_single_run_byte_for_byte(tmp_path: Path) -> None:
    options = SyntheticOptions(sites=3, recordings_per_site=1, frames_per_recording=4, image_wh=(320, 192), seed=3)
    write_share(tmp_path / "nas", options)
    source, labels = str(tmp_path / "nas" / "recordings"), str(tmp_path / "nas" / "human_labels.json")
    run = run_locally(convert_pipeline, {"source": source, "labels": labels, "shards": 2}, tmp_path / "runs")
    write_snapshot(tmp_path / "listing.json", take_snapshot(source, labels=labels))
    convert(ConvertOptions(source=source, labels=labels), tmp_path / "whole", snapshot_path=tmp_path / "listing.json")
    merged = run.artifact("merge-shards", "dataset")
    assert content(merged) == content(tmp_path / "whole")
    parts = sorted(run.folder.glob("for-loop-1-iteration-*/convert-shard/part"))
    assert [len(list((part / "images").rglob("*.jpg"))) for part in parts] != [0, 0]
    assert sum(len(list((part / "images").rglob("*.jpg"))) for part in parts) == 12
    assert "<html" in run.artifact("merge-shards", "report").read_text()
