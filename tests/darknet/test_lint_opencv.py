"""Lint for OpenCV against OpenCV itself: an error where its importer stops or computes something else, and only there."""

import cv2
import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.lint import lint_cfg
from traffic_yolo.darknet.network import Network

pytestmark = pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromDarknet"), reason="OpenCV 5 reads no Darknet files")

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
HEAD = "[convolutional]\nfilters=21\nsize=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0,1,2\nanchors=1,2,3,4,5,6\nclasses=2\nnum=3\n"


def conv(filters=8, activation="leaky", more=""):
    keys = f"batch_normalize=1\nfilters={filters}\nsize=3\nstride=1\npad=1\n"
    return f"[convolutional]\n{keys}{f'activation={activation}' if activation else ''}\n{more}\n"


BODIES = {
    "leaky": conv(),
    **{name: conv() + conv(8, name) for name in ("mish", "swish", "logistic", "relu", "tanh", "relu6", "elu", "gelu")},
    "no activation": conv() + conv(8, ""),
    "groups": conv() + conv(8, more="groups=2"),
    "dilation": conv() + conv(more="dilation=2"),
    "dilation of 1": conv() + conv(more="dilation=1"),
    "stride_x": conv() + conv(more="stride_x=2\nstride_y=2"),
    "cbn": conv() + "[convolutional]\ncbn=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n",
    "key twice": conv() + conv(more="activation=linear"),
    "key twice alike": conv() + conv(more="activation=leaky"),
    "padding": conv() + conv().replace("pad=1", "padding=1"),
    "short name": conv() + conv().replace("[convolutional]", "[conv]"),
    "maxpool 2/2": conv() + "[maxpool]\nsize=2\nstride=2\n",
    "maxpool 5/1": conv() + "[maxpool]\nsize=5\nstride=1\n",
    "maxpool 4/1": conv() + "[maxpool]\nsize=4\nstride=1\n",
    "maxpool without stride": conv() + "[maxpool]\nsize=3\n",
    "maxpool stride_x": conv() + "[maxpool]\nsize=2\nstride=1\nstride_x=2\nstride_y=2\n",
    "local_avgpool": conv() + "[local_avgpool]\nsize=2\nstride=2\n",
    "dropout": conv() + "[dropout]\nprobability=.5\n\n" + conv() + "[route]\nlayers=0\n",
    "upsample": conv() + "[maxpool]\nsize=2\nstride=2\n[upsample]\nstride=2\n",
    "upsample without stride": conv() + "[maxpool]\nsize=2\nstride=2\n[upsample]\n",
    "upsample with scale": conv() + "[maxpool]\nsize=2\nstride=2\n[upsample]\nstride=2\nscale=.5\n",
    "route with groups": conv() + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n",
    "route of two with groups": conv() + conv() + "[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1\n",
    "shortcut": conv() + conv() + "[shortcut]\nfrom=-2\nactivation=linear\n",
    "shortcut from fewer": conv() + conv(4) + conv() + "[shortcut]\nfrom=-2\nactivation=linear\n",
    "shortcut from more": conv() + conv(12) + conv() + "[shortcut]\nfrom=-2\nactivation=leaky\n",
    "shortcut from two": conv() + conv() + conv() + "[shortcut]\nfrom=-2,-3\nactivation=linear\n",
    "sam": conv() + conv(8, "logistic") + "[sam]\nfrom=-2\n",
    "scale_channels": conv() + "[avgpool]\n\n" + HEAD.replace("21", "8") + "[scale_channels]\nfrom=0\n",
    "scale_channels by pixel": conv() + conv(1) + "[scale_channels]\nfrom=0\nscale_wh=1\n",
    "reorg": conv() + conv(4) + "[reorg]\nstride=2\n",
    "reorg without stride": conv() + conv(4) + "[reorg]\n",
    "reorg3d": conv() + conv(4) + "[reorg3d]\nstride=2\n",
    "batchnorm": conv() + "[batchnorm]\n",
}


def opencv_agrees(text, folder):
    """Whether OpenCV loads the cfg and what enters the head is the same as in our network."""
    network = Network(Cfg.parse(text), seed=1).eval()
    (folder / "m.cfg").write_text(text)
    network.save_weights(folder / "m.weights")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-6  # OpenCV's
    images = torch.from_numpy(np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32))
    with torch.no_grad():
        expected = network(images)[0][0].numpy()
    try:
        net = cv2.dnn.readNetFromDarknet(str(folder / "m.cfg"), str(folder / "m.weights"))
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setInput(images.numpy())
        found = net.forward(f"permute_{network.heads[0].layer_index}")[0].transpose(2, 0, 1)
    except cv2.error:
        return False
    return found.shape == expected.shape and bool(np.abs(found - expected).max() < 1e-4)


@pytest.mark.parametrize("name", BODIES)
def test_lint_says_what_opencv_does(name, tmp_path):
    text = NET + BODIES[name] + HEAD + YOLO
    report = lint_cfg(Cfg.parse(text), "opencv")
    assert (report.exit_code == 0) == opencv_agrees(text, tmp_path), report.to_text()


@pytest.mark.parametrize(
    ("old", "new"), [("mask=0,1,2\n", ""), ("num=3", "num=4"), ("classes=2", "classes=2\nnew_coords=1")]
)
def test_lint_says_what_opencv_does_with_a_head(old, new, tmp_path):
    text = NET + conv() + HEAD + YOLO.replace(old, new)
    assert (lint_cfg(Cfg.parse(text), "opencv").exit_code == 0) == opencv_agrees(text, tmp_path)


def test_opencv_sets_scores_below_its_threshold_to_zero(tmp_path):
    for text, least in ((YOLO, 0.2), (f"{YOLO}thresh=.001\n", 0.001)):
        (tmp_path / "m.cfg").write_text(NET + conv() + HEAD + text)
        Network.from_cfg(tmp_path / "m.cfg").save_weights(tmp_path / "m.weights")
        net = cv2.dnn.readNetFromDarknet(str(tmp_path / "m.cfg"), str(tmp_path / "m.weights"))
        net.setInput(np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32))
        scores = net.forward()[:, 5:]
        assert least <= scores[scores > 0].min() < 0.21
        assert (scores == 0).any() == (least == 0.2)
