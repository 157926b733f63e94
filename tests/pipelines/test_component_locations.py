"""Every text parameter of a component that says where something lies is taken as a location, as on the command line."""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from traffic_yolo.dataset.component import convert, convert_files, convert_shard, import_dataset, merge_shards
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.evaluation.component import detect_shard, plan_detection
from traffic_yolo.katib.launch.component import search
from traffic_yolo.pretrained.component import compare_with_zoo, import_model
from traffic_yolo.registry.component import publish
from traffic_yolo.snapshot.component import gate, hash_share, keep_snapshot, snapshot
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot
from traffic_yolo.training.component import train, train_on_cluster
from traffic_yolo.training.options import TrainingOptions

COMPONENTS = (
    snapshot, hash_share, gate, keep_snapshot, convert_files, convert, convert_shard, train, publish, search,
    import_dataset, import_model, merge_shards, plan_detection, detect_shard, compare_with_zoo, train_on_cluster,
)  # fmt: skip
OPTIONS = (*dataclasses.fields(ConvertOptions), *dataclasses.fields(TrainingOptions))
LOCATIONS = {field.name for field in OPTIONS if field.metadata.get("location")} | {
    "previous", "snapshot_cache", "settings", "location", "zoo", "experiment", "work", "store", "compare_with", "dataset",
    "trainjob",
}  # fmt: skip
# Parameters of text that are no places
OTHER = {
    "source_format", "labels_format", "label_source", "pictures", "val_sites", "test_sites", "device_labels", "fingerprint",
    "files", "gpus", "shard", "splits", "class_seeds", "fine_tune_layers", "optimizer", "model_name", "run_id", "namespace",
    "ignore", "split", "last_step", "version", "image_name", "nas_claim", "s3_secret",
    "gate", "gate_metric", "minimum", "on_failed_gate", "force_reason",
    "width", "height", "learning_rate", "batch", "max_batches",  # numbers that may be left out
}  # fmt: skip


def texts(component: Any) -> Iterator[str]:
    for parameter in inspect.signature(component.python_func).parameters.values():
        if parameter.annotation is str:
            yield parameter.name


CASES = [(component, name) for component in COMPONENTS for name in texts(component) if name in LOCATIONS]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, small_data_set: Path) -> dict[str, Any]:
    """What a component needs beside the location in question."""
    folder = tmp_path_factory.mktemp("component")
    share = small_data_set.parent / "nas"
    taken = take_snapshot(share / "recordings", labels=share / "human_labels.json")
    write_snapshot(folder / "listing.json", taken)
    content = ShareContent.of(taken)
    return {
        "source": str(share / "recordings"),
        "labels": str(share / "human_labels.json"),
        "listing": dsl.Artifact(uri=str(folder / "listing.json")),
        "dataset": dsl.Dataset(uri=str(small_data_set)),
        "zoo": str(folder / "zoo"),
        "fingerprint": str(content),
        "files": "none",
        "shard": f"1/1 of {content}, none",
        "hashes": dsl.Artifact(uri=str(folder / "no hashes")),
        "model_name": "any",
        "run_id": "any",
        "weights": str(share / "human_labels.json"),  # any file: it is read after its names
        "cfg": str(share / "human_labels.json"),
        "weights_names": str(share / "human_labels.json"),
        "parts": [],
        "work": str(folder / "work"),
        "image_name": "any",
    }


def test_every_location_option_of_a_component_is_tried() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(("component", "name"), CASES, ids=[f"{one.name} {name}" for one, name in CASES])
def test_what_is_no_location_ends_the_task_in_one_line(
    component: Any, name: str, given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, Any] = {}
    (tmp_path / "artifacts").mkdir()
    for parameter in inspect.signature(component.python_func).parameters.values():
        if parameter.name == name:
            arguments[name] = "ftp://x"
        elif parameter.name in given and (parameter.default is inspect.Parameter.empty or parameter.name == "labels"):
            arguments[parameter.name] = given[parameter.name]
        elif parameter.default is inspect.Parameter.empty:
            arguments[parameter.name] = dsl.Artifact(uri=str(tmp_path / "artifacts" / parameter.name))
    if component is convert:
        arguments["dataset"] = dsl.Dataset(uri=str(tmp_path / "artifacts" / "dataset"))
    if name == "weights_names":
        arguments["weights"] = given["weights"]
    if component is import_dataset and name == "dataset":
        del arguments["labels"]
    elif component is import_dataset and name != "source":
        arguments["source"] = given["source"]
    if component is import_model:  # by its files, or by its name in a zoo
        others = ("model_name",) if name == "zoo" else ("cfg", "weights", "weights_names")
        arguments |= {other: given[other] for other in others if other != name}
    with pytest.raises(SystemExit) as caught:
        component.python_func(**arguments)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "ftp://x: unknown scheme 'ftp'" in lines[-1]
    assert not (tmp_path / "ftp:").exists()


def test_zoo_in_object_storage_without_a_server_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRAFFIC_YOLO_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    nothing = {
        name: dsl.Artifact(uri=str(tmp_path))
        for name in ("model", "evaluation", "tuning", "validation", "dataset", "table", "gates", "publication", "card")
    } | {"metrics": dsl.Metrics(uri=str(tmp_path))}
    with pytest.raises(SystemExit):
        publish.python_func(**nothing, zoo="s3://bucket/zoo", model_name="any")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: object storage: set ")


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_every_text_of_a_component_is_a_location_or_known_to_be_none(component: Any) -> None:
    assert set(texts(component)) - LOCATIONS - OTHER == set()
