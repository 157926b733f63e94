"""Random networks against a Darknet binary: TRAFFIC_YOLO_DARKNET names one, built for the CPU with AVX=0.

What `detector test` writes of a picture must be what ours detects, box by box: the chain from the PNG file to the
survivors. `make slow` draws more networks.

A max-pool of stride 1 gives neighbouring cells the same values, so boxes that overlap may have scores that differ in
their last bit alone, by the order in which a program adds up. Which of two such boxes survives is nobody's to say, and
so is what hangs on it: suppression runs with several roundings of the scores, and either outcome is right.
"""

import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from trained_networks import trained_network

from traffic_yolo.compression.carry import take_out
from traffic_yolo.compression.choice import least_important
from traffic_yolo.compression.importance import families, importance
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.nms import NmsRule, darknet_nms
from traffic_yolo.darknet.picture_detections import above_threshold
from traffic_yolo.darknet.resize import stretch

DARKNET = os.environ.get("TRAFFIC_YOLO_DARKNET", "")
NETWORKS = 200 if os.environ.get("TRAFFIC_YOLO_SLOW") else 12
THRESHOLD, IOU_THRESHOLD = 0.25, 0.45  # `detector test` has this NMS fixed
NEAR = 1e-4  # a score so near the threshold may fall on either side of it
LAST_BITS = 2e-6  # by which sums of float32 differ with their order; of the score
ROUNDINGS = 24
CLASSES = 3
# Without relu6 and hard_mish (0 on the CPU) and those that look at all channels.
ACTIVATIONS = ("leaky", "mish", "swish", "relu", "logistic", "tanh", "linear", "hardtan", "selu", "lhtan", "relie")

pytestmark = pytest.mark.skipif(not DARKNET, reason="set TRAFFIC_YOLO_DARKNET to a Darknet binary (CPU, AVX=0)")


Found = list[tuple[int, float, list[float]]]  # class id, score, box (cx, cy, w, h) in shares of the picture


def random_cfg(random: np.random.Generator) -> Cfg:
    """Convolutions, pools, weighted shortcuts and a route of any of four kinds of heads, on grids even or not."""
    width, height = (int(random.choice([32, 40, 48, 64])) for _ in range(2))
    activation = lambda: random.choice(ACTIVATIONS)  # noqa: E731
    convolution = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize={}\nstride={}\npad=1\ngroups={}\nactivation={}\n"
    layers = [convolution.format(3, 2, 1, activation())]
    layers.append(convolution.format(int(random.choice([1, 3])), 1, int(random.choice([1, 2])), activation()))
    weights = random.choice(["", "per_feature", "per_channel"])
    normalization = random.choice(["relu", "avg_relu", "softmax"])
    keys = f"weights_type={weights}\nweights_normalization={normalization}\n" if weights else ""
    layers.append(f"[shortcut]\nfrom=-2\nactivation={random.choice(['linear', 'leaky'])}\n{keys}")
    layers.append(f"[maxpool]\nsize={random.choice([2, 3])}\nstride={random.choice([1, 2])}\n")
    if random.random() < 0.5:
        layers.append("[route]\nlayers=-1,-1\ngroups=2\ngroup_id=1\n")
    kind = random.choice(["yolo", "new_coords", "Gaussian_yolo", "region"])
    entries = 9 if kind == "Gaussian_yolo" else 5
    last = "logistic" if kind == "new_coords" else "linear"
    layers.append(f"[convolutional]\nfilters={2 * (entries + CLASSES)}\nsize=1\nstride=1\npad=1\nactivation={last}\n")
    if kind == "region":
        softmax = int(random.integers(2))
        layers.append(f"[region]\nanchors=1.5,2,3,2.5\nnum=2\nclasses={CLASSES}\nsoftmax={softmax}\n")
    else:
        name = "yolo" if kind == "new_coords" else kind
        nms = random.choice(["default", "greedynms", "diounms"])
        keys = f"scale_x_y=1.1\nnms_kind={nms}\n" + ("new_coords=1\n" if kind == "new_coords" else "")
        layers.append(f"[{name}]\nmask=1,2\nanchors=4,5,8,12,20,9\nnum=3\nclasses={CLASSES}\n{keys}")
    return Cfg.parse(f"[net]\nwidth={width}\nheight={height}\nchannels=3\n" + "".join(layers), file="made.cfg")


