"""The switches between Darknet's rules and nvinfer's: which are turned, in which order, and what that costs."""

import dataclasses
from pathlib import Path

import pytest

from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes, NvinferConfig
from traffic_yolo.deepstream.waterfall.rules import (
    CAUSES,
    NEAREST,
    Colour,
    Rules,
    darknet_rules,
    nvinfer_rules,
    switches,
)
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.model_folder import ModelFolder

NMS = NmsOptions(0.4, 0.45, kind="greedynms")


@pytest.fixture(scope="module")
def folder(model: Path) -> ModelFolder:
    return ModelFolder.open(model)


def attributes_of(config: NvinferConfig) -> tuple[ClassAttributes, ...]:
    return tuple(config.class_attributes(index) for index in range(config.integer("num-detected-classes")))


def rules_of(folder: ModelFolder, changes: dict[str, str], **given: object) -> tuple[Rules, Rules]:
    """Darknet's rules, and nvinfer's under our configuration with these keys changed."""
    config = deploy_config(folder, DeployOptions(confidence_threshold=0.4, iou_threshold=0.45))
    config = config.with_values("property", changes)
    start = darknet_rules(folder, NMS, [0.4] * len(folder.classes))
    return start, nvinfer_rules(start, config, attributes_of(config), **given)  # type: ignore[arg-type]


def turned(start: Rules, end: Rules) -> list[str]:
    return [switch.cause for switch in switches(start, end)]


def inferences(start: Rules, end: Rules) -> int:
    """How many inferences of every picture the states on the way need, `start`'s own included."""
    states = [start, *(state for switch in switches(start, end) for state in (switch.reached, switch.alone))]
    return len({state.inputs for state in states})


def test_our_own_configuration_turns_the_rules_that_nobody_can_avoid(folder: ModelFolder) -> None:
    start, end = rules_of(folder, {})
    assert turned(start, end) == ["resize", "edge", "NMS kind", "topk"]
    assert inferences(start, end) == 2


@pytest.mark.parametrize(
    ("changes", "cause", "needed"),
    [
        ({"scaling-filter": "0"}, "filter", 3),  # none, resize, nearest: alone or not, it is the same input
        ({"maintain-aspect-ratio": "1"}, "aspect", 5),  # none, aspect, with resize, with padding; resize alone
        ({"model-color-format": "1"}, "colour", 4),  # none, resize, both, colour alone
        ({"net-scale-factor": "0.01"}, "colour", 4),
        ({"offsets": "1;2;3"}, "colour", 4),
    ],
)
def test_a_key_of_another_value_is_a_cause_and_costs_inferences(
    folder: ModelFolder, changes: dict[str, str], cause: str, needed: int
) -> None:
    start, end = rules_of(folder, changes)
    assert cause in turned(start, end)
    assert inferences(start, end) == needed


def test_the_way_of_frames_comes_first(folder: ModelFolder) -> None:
    start, end = rules_of(folder, {}, nv12=True, mux_wh=(1920, 1080))
    assert turned(start, end)[:3] == ["NV12", "mux size", "resize"]
    assert inferences(start, end) == 6  # none; three on the way; mux size and resize alone


def test_other_thresholds_and_overlaps_are_causes_of_their_own(folder: ModelFolder) -> None:
    start, _ = rules_of(folder, {})
    config = deploy_config(folder, DeployOptions(confidence_threshold=0.25, iou_threshold=0.3))
    end = nvinfer_rules(start, config, attributes_of(config))
    assert turned(start, end) == ["resize", "thresholds", "edge", "NMS kind", "NMS IoU", "topk"]
    assert inferences(start, end) == 2


def test_the_same_number_in_other_digits_is_no_cause(folder: ModelFolder) -> None:
    assert Colour(0.0039215697906911373).is_darknets
    assert Colour(0.00392156862745098, (0.0, 0.0, 0.0)).is_darknets
    assert not Colour(0.0039).is_darknets
    assert turned(*rules_of(folder, {"net-scale-factor": "0.00392156862745098"})) == [
        "resize", "edge", "NMS kind", "topk",
    ]  # fmt: skip


def test_each_switch_goes_on_from_the_one_before_and_the_last_reaches_the_end(folder: ModelFolder) -> None:
    start, end = rules_of(folder, {"scaling-filter": "0", "maintain-aspect-ratio": "1"}, nv12=True)
    found, reached = switches(start, end), start
    for switch in found:
        assert switch.reached == dataclasses.replace(reached, **{switch.field: getattr(end, switch.field)})
        assert switch.alone == dataclasses.replace(start, **{switch.field: getattr(end, switch.field)})
        reached = switch.reached
    assert reached == end
    assert switches(end, end) == ()


def test_every_switch_has_a_cause_in_the_order_of_the_fields() -> None:
    assert list(CAUSES) == [field.name for field in dataclasses.fields(Rules)]


def test_padding_is_no_cause_where_nothing_is_padded(folder: ModelFolder, export_tiny: object) -> None:
    start, end = rules_of(folder, {"scaling-filter": "0"})
    assert end.scaling_filter == NEAREST
    assert "padding" not in turned(start, end)
