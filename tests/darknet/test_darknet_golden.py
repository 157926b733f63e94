"""The published networks against what Darknet computed: shapes, every layer, logits, head outputs, boxes, bytes."""

import json
import os

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import activate_head, decode
from traffic_yolo.darknet.network import Network, read_sections
from traffic_yolo.darknet.resize import network_boxes_to_picture
from traffic_yolo.storage import sha256_of_file

LARGE = ["yolov3", "yolov3-spp", "yolov4", "yolov4-csp", "yolov4x-mish"]
SMALL = ["yolov3-tiny", "yolov3-tiny-prn", "yolov4-tiny", "yolov4-tiny-3l", "yolov7-tiny"]
REAL = {
    "yolo-fastest-1.1": ["dog", "dog-letter", "giraffe", "person"],
    "MobileNetV2-YOLOv3-Nano-coco": ["dog"],
}
SLOW = pytest.mark.skipif(
    os.environ.get("TRAFFIC_YOLO_SLOW") != "1",
    reason="a large network (a minute, a gigabyte): TRAFFIC_YOLO_SLOW=1 runs it",
)
NETWORKS = [*REAL, *SMALL, *(pytest.param(name, marks=SLOW) for name in LARGE)]


def golden_files(reference, name):
    if name in REAL:
        return [reference / "golden" / "real" / f"{name}-{picture}.npz" for picture in REAL[name]]
    return [reference / "golden" / "random" / f"{name}-{picture}.npz" for picture in ("dog", "person-letter")]


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_layer_table_is_darknets(reference, name):
    cfg = reference / "golden" / "cfg" / f"{name}-160x128.cfg"
    table = json.loads(cfg.with_name(f"{cfg.name}.net.json").read_text())["layers"]
    sections = read_sections(Cfg.read(cfg))
    assert len(sections) == len(table)
    for section, row in zip(sections, table, strict=True):
        assert section.output == (row["out_c"], row["out_h"], row["out_w"]), section.section
        if row["type"] == "convolutional":
            assert section.num_weights == row["nweights"] + row["n"] * (4 if row["bn"] else 1)


def test_weights_of_yolov4_have_the_published_size(reference):
    sections = read_sections(Cfg.read(reference / "cfg" / "yolov4.cfg"))
    assert 20 + 4 * sum(section.num_weights for section in sections) == 257_717_640


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_and_logits_are_darknets(reference, golden_weights, noise_floors, tmp_path, name):
    cfg, weights = golden_weights(name)
    network = Network.from_cfg(cfg).eval()
    network.load_weights(weights)
    network.save_weights(tmp_path / "again.weights")
    assert sha256_of_file(tmp_path / "again.weights") == sha256_of_file(weights)
    (tmp_path / "again.weights").unlink()
    tolerance = 3 * noise_floors[name]
    fused = network.fuse()
    for file in golden_files(reference, name):
        golden = np.load(file)
        images = torch.from_numpy(golden["input"])[None]
        with torch.no_grad():
            outputs, fused_logits = network.layer_outputs(images), fused(images)
        stats = golden["layer_stats"]
        assert len(stats) == len(outputs)
        for index, (output, expected) in enumerate(zip(outputs, stats, strict=True)):
            values = output.flatten().numpy()
            samples = values[np.arange(20) * (len(values) - 1) // 19]
            # Inner layers reach tens where logits reach ones: their rounding grows with them.
            allowed = tolerance * max(1, np.abs(expected[2:4]).max() / 2)
            np.testing.assert_allclose(
                samples, expected[4:], rtol=0, atol=allowed, err_msg=f"{file.stem} layer {index}"
            )
            found = [values.mean(), np.sqrt((values.astype(np.float64) ** 2).mean()), values.min(), values.max()]
            np.testing.assert_allclose(
                found, expected[:4], rtol=1e-4, atol=allowed, err_msg=f"{file.stem} layer {index}"
            )
        for head, logits in zip(network.heads, fused_logits, strict=True):
            for found in (logits, outputs[head.layer_index - 1]):
                expected = golden[f"yolo_{head.layer_index}_in"]
                np.testing.assert_allclose(found[0].numpy().reshape(expected.shape), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", [*REAL, *SMALL, *LARGE])
def test_decoded_boxes_are_darknets(reference, name):
    cfg = reference / "weights" / f"{name}.cfg" if name in REAL else reference / "golden/cfg" / f"{name}-160x128.cfg"
    parsed = Cfg.read(cfg)
    heads = [section.head for section in read_sections(parsed) if section.section.name == "yolo"]
    network_hw = (parsed.net.get_int("height", 0), parsed.net.get_int("width", 0))
    for file in golden_files(reference, name):
        golden = np.load(file)
        inputs = [torch.from_numpy(golden[f"yolo_{head.layer_index}_in"]).flatten(0, 1)[None] for head in heads]
        for head, head_input in zip(heads, inputs, strict=True):
            expected = golden[f"yolo_{head.layer_index}_out"]
            found = activate_head(head, head_input)[0].numpy().reshape(expected.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=5e-7)
        decoded = [part[0].numpy() for part in decode(heads, inputs, network_hw)]
        width, height = (int(length) for length in golden["image_wh"])
        letter = file.stem.endswith("-letter")
        compare_boxes(golden, *decoded, image_hw=(height, width), network_hw=network_hw, letter=letter)


def compare_boxes(golden, boxes, objectness, probabilities, *, image_hw, network_hw, letter):
    height, width = image_hw
    thresholds = sorted({key.split("_")[1] for key in golden.files if key.startswith("det_")})
    assert thresholds
    for threshold in thresholds:
        expected = golden[f"det_{threshold}_pix_box"]  # centre x, y, w, h, objectness
        kept = objectness > np.float32(threshold[1:])
        assert kept.sum() == len(expected) > 0
        xyxy = network_boxes_to_picture(boxes[kept], image_hw, network_hw, letter)
        size = xyxy[:, 2:] - xyxy[:, :2]
        found = np.concatenate([xyxy[:, :2] + size / 2, size], axis=1)
        np.testing.assert_allclose(found, expected[:, :4], rtol=2e-5, atol=1e-5 * max(width, height))
        np.testing.assert_allclose(objectness[kept], expected[:, 4], rtol=1e-6, atol=1e-7)
        scores = objectness[kept, None] * probabilities[kept]
        expected_scores = golden[f"det_{threshold}_pix_prob"]
        scores[scores <= np.float32(threshold[1:])] = 0
        np.testing.assert_allclose(scores, expected_scores, rtol=2e-6, atol=1e-7)