def darknets(folder: Path) -> Found:
    """All that `detector test` writes of the folder's picture."""
    (folder / "c.names").write_text("".join(f"c{number}\n" for number in range(CLASSES)))
    (folder / "d.data").write_text(f"classes={CLASSES}\nnames=c.names\n")
    words = f"detector test d.data net.cfg net.weights -thresh {THRESHOLD} -dont_show -out found.json"
    with (folder / "darknet.log").open("wb") as log:
        subprocess.run(
            [DARKNET, *words.split()],
            cwd=folder,
            input=b"picture.png\n",
            stdout=log,
            stderr=log,
            timeout=60,
            check=False,
        )
    (frame,) = json.loads((folder / "found.json").read_text())
    return [
        (
            found["class_id"],
            found["confidence"],
            [found["relative_coordinates"][key] for key in ("center_x", "center_y", "width", "height")],
        )
        for found in frame["objects"]
    ]


def ours(network: Network, picture: np.ndarray) -> list[Found]:
    """The same of our chain: first as it is, then with the last bits of the scores at random."""
    height, width = network.input_hw
    images = torch.from_numpy(stretch(picture, (width, height)))[None]
    with torch.inference_mode():
        decoded = decode(network.heads, network.fuse()(images), network.input_hw)
    last = network.heads[-1]
    rule = NmsRule(last.nms_kind, IOU_THRESHOLD, last.beta_nms)
    boxes, objectness, scores = above_threshold(decoded, 0, THRESHOLD)
    random = np.random.default_rng(0)
    outcomes = []
    for rounding in range(1 + ROUNDINGS):
        noise = 1 + LAST_BITS * random.uniform(-1, 1, scores.shape) * (rounding > 0)
        rows = darknet_nms(boxes, objectness, (scores * noise).astype(scores.dtype), rule)
        outcomes.append([(int(row[5]), float(row[6]), row[:4].tolist()) for row in rows])
    return outcomes


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_a_random_network_detects_what_darknet_detects(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    network = trained_network(random_cfg(random), seed=seed)
    for section, layer in zip(network.sections, network.layers, strict=True):
        if section.section.name == "shortcut":  # some of its weights below 0
            for _, tensor in section.weights(layer):
                tensor.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    check(network, random, tmp_path)


@pytest.mark.parametrize("seed", range(NETWORKS // 2))
def test_a_pruned_network_detects_what_darknet_detects(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng([seed, 1])
    network = trained_network(random_cfg(random), seed=seed)
    ties = channel_ties(network.sections)
    units = least_important(families(network, ties), importance(network, ties, "l1"), 0.5, is_global=False)
    pruned = take_out(network, ties, units).network
    assert (pruned.num_weights < network.num_weights) == bool(units)
    check(pruned, random, tmp_path)


def check(network: Network, random: np.random.Generator, folder: Path) -> None:
    """Darknet and ours detect the same in a random picture."""
    network.cfg.write(folder / "net.cfg")
    network.save_weights(folder / "net.weights")
    picture = random.integers(0, 256, (int(random.integers(20, 90)), int(random.integers(20, 90)), 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "picture.png"), picture[..., ::-1])
    expected, (found, *roundings) = sorted(darknets(folder)), ours(network, picture)
    for each in sure(expected):
        assert any(is_in(each, outcome) for outcome in (found, *roundings)), f"Darknet alone has {each}"
    for each in sure(found):
        if not is_in(each, expected):
            assert not all(is_in(each, outcome) for outcome in roundings), f"we alone have {each}"


def sure(found: Found) -> Found:
    return [each for each in found if each[1] > THRESHOLD + NEAR]


def is_in(one: tuple[int, float, list[float]], others: Found) -> bool:
    return any(same(one, other) for other in others)


def same(one: tuple[int, float, list[float]], other: tuple[int, float, list[float]]) -> bool:
    """The class, the score to 1e-4 of its size, and the box to 1e-4 of its own."""
    scale = max(1.0, *map(abs, one[2]))
    return (
        one[0] == other[0]
        and abs(one[1] - other[1]) < NEAR * max(1.0, abs(one[1]))
        and max(abs(a - b) for a, b in zip(one[2], other[2], strict=True)) < NEAR * scale
    )
