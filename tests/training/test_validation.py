"""The AP50 that chooses the best weights is the one that `evaluate` states, and what cannot be validated is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from written_data_set import state_again, write_manifest

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes import onnxruntime, openvino
from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.errors import OptionsError, TrainingError
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.training import picture_store
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.trainer import train
from traffic_yolo.training.validation import Validation


@pytest.fixture(scope="module")
def flagged(rectangles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rectangles with a crowd, an ignored box and an ignore region of no class of ours in the split val."""
    root = tmp_path_factory.mktemp("flagged") / "dataset"
    shutil.copytree(rectangles, root)
    path = root / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["categories"].append({"id": 3, "name": "green"})
    content["annotations"][1]["iscrowd"] = 1
    content["annotations"][2]["ignore"] = 1
    region = {"bbox": [0, 0, 60, 128], "area": 7680, "category_id": 3, "ignore": 1, "iscrowd": 0}
    content["annotations"].append({"id": 100, "image_id": 3, **region})
    path.write_text(json.dumps(content))
    state_again(root)
    return root


@pytest.mark.long
@pytest.mark.many(1)
@pytest.mark.parametrize("letterbox", [False, True])
def test_val_ap50_of_a_training_is_the_ap50_of_evaluate_to_the_digit(
    flagged: Path, tmp_path: Path, tiny_cfg: Path, letterbox: bool
) -> None:
    torch.set_num_threads(1)
    if letterbox:
        tiny_cfg.write_text(tiny_cfg.read_text().replace("height=64\n", "height=64\nletter_box=1\n", 1))
    options = TrainingOptions(
        cfg=str(tiny_cfg), batch=4, max_batches=40, optimizer="adamw", learning_rate=0.02, ema_alpha=0.9, mosaic=0
    )
    trained = train(flagged, tmp_path / "run", options)
    evaluated = evaluate(tmp_path / "run", flagged, tmp_path / "evaluation", split="val")
    assert evaluated.record.metrics["ap50"] == trained.best_ap50
    assert 0 < trained.best_ap50 < 1
    assert evaluated.record.data["ignored"] == 3


def test_pictures_are_decoded_once_where_they_fit_and_found_alike_where_not(
    rectangles: Path, tiny_cfg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, data = Network.from_cfg(tiny_cfg, seed=3).eval(), DataSet.open(rectangles)
    for head in network.heads:
        network.layers[head.layer_index - 1].conv.weight.data *= 200
    found, decoded = [], []
    read_rgb = picture_store.read_rgb

    def counting(image: LabelledImage) -> object:
        decoded.append(image.file_name)
        return read_rgb(image)

    monkeypatch.setattr(picture_store, "read_rgb", counting)
    for cache_mib in (64, 0):
        validation = Validation(data, InferenceOptions(batch=3), cache=PictureCache(cache_mib))
        found += [validation.measure(network).ap50, validation.measure(network).ap50]
        assert len(decoded) == (4 if cache_mib else 8)
        decoded.clear()
    assert len(set(found)) == 1


def test_a_split_without_pictures_is_refused(rectangles: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(rectangles, root)
    shutil.copyfile(root / "annotations" / "instances_test.json", root / "annotations" / "instances_val.json")
    write_manifest(root)
    with pytest.raises(TrainingError, match="split val has no pictures, so the best weights cannot be told"):
        Validation(DataSet.open(root), InferenceOptions(), cache=PictureCache(1))


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_runtime_that_is_not_there_stops_a_training_before_its_first_update(
    rectangles: Path, tmp_path: Path, tiny_cfg: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (onnxruntime, openvino):
        monkeypatch.setattr(module, "missing_packages", lambda: "it")
    options = TrainingOptions(cfg=str(tiny_cfg), batch=4, max_batches=1, validation_runtime=runtime)
    with pytest.raises(OptionsError, match=f"runtime {runtime} needs the package it"):
        train(rectangles, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_the_validation_is_evaluates_inference_unless_told_otherwise() -> None:
    assert TrainingOptions().validation() == InferenceOptions()
    told = TrainingOptions(device="cpu", validation_runtime="auto", validation_batch=2, precision="bfloat16")
    assert told.validation() == InferenceOptions(device="cpu", runtime="auto", batch=2)
    with pytest.raises(OptionsError, match="`runtime` compiled computes on CPUs only"):
        replace(told, device="cuda", validation_runtime="compiled")
