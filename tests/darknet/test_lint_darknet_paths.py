"""Where Darknet's own paths differ, lint says so for the target darknet, and for no other."""

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint import lint_cfg

CFG = """[net]
width={width}
height=32
channels=3

[convolutional]
filters=8
size=1
stride=1
activation={activation}

[maxpool]
size={size}
stride={stride}

[convolutional]
filters=8
size=1
stride=1
activation=linear

[shortcut]
from=-2
activation=linear
{weights}

[convolutional]
filters=18
size=1
stride=1
activation=linear

[yolo]
mask=0,1,2
anchors=1,1,2,2,3,3
classes=1
num=3
"""


def found(target: str = "darknet", **values: object) -> list[CfgFinding]:
    given = {"width": 32, "activation": "leaky", "size": 2, "stride": 2, "weights": "", **values}
    report = lint_cfg(Cfg.parse(CFG.format(**given), file="net.cfg"), target)
    return [one for one in report.findings if one.rule == "own-paths"]


def test_a_network_that_is_the_same_on_all_paths_has_no_finding() -> None:
    assert found() == []


def test_relu6_is_zero_on_the_cpu() -> None:
    (one,) = found(activation="relu6")
    assert (one.severity, one.line, one.layer) == ("warning", 10, 0)
    assert "CPU path gives 0 everywhere" in one.message
    assert found("opencv", activation="relu6") == []


@pytest.mark.parametrize(
    ("weights", "count"),
    [
        ("weights_type=per_feature\nweights_normalization=relu", 1),
        ("weights_type=per_channel\nweights_normalization=avg_relu", 1),
        ("weights_type=per_channel\nweights_normalization=softmax", 0),
        ("weights_normalization=relu", 0),
    ],
)
def test_weights_by_relu_have_a_floor_where_darknet_fuses_and_on_the_gpu(weights: str, count: int) -> None:
    findings = found(weights=weights)
    assert [(one.severity, one.section) for one in findings] == [("info", "shortcut")] * count


@pytest.mark.parametrize(
    ("width", "size", "stride", "count"), [(32, 5, 1, 1), (12, 5, 1, 0), (13, 5, 1, 1), (32, 2, 2, 0), (32, 1, 1, 0)]
)
def test_a_pool_of_stride_1_is_wrong_in_an_avx_build_from_a_width_on(
    width: int, size: int, stride: int, count: int
) -> None:
    findings = found(width=width, size=size, stride=stride)
    assert [(one.severity, one.section) for one in findings] == [("info", "maxpool")] * count
