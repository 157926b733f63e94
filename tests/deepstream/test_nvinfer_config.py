"""nvinfer's configuration file: reading, writing, and the refusal of what nvinfer would pass over in silence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.deepstream.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.nvinfer_keys import CLASS_KEYS, PROPERTY_KEYS, Key
from traffic_yolo.errors import ModelError

TEXT = """# a comment
[property]
net-scale-factor=0.0039215697906911373
onnx-file = model.onnx
infer-dims=3;64;96
batch-size=4

[class-attrs-all]
pre-cluster-threshold=0.25
topk=300

[class-attrs-1]
pre-cluster-threshold=0.4
detected-min-w=8
"""


def value_of(key: Key) -> st.SearchStrategy[str]:
    if key.kind == "text":
        return st.text("abc./_-0", min_size=1, max_size=8)
    low, high = (0, 1) if key.kind == "flag" else (key.low or 0, key.high if key.high is not None else 1000)
    if key.kind in ("int", "flag"):
        return st.integers(int(low), int(high)).map(str)
    if key.kind == "float":
        return st.floats(low, high).map(repr)
    numbers = st.lists(st.integers(0, 9), min_size=1, max_size=4)
    return numbers.map(lambda items: ";".join(map(str, items)))


def group_of(keys: dict[str, Key]) -> st.SearchStrategy[dict[str, str]]:
    return st.sets(st.sampled_from(sorted(keys)), max_size=6).flatmap(
        lambda names: st.fixed_dictionaries({name: value_of(keys[name]) for name in sorted(names)})
    )


@given(property_group=group_of(PROPERTY_KEYS), everyone=group_of(CLASS_KEYS), one=group_of(CLASS_KEYS))
def test_what_is_written_reads_back_equal(
    property_group: dict[str, str], everyone: dict[str, str], one: dict[str, str]
) -> None:
    groups = {"property": property_group, "class-attrs-all": everyone, "class-attrs-3": one}
    reasons = {("property", name): "why\nindeed" for name in property_group}
    config = NvinferConfig(groups, reasons=reasons)
    assert NvinferConfig.parse(config.to_text()) == config


def test_values_have_their_types_and_defaults() -> None:
    config = NvinferConfig.parse(TEXT)
    assert config.number("net-scale-factor") == pytest.approx(1 / 255, rel=1e-6)  # the float32 nearest to it
    assert config.text("onnx-file") == "model.onnx"
    assert config.numbers("infer-dims") == (3, 64, 96)
    assert config.integer("batch-size") == 4
    assert config.integer("maintain-aspect-ratio") == 0
    assert config.integer("scaling-filter") == 6
    assert not config.has("cluster-mode")


def test_a_class_group_overrides_all_key_by_key() -> None:
    config = NvinferConfig.parse(TEXT)
    car, truck = config.class_attributes(0), config.class_attributes(1)
    assert (car.pre_cluster_threshold, truck.pre_cluster_threshold) == (0.25, 0.4)
    assert (car.topk, truck.topk) == (300, 300)
    assert (car.detected_min_w, truck.detected_min_w) == (0, 8)
    assert car.nms_iou_threshold == 0.3  # nvinfer's own default


def test_defaults_without_class_groups_are_those_of_nvinfer() -> None:
    attributes = NvinferConfig.parse("[property]\n").class_attributes(0)
    assert (attributes.pre_cluster_threshold, attributes.nms_iou_threshold, attributes.topk) == (0.2, 0.3, -1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[property]\nnet_scale_factor=1\n", r"net_scale_factor is no nvinfer key; did you mean net-scale-factor\?"),
        ("[property]\nspeed=1\n", r"\[property\] speed is no nvinfer key"),
        ("[property]\ntopk=1\n", r"\[property\] topk is no nvinfer key"),
        ("[class-attrs-all]\nonnx-file=x\n[property]\n", r"\[class-attrs-all\] onnx-file is no nvinfer key"),
        ("[tracker]\n", r"line 1: nvinfer knows no group \[tracker\]; expected one of \[property\]"),
        ("[class-attrs-]\n", r"no group \[class-attrs-\]"),
        ("[class-attrs-x1]\n", r"no group \[class-attrs-x1\]"),
        ("[class-attrs-all]\n", r"no \[property\] group"),
        ("batch-size=1\n", r"line 1: batch-size stands before any \[group\]"),
        ("[property]\nbatch-size\n", r"line 2: expected \[group\], key=value or a # comment, found 'batch-size'"),
        ("[property]\nbatch-size=1\nbatch-size=2\n", r"line 3: batch-size stands twice"),
        ("[property]\n[property]\n", r"line 2: group \[property\] stands twice"),
        ("[property]\nbatch-size=two\n", r"batch-size: expected a whole number, found 'two'"),
        ("[property]\nbatch-size=0\n", r"batch-size: expected 1 or more, found 0"),
        ("[property]\nnetwork-mode=7\n", r"network-mode: expected 0 to 3, found 7"),
        ("[property]\nmaintain-aspect-ratio=2\n", r"maintain-aspect-ratio: expected 0 to 1, found 2"),
        ("[property]\ninfer-dims=3;x;4\n", r"infer-dims: expected a whole number, found 'x'"),
        ("[property]\nnet-scale-factor=1/255\n", r"net-scale-factor: expected a number, found '1/255'"),
        ("[property]\n[class-attrs-all]\nnms-iou-threshold=1.5\n", r"nms-iou-threshold: expected 0 to 1, found 1.5"),
        ("property:\n  batch-size: 1\n", r"line 1: expected \[group\]"),
    ],
)
def test_mistakes_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        NvinferConfig.parse(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.txt: nvinfer configuration cannot be read"):
        NvinferConfig.read(tmp_path / "none.txt")


def test_a_required_key_that_is_absent_is_named() -> None:
    with pytest.raises(ModelError, match=r"\[property\] onnx-file is missing"):
        NvinferConfig.parse("[property]\n").required("onnx-file")


def test_a_copy_with_other_values_is_checked_too() -> None:
    config = NvinferConfig.parse(TEXT)
    assert config.with_values("property", {"batch-size": "2"}).integer("batch-size") == 2
    assert config.integer("batch-size") == 4
    with pytest.raises(ModelError, match="no nvinfer key"):
        config.with_values("property", {"batchsize": "2"})
