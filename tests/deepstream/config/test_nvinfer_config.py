"""nvinfer's configuration file: reading, writing, and the refusal of what nvinfer would pass over in silence."""

import ctypes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.nvinfer_keys import CLASS_KEYS, PROPERTY_KEYS, Key
from traffic_yolo.errors import ModelError

try:
    GLIB: ctypes.CDLL | None = ctypes.CDLL("libglib-2.0.so.0")
except OSError:
    GLIB = None


def glib_value(text: str, kind: str) -> float | None:
    """What GLib's key file, which nvinfer reads with, takes k in group [p] for; None for an error."""
    assert GLIB is not None
    pointer, data = ctypes.c_void_p, text.encode()
    GLIB.g_key_file_new.restype = pointer
    file = pointer(GLIB.g_key_file_new())
    assert GLIB.g_key_file_load_from_data(file, data, ctypes.c_size_t(len(data)), 0, None)
    get = getattr(GLIB, f"g_key_file_get_{kind}")
    get.restype = ctypes.c_double if kind == "double" else ctypes.c_int
    error = pointer()
    found: float = get(file, b"p", b"k", ctypes.byref(error))
    GLIB.g_key_file_free(file)
    return None if error.value else found


TEXT = """# a comment
[property]
net-scale-factor=0.0039215697906911373
onnx-file = model.onnx
infer-dims=3;64;96
batch-size=4
maintain-aspect-ratio=false
num-detected-classes=2

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
    if key.allowed:
        return st.sampled_from(key.allowed).map(str)
    low, high = (0, 1) if key.kind == "flag" else (key.low or 0, key.high if key.high is not None else 1000)
    if key.kind in ("int", "flag"):
        return st.integers(int(low), int(high)).map(str)
    if key.kind == "float":
        return st.floats(low, high).map(repr)
    counts = key.counts or (1, 2, 3, 4)
    numbers = st.lists(st.integers(0, 9), min_size=max(1, min(counts)), max_size=max(counts))
    return numbers.map(lambda items: ";".join(map(str, items)))


def group_of(keys: dict[str, Key]) -> st.SearchStrategy[dict[str, str]]:
    return st.sets(st.sampled_from(sorted(keys)), max_size=6).flatmap(
        lambda names: st.fixed_dictionaries({name: value_of(keys[name]) for name in sorted(names)})
    )


@given(property_group=group_of(PROPERTY_KEYS), everyone=group_of(CLASS_KEYS), one=group_of(CLASS_KEYS))
def test_what_is_written_reads_back_equal(
    property_group: dict[str, str], everyone: dict[str, str], one: dict[str, str]
) -> None:
    groups = {"property": property_group | {"num-detected-classes": "4"}}
    groups |= {"class-attrs-all": everyone, "class-attrs-3": one}
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
        ("[class-attrs-]\n[property]\n", r"no group \[class-attrs-\]"),
        ("[class-attrs-x1]\n[property]\n", r"no group \[class-attrs-x1\]"),
        ("[class-attrs-all]\n", r"no \[property\] group"),
        ("batch-size=1\n", r"line 1: batch-size stands before any \[group\]"),
        ("[property]\nbatch-size\n", r"line 2: expected \[group\], key=value or a # comment, found 'batch-size'"),
        ("[property]\n; old\n", r"line 2: expected \[group\]"),
        ("[property]\nbatch-size=two\n", r"batch-size: expected a whole number, found 'two'"),
        ("[property]\nbatch-size=0\n", r"batch-size: expected 1 to 1024, found 0"),
        ("[property]\nbatch-size=1025\n", r"batch-size: expected 1 to 1024, found 1025"),
        ("[property]\ngie-unique-id=0\n", r"gie-unique-id: expected 1 or more, found 0"),
        ("[property]\nnetwork-mode=7\n", r"network-mode: expected 0 to 3, found 7"),
        ("[property]\nnetwork-type=4\n", r"network-type: expected one of 0, 1, 2, 3, 100, found 4"),
        ("[property]\nmaintain-aspect-ratio=2\n", r"maintain-aspect-ratio: expected 0, 1, true or false, found '2'"),
        ("[property]\nmaintain-aspect-ratio=True\n", r"expected 0, 1, true or false, found 'True'"),
        ("[property]\ninfer-dims=3;x;4\n", r"infer-dims: expected a whole number, found 'x'"),
        ("[property]\ninfer-dims=3;4\n", r"infer-dims: expected 3 numbers with ; between them, found 2"),
        ("[property]\ninput-dims=3;4;5\n", r"input-dims: expected 4 numbers"),
        ("[property]\nnet-scale-factor=1/255\n", r"net-scale-factor: expected a number, found '1/255'"),
        ("[property]\nnet-scale-factor=0.5 # half\n", r"expected a number, found '0.5 # half'"),
        ("[property]\nnet-scale-factor=0.5 \n", r"expected a number and nothing behind it, found '0.5 '"),
        ("[property]\nnet-scale-factor=nan\n", r"expected a number and nothing behind it, found 'nan'"),
        ("[property]\n[class-attrs-all]\nnms-iou-threshold=1.5\n", r"nms-iou-threshold: expected 0 to 1, found 1.5"),
        ("[property]\n[class-attrs-all]\ntopk=-1\n", r"topk: expected 0 or more, found -1"),
        ("[property]\n[class-attrs-all]\nborder-color=1;0;0\n", r"border-color: expected 4 numbers"),
        (
            "[property]\nnum-detected-classes=2\n[class-attrs-2]\ntopk=1\n",
            r"\[class-attrs-2\] is beyond num-detected-classes=2; nvinfer stops",
        ),
        ("property:\n  batch-size: 1\n", r"line 1: expected \[group\]"),
    ],
)
def test_what_nvinfer_stops_at_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        NvinferConfig.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[property]\nnet_scale_factor=1\n",
            "[property] net_scale_factor is no nvinfer key; did you mean net-scale-factor?",
        ),
        ("[property]\nspeed=1\n", "[property] speed is no nvinfer key; remove it"),
        ("[property]\ntopk=1\n", "[property] topk is no nvinfer key; remove it"),
        ("[property]\n[class-attrs-all]\nonnx-file=x\n", "[class-attrs-all] onnx-file is no nvinfer key; remove it"),
        ("[tracker]\nenable=1\n[property]\n", "group [tracker] is none of nvinfer's"),
    ],
)
def test_what_nvinfer_passes_over_is_said_and_left_out(
    text: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = NvinferConfig.parse(text, source="a.txt")
    assert config.unknown == (message,)
    assert caplog.messages == [f"a.txt: {message}; nvinfer passes over it"]
    assert sum(map(len, config.groups.values())) == 0


def test_a_configuration_of_our_own_holds_no_unknown_key() -> None:
    with pytest.raises(ModelError, match="speed is no nvinfer key"):
        NvinferConfig({"property": {"speed": "1"}})


def test_the_last_of_two_values_counts_and_groups_are_joined() -> None:
    config = NvinferConfig.parse("[property]\nbatch-size=1\nbatch-size=2\n[property]\ninterval=3\nbatch-size=4\n")
    assert (config.integer("batch-size"), config.integer("interval")) == (4, 3)


def test_true_and_false_are_flags_and_a_whole_number_ends_at_a_blank() -> None:
    text = "[property]\r\nmaintain-aspect-ratio=true\r\nsymmetric-padding=false \r\n  batch-size = 4 # cameras\r\n"
    config = NvinferConfig.parse(text)
    keys = ("maintain-aspect-ratio", "symmetric-padding", "batch-size")
    assert [config.integer(key) for key in keys] == [1, 0, 4]


@pytest.mark.parametrize(
    ("everyone", "own", "expected"),
    [
        ("threshold=0.4", "", 0.4),
        ("pre-cluster-threshold=0.3\nthreshold=0.4", "", 0.4),
        ("threshold=0.4\npre-cluster-threshold=0.3", "", 0.3),
        ("threshold=0.4\npre-cluster-threshold=0.3\nthreshold=0.5", "", 0.5),
        ("pre-cluster-threshold=0.3", "threshold=0.6", 0.6),
        ("pre-cluster-threshold=1.5", "", 1.5),  # no box reaches it, and nvinfer takes it
    ],
)
def test_the_older_threshold_is_the_pre_cluster_threshold(everyone: str, own: str, expected: float) -> None:
    text = f"[property]\nnum-detected-classes=1\n[class-attrs-all]\n{everyone}\n[class-attrs-0]\n{own}\n"
    assert NvinferConfig.parse(text).class_attributes(0).pre_cluster_threshold == expected


def test_older_names_give_the_input_where_infer_dims_is_absent() -> None:
    assert NvinferConfig.parse("[property]\ninput-dims=3;64;96;0\n").input_chw == (3, 64, 96)
    both = "[property]\nuff-input-dims=3;1;1;0\ninfer-dims=3;64;96;\n"
    assert NvinferConfig.parse(both).input_chw == (3, 64, 96)
    assert NvinferConfig.parse("[property]\n").input_chw == ()


def test_dynamic_properties_are_text() -> None:
    config = NvinferConfig.parse("[property]\ndynamic-properties=interval=2\n")
    assert config.text("dynamic-properties") == "interval=2"


YAML = """
property:
  net-scale-factor: 0.0039215697906911373
  onnx-file: model.onnx  # a comment
  infer-dims: 3;64;96
  batch-size: 4
  maintain-aspect-ratio: false
  num-detected-classes: 2
