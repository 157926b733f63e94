"""The published networks against what Darknet computed: every layer, logits, head outputs, boxes, survivors, bytes."""

import json
import os

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import activate_head, decode
from traffic_yolo.darknet.dump import DumpOptions, dump, read_input
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.nms import NmsRule, darknet_nms
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


@pytest.mark.many(5)
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


# Boxes within 0.01 pixel and scores within 1e-4 of Darknet's whatever the box. Elsewhere a box of hundreds of pixels
# moves by its size times the noise of its logits: 0.02 to 0.1 pixels, csp and x-mish 0.4, yolov4 some pixels.
WITHIN_A_HUNDREDTH_PIXEL = {*REAL, "yolov3-tiny-prn"}


@pytest.mark.many(5)
@pytest.mark.parametrize("name", NETWORKS)
def test_detections_and_survivors_are_darknets(reference, golden_weights, noise_floors, name):
    cfg, weights = golden_weights(name)
    network = Network.from_cfg(cfg)
    network.load_weights(weights)
    noise = 3 * noise_floors[name]
    for file in golden_files(reference, name):
        golden = np.load(file)
        thresholds = tuple(sorted({float(key.split("_")[1][1:]) for key in golden.files if key.startswith("det_")}))
        options = DumpOptions(thresholds, (0.45, 0.6), letterbox=file.stem.endswith("-letter"))
        found = dump(network, read_input(file), options)
        assert set(found) == set(golden.files) - {"net_json"}
        assert {key: values.dtype for key, values in found.items()} == {key: golden[key].dtype for key in found}
        for head in network.heads:
            for key in (f"yolo_{head.layer_index}_in", f"yolo_{head.layer_index}_out"):
                np.testing.assert_allclose(found[key], golden[key], rtol=1e-5, atol=noise, err_msg=key)
        if name in REAL:  # the statistics of random deep layers have a test of their own
            np.testing.assert_allclose(found["layer_stats"], golden["layer_stats"], rtol=1e-5, atol=noise)
        for key in (key for key in found if key.endswith("_prob")):
            compare_detections(name, found, golden, key.removesuffix("_prob"), noise)


def compare_detections(name, found, golden, key, noise):
    """Boxes and scores of one threshold and unit, then the survivors of every NMS kind and IoU threshold."""
    _, threshold, unit = key.split("_")
    (boxes, scores), (expected_boxes, expected_scores) = (
        (arrays[f"{key}_box"], arrays[f"{key}_prob"]) for arrays in (found, golden)
    )
    assert boxes.shape == expected_boxes.shape
    # With new_coords the values compared are products of sigmoids themselves, else their slope of 1/4 shrinks noise.
    allowed_score = 1e-4 if noise < 1e-4 or name in WITHIN_A_HUNDREDTH_PIXEL else max(1e-4, 2 * noise)
    crossing = (scores == 0) != (expected_scores == 0)
    assert (np.abs(np.maximum(scores, expected_scores)[crossing] - float(threshold[1:])) <= allowed_score).all()
    assert crossing.sum() <= 1
    np.testing.assert_allclose(scores[~crossing], expected_scores[~crossing], rtol=0, atol=allowed_score)
    check_boxes(name, boxes, expected_boxes, unit, golden["image_wh"], noise)
    for survivors in (
        entry for entry in golden.files if entry.startswith(f"nms_{threshold}_") and entry.endswith(unit)
    ):
        ours, theirs = found[survivors], golden[survivors]
        if crossing.any():  # a score at the threshold itself fell to the other side: suppress as Darknet had it
            _, _, iou_threshold, kind, _ = survivors.split("_")
            rule = NmsRule(kind, float(iou_threshold[1:]))
            ours = darknet_nms(boxes[:, :4], boxes[:, 4], np.where(crossing, expected_scores, scores), rule)
        assert ours.shape == theirs.shape, survivors
        np.testing.assert_array_equal(ours[:, 5], theirs[:, 5], err_msg=survivors)  # in the same order
        np.testing.assert_allclose(ours[:, 6], theirs[:, 6], rtol=0, atol=allowed_score, err_msg=survivors)
        check_boxes(name, ours, theirs, unit, golden["image_wh"], noise)


def check_boxes(name, boxes, expected, unit, image_wh, noise):
    """x, y, w, h within 0.01 pixel, or within what noise makes of a box of that size."""
    pixels = np.abs(boxes[:, :4].astype(float) - expected[:, :4])
    sizes = expected[:, 2:4].max(axis=1)
    if unit == "rel":
        pixels, sizes = pixels * np.tile(image_wh, 2), sizes * max(image_wh)
    allowed = np.full(len(boxes), 0.01)
    if name not in WITHIN_A_HUNDREDTH_PIXEL:
        allowed = np.maximum(allowed, noise * (2 * sizes + max(image_wh) / 4))
    assert (pixels.max(axis=1) <= allowed).all(), (pixels.max(), sizes[pixels.max(axis=1).argmax()])


@pytest.mark.parametrize("name", [*REAL, *SMALL, *LARGE])
def test_survivors_of_darknets_own_boxes_are_darknets_to_the_bit(reference, name):
    for file in golden_files(reference, name):
        golden = np.load(file)
        heads = [layer for layer in json.loads(str(golden["net_json"]))["layers"] if layer["type"] == "yolo"]
        survivors = [key for key in golden.files if key.startswith("nms_")]
        assert len(survivors) in (16, 48)  # 4 kinds, 2 IoU thresholds, 2 units; 1 or 3 score thresholds
        for key in survivors:
            _, threshold, iou_threshold, kind, unit = key.split("_")
            boxes, scores = golden[f"det_{threshold}_{unit}_box"], golden[f"det_{threshold}_{unit}_prob"]
            rule = NmsRule(kind, float(iou_threshold[1:]), heads[-1].get("beta_nms", 0.6))
            found = darknet_nms(boxes[:, :4], boxes[:, 4], scores, rule)
            np.testing.assert_array_equal(found, golden[key], err_msg=f"{file.stem} {key}")
