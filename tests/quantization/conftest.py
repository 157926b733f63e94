"""The package's small network, exported, and a data set whose truth on val is what that network finds there."""

import json
import shutil
from pathlib import Path

import pytest
from written_data_set import write_manifest

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import network_input
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.export.export_model import export_model
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.quantization.graph import read_float_graph
from traffic_yolo.quantization.judge import raw_of
from traffic_yolo.quantization.running import open_session


@pytest.fixture(scope="session")
def model(untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an ONNX file at 160 x 96."""
    folder = tmp_path_factory.mktemp("exported")
    run = shutil.copytree(untrained_model, folder / "run")
    network = Network.read(run / "model.cfg", run / "model.weights")
    for head in network.heads:  # whose boxes would reach beyond all numbers
        network.layers[head.layer_index - 1].conv.weight.data /= 20
    network.save_weights(run / "model.weights")
    out = folder / "model"
    export_model(run, out)
    return out


@pytest.fixture(scope="session")
def dataset(model: Path, small_data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures a split; the true boxes of val are the float network's twenty best of each picture."""
    root = tmp_path_factory.mktemp("truth") / "dataset"
    shutil.copytree(small_data_set, root)
    folder, data = ModelFolder.open(model), DataSet.open(root)
    pictures = data.split("val")
    session = open_session(read_float_graph(folder.onnx_path))
    rows = [
        session.run(["output"], {"input": network_input(each, folder.network_hw, letterboxed=folder.letterbox)[None]})[
            0
        ][0]
        for each in pictures
    ]
    rows = [each[each[:, 4] > 0.001] for each in rows]
    options = NmsOptions(confidence_threshold=0.001, max_detections=20)
    found = non_maximum_suppression(raw_of(rows, pictures, folder, data, "val"), options)
    path = root / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"] = [
        {
            "id": index + 1,
            "image_id": int(found.image_ids[index]),
            "category_id": int(found.class_ids[index]) + 1,
            "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
            "area": float((right - left) * (bottom - top)),
            "iscrowd": 0,
        }
        for index, (left, top, right, bottom) in enumerate(found.boxes_xyxy)
        if right > left and bottom > top
    ]
    assert len(content["annotations"]) > 20
    path.write_text(json.dumps(content))
    write_manifest(root)
    return root