class-attrs-all:
  pre-cluster-threshold: 0.25
  topk: 300
class-attrs-1:
  pre-cluster-threshold: 0.4
  detected-min-w: 8
"""


def test_the_yaml_form_is_the_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(YAML)
    # The same number with the digits that tell it from its neighbours, as YAML's reader gives it back
    (tmp_path / "config.txt").write_text(TEXT.replace("0.0039215697906911373", "0.003921569790691137"))
    assert NvinferConfig.read(tmp_path / "config.yml") == NvinferConfig.read(tmp_path / "config.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("property: 3\n", "config.yml: property: expected a mapping"),
        ("property:\n  infer-dims: [3, 64, 96]\n", "property infer-dims: expected one value"),
        ("property: {batch-size: 1\n", "config.yml"),
        ("property:\n  batch-size: two\n", "batch-size: expected a whole number, found 'two'"),
    ],
)
def test_yaml_that_is_no_configuration_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(ModelError, match=message):
        NvinferConfig.read(tmp_path / "config.yml")


VALUES = ["4", "4 ", "4 # x", "4#", "+4", "-1", " 3", "1.5", "1e2", "0.25 ", ".5", "0.25 # c", " 0.5", "1e-3"]
VALUES += ["true", "True", "false ", "1", "0", "yes", "2", "", "3;4", "99999999999"]


@pytest.mark.skipif(GLIB is None, reason="GLib is not installed")
@pytest.mark.parametrize("value", VALUES)
def test_numbers_and_flags_are_read_as_glib_reads_them(value: str) -> None:
    text = f"[p]\nk={value}\n"
    for kind, function in (("int", "integer"), ("float", "double"), ("flag", "boolean")):
        expected = glib_value(text, function)
        try:
            (found,) = Key(kind).numbers(value.lstrip(), where="k")  # type: ignore[arg-type]
        except ModelError:
            assert expected is None, (kind, expected)
        else:
            assert found == expected, kind


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


def test_of_a_yaml_key_that_stands_twice_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("property:\n  batch-size: 1\n  num-detected-classes: 2\n  batch-size: 3\n")
    assert NvinferConfig.read(path).integer("batch-size") == 3
