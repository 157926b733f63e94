"""Lint: for every rule an example that it finds and one that it leaves alone, and the published cfgs."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.lint import lint, lint_cfg
from traffic_yolo.darknet.lint_deepstream import DEEPSTREAM_RULES, skipped_header_bytes
from traffic_yolo.darknet.lint_findings import RuntimeSetup
from traffic_yolo.darknet.lint_rules import EVERY_SECTION_RULES, MOST_UNKNOWN
from traffic_yolo.darknet.lint_runtime import RUNTIME_RULES
from traffic_yolo.darknet.lint_targets import TARGETS
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.errors import OptionsError, StorageError

# Two heads, a pool, a shortcut, a route with groups, an upsample: what every target takes.
CLEAN = """\
[net]
width=64
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=8
size=1
stride=1
pad=1
activation=mish

[shortcut]
from=-2
activation=linear

[route]
layers=-1
groups=2
group_id=1

[convolutional]
filters=12
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=2,3
anchors=4,5, 6,8, 8,12, 10,10
classes=1
num=4
thresh=.001

[route]
layers=-4

[upsample]
stride=2

[route]
layers=-1,0

[convolutional]
filters=12
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=4,5, 6,8, 8,12, 10,10
classes=1
num=4
thresh=.001
"""


UNEVEN = (
    "[net]\nwidth=32\nheight=24\nchannels=3\n[convolutional]\nsize=1\nstride=16\nfilters=6\nactivation=linear\n"
    "[yolo]\nmask=0\nanchors=4,5\nclasses=1\nnum=1\n"
)


def change(*pairs, text=CLEAN):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def heads(old, new):
    """The same change in both heads."""
    return CLEAN.replace(old, new)


def last(old, new):
    """The change in the last head alone."""
    return new.join(CLEAN.rsplit(old, 1))


@dataclass(frozen=True)
class Case:
    """A cfg in which `rule` finds `words` at the line `at` ("" for the file), and one (`sound`) where it finds nothing."""

    rule: str
    target: str
    faulty: str
    at: str
    words: str
    severity: str = "error"
    sound: str = CLEAN

    @property
    def id(self) -> str:
        return f"{self.rule}-{self.target}-{self.words[:12]}"


DS, CV = "deepstream-yolo", "opencv"
NET = "channels=3\n"
CASES = [
    Case("unsupported-section", DS, change(("[shortcut]", "[scale_channels]")), "[scale_channels]", "knows no [scale_"),
    Case(
        "unsupported-section", CV, change(("[yolo]", "[Gaussian_yolo]")), "[Gaussian_yolo]", "knows no [Gaussian_yolo]"
    ),
    Case(
        "unsupported-section", "darknet", change(("[shortcut]", "[shortcuts]")), "[shortcuts]", "knows no [shortcuts]"
    ),
    Case("unsupported-section", "onnx", change(("[shortcut]", "[lstm]")), "[lstm]", "knows no [lstm]"),
    Case(
        "section-header",
        CV,
        change(("[convolutional]", "[conv]")),
        "[conv]",
        "does not take [conv] for [convolutional]",
    ),
    Case(
        "section-header",
        DS,
        change(("[net]", "[network]")),
        "[network]",
        "does not take [network] for [net]",
        sound=change(("[convolutional]", "[conv]")),
    ),
    Case(
        "unsupported-activation",
        DS,
        change(("=mish", "=gelu")),
        "activation=gelu",
        "knows no activation=gelu",
        sound=change(("=mish", "=swish")),
    ),
    Case(
        "unsupported-activation",
        CV,
        change(("=mish", "=relu6")),
        "activation=relu6",
        "knows no activation=relu6",
        sound=change(("=mish", "=tanh")),
    ),
    Case(
        "unsupported-activation", "darknet", change(("=mish", "=silu")), "activation=silu", "knows no activation=silu"
    ),
    Case("unsupported-activation", "onnx", change(("=mish", "=mich")), "activation=mich", "knows no activation=mich"),
    Case("missing-key", DS, change(("pad=1\n", "")), "[convolutional]", "needs pad=, found none"),
    Case("missing-key", CV, change(("mask=2,3\n", "")), "[yolo]", "needs mask=, found none"),
    Case("missing-key", "darknet", change((NET, "")), "[net]", "needs channels=, found none"),
    Case("missing-key", "onnx", change(("from=-2\n", "")), "[shortcut]", "needs from=, found none"),
    Case(
        "missing-key",
        "darknet",
        change((NET, f"{NET}policy=steps\nsteps=8,9\n")),
        "policy=steps",
        "needs scales=",
        sound=change((NET, f"{NET}policy=steps\nsteps=8\nscales=.1\n")),
    ),
    Case("other-default", CV, change(("[upsample]\nstride=2\n", "[upsample]\n")), "[upsample]", "takes stride=1"),
    Case(
        "ignored-key",
        CV,
        change(("pad=1\n", "pad=1\ndilation=2\n")),
        "dilation=2",
        "does not read dilation=2",
        sound=change(("pad=1\n", "pad=1\ndilation=1\n")),
    ),
    Case(
        "ignored-key",
        DS,
        change(("[maxpool]\n", "[maxpool]\nstride_x=1\n")),
        "stride_x=1",
        "does not read stride_x=1",
        sound=change(("[maxpool]\n", "[maxpool]\nstride_x=2\n")),
    ),
    Case("several-sources", DS, change(("from=-2", "from=-2,-3")), "from=-2,-3", "adds the first of from=-2,-3 alone"),
    Case("grouped-join", CV, change(("layers=-1\n", "layers=-1,-2\n")), "groups=2", "groups=2 of several layers"),
    Case(
        "repeated-key",
        CV,
        change(("pad=1\n", "pad=1\nfilters=16\n")),
        "filters=16",
        "first, opencv the last",
        sound=change(("pad=1\n", "pad=1\nfilters=8\n")),
    ),
    Case(
        "repeated-key",
        "darknet",
        change((NET, f"{NET}width=32\n")),
        "width=32",
        "width=32 comes after width=64",
        severity="warning",
    ),
    Case(
        "wrong-filters",
        "darknet",
        change(("filters=12", "filters=14")),
        "filters=14",
        "filters=14 before [yolo] of line 42: expected 12 = 2 anchors x (5 + 1 classes)",
    ),
    Case(
        "mixed-classes",
        "onnx",
        last("classes=1", "classes=2"),
        "classes=2",
        "classes=2, the first head has 1",
    ),
    Case(
        "misread-number",
        "darknet",
        change((NET, f"{NET}max_batches=1e4\n")),
        "max_batches=1e4",
        "max_batches: 1e4 is read as 1",
        sound=change((NET, f"{NET}max_batches=10000\nlearning_rate=1e-3\nresize_step=1.5\n")),
    ),
    Case(
        "misread-number",
        DS,
        last("mask=0,1", "mask=0.9,1"),
        "mask=0.9,1",
        "mask: 0.9 is read as 0",
    ),
    Case(
        "uneven-grid",
        "darknet",
        UNEVEN,
        "height=24",
        "32 x 24 (width x height) is no multiple of the stride 16: 2 x 2 cells",
        severity="warning",
        sound=UNEVEN.replace("24", "48"),
    ),
    Case(
        "anchor-count",
        CV,
        heads("num=4", "num=5"),
        "num=5",
        "num=5, and 8 numbers in anchors: expected 10",
    ),
    Case(
        "anchor-count",
        "darknet",
        heads("num=4", "num=3"),
        "num=3",
        "num=3, and 8 numbers in anchors: expected 6",
        severity="warning",
    ),
    Case(
        "resize",
        DS,
        change((NET, f"{NET}letter_box=1\n")),
        "letter_box=1",
        "letter_box=1 is not applied by",
        severity="warning",
    ),
    Case(
        "nms-ignored",
        CV,
        heads("thresh=.001", "nms_kind=greedynms"),
        "nms_kind=greedynms",
        "does not read nms_kind",
        severity="warning",
        sound=heads("thresh=.001", "nms_kind=default"),
    ),
    Case(
        "one-class-per-box",
        "onnx",
        heads("classes=1", "classes=2").replace("filters=12", "filters=14"),
        "classes=2",
        "reports the best class of a box",
        severity="info",
    ),
    Case(
        "region-tree",
        DS,
        change(("mask=2,3", "tree=9k.tree"), ("[yolo]", "[region]")),
        "tree=9k.tree",
        "classes come out flat",
    ),
    Case(
        "opencv-threshold", CV, CLEAN.replace("thresh=.001\n", ""), "[yolo]", "scores below 0.2 to 0", severity="info"
    ),
    Case(
        "opencv-batch-norm",
        CV,
        CLEAN,
        "[convolutional]",
        "has an eps of 1e-6",
        severity="info",
        sound=CLEAN.replace("batch_normalize=1\n", ""),
    ),
    Case(
        "leading-space",
        DS,
        change(("filters=8", " filters=8")),
        " filters=8",
        "the key is lost (filters=8)",
        sound=change(("filters=8", "\tfilters=8"), ("[maxpool]", " # a note\n[maxpool]")),
    ),
    Case("leading-space", DS, change(("[maxpool]", " [maxpool]")), " [maxpool]", "its keys go to the section before"),
    Case("leading-space", DS, change((NET, f"{NET} batch=64\n")), " batch=64", "(batch=64)", severity="warning"),
    Case("dropout-shift", DS, change(("[shortcut]", "[dropout]\n\n[shortcut]")), "from=-2", "stops at an assertion"),
    Case(
        "dropout-shift",
        DS,
        change(("[route]\nlayers=-1,0", "[dropout]\n\n[route]\nlayers=-2,0")),
        "layers=-2,0",
        "takes layer 7 for layer 8",
        sound=change(("[route]\nlayers=-1,0", "[dropout]\n\n[route]\nlayers=-1,0")),
    ),
    Case("mixed-new-coords", DS, last("thresh=.001", "new_coords=1"), "[yolo]", "new_coords=0 here, but"),
    Case(
        "window-padding",
        DS,
        change(("width=64", "width=62")),
        "size=2",
        "gives 8 x 15 in deepstream-yolo, 8 x 16 in Darknet",
        sound=change(("size=2\nstride=2", "size=4\nstride=2")),
    ),
    Case(
        "window-padding",
        DS,
        change(("size=1\nstride=1\npad=1", "size=1\nstride=1\npad=0\npadding=1")),
        "padding=1",
        "pads by 1 in Darknet, by 0",
    ),
    Case("shortcut-sources", DS, change(("from=-2", "from=-1")), "from=-1", "adds the layer right before to itself"),
    Case(
        "shortcut-sources",
        DS,
        change(("filters=8\nsize=1", "filters=16\nsize=1")),
        "from=-2",
        "cuts 16 channels out of the 8 of layer 1",
        sound=change(("filters=8\nsize=1", "filters=4\nsize=1")),
    ),
    Case(
        "explicit-zero",
        DS,
        change(("filters=12\n", "batch_normalize=0\nfilters=12\n")),
        "batch_normalize=0",
        "reads no biases for this layer",
    ),
    Case("missing-group-id", DS, change(("group_id=1\n", "")), "groups=2", "needs group_id= beside groups="),
    Case(
        "unknown-key",
        "darknet",
        change(("filters=8", "filter=8")),
        "filter=8",
        "Darknet passes over filter= in [convolutional]",
        severity="warning",
        sound=change(("filters=8", "filters=8\nlearning_rate=1\nstopbackward=1")),
    ),
    Case(
        "unknown-key", DS, change((NET, f"{NET}mosaics=1\n")), "mosaics=1", "over mosaics= in [net]", severity="warning"
    ),
    Case(
        "tiny-boxes", DS, CLEAN, "[yolo]", "drops boxes below 1 pixel", severity="info", sound=CLEAN.split("[yolo]")[0]
    ),
    Case(
        "num-detected-classes",
        DS,
        CLEAN,
        "classes=1",
        "needs num-detected-classes=1",
        severity="info",
        sound=CLEAN.split("[yolo]")[0],
    ),
    Case(
        "other-reading",
        DS,
        change(("layers=-1\n", "layers=-1,-2\n")),
        "groups=2",
        "joins the layers and takes one group of the whole",
    ),
    Case("other-reading", DS, change(("mask=2,3\n", "")), "anchors=4,5, 6,8, 8,12, 10,10", "as a [region]"),
    Case(
        "other-reading",
        DS,
        change(("mask=2,3\n", ""), ("[yolo]", "[region]")),
        "[region]",
        "takes the softmax over the classes whatever softmax= says",
        sound=change(("mask=2,3\n", "softmax=1\n"), ("[yolo]", "[region]")),
    ),
    Case(
        "other-reading",
        DS,
        change(("mask=2,3\n", "softmax=1\nclassfix=-1\n"), ("[yolo]", "[region]")),
        "classfix=-1",
        "does not read classfix=-1",
    ),
    Case(
        "other-reading",
        DS,
        change(("batch_normalize=1", "batch_normalize=1 # yes")),
        "batch_normalize=1 # yes",
        "with the text 1: it reads no batch-norm here",
        sound=change(("batch_normalize=1", "batch_normalize = 1  ")),
    ),
    Case(
        "other-reading",
        DS,
        change(("pad=1\n", "pad=1\nbias=1\n")),
        "bias=1",
        "reads bias=, which Darknet does not",
        sound=change(("pad=1\n", "pad=1\nbias=0\n")),
    ),
    Case(
        "other-reading",
        DS,
        last("filters=12\n", "filters=12\nbias=0\n"),
        "bias=0",
        "reads bias=, which Darknet does not",
        sound=last("filters=12\n", "filters=12\nbias=1\n"),
    ),
    Case(
        "other-reading",
        DS,
        change(("pad=1\n", "pad=1\neps=0.001\n")),
        "eps=0.001",
        "reads eps= for the batch-norm",
        sound=change(("pad=1\n", "pad=1\neps=1e-5\n")),
    ),
    Case(
        "other-reading",
        DS,
        change(("[upsample]", "[reorg3d]")),
        "[reorg3d]",
        "joins the blocks along the batch",
        sound=change(("[upsample]", "[reorg]")),
    ),
    Case(
        "other-reading",
        DS,
        change(("[upsample]\nstride=2\n", "[avgpool]\n")),
        "[avgpool]",
        "takes a window of channels x height",
        sound=change(("width=64", "width=32"), ("[upsample]\nstride=2\n", "[avgpool]\n")),  # 8 x 8 x 8 there
    ),
    Case(
        "other-reading",
        DS,
        change(("from=-2", "from=0")),
        "from=0",
        "takes from=0 for the layer right before and stops",
        sound=change(("from=-2", "from=1")),
    ),
    Case("ignored-key", DS, change(("[upsample]\n", "[reorg]\nreverse=1\n")), "reverse=1", "does not read reverse=1"),
    Case("missing-key", DS, change(("[upsample]\nstride=2\n", "[implicit]\n")), "[implicit]", "needs filters=, found"),
    Case(
        "ignored-key",
        DS,
        change(("[upsample]\nstride=2\n", "[implicit]\nfilters=4\natoms=2\n")),
        "atoms=2",
        "does not read atoms=2",
        sound=change(("[upsample]\nstride=2\n", "[implicit]\nfilters=4\natoms=1\n")),
    ),
    Case(
        "inner-blank",
        DS,
        change(("filters=12", "filters=1 2")),
        "filters=1 2",
        "stops at a blank in filters=1 2; Darknet reads 12",
        sound=change(("filters=12", "filters = 12 # 3 4"), ("layers=-1,0", "layers=-1, 0")),
    ),
    Case(
        "input-channels",
        DS,
        change(("channels=3", "channels=4")),
        "channels=4",
        "channels=4, but nvinfer gives a network 3 planes (RGB or BGR)",
    ),
    Case(
        "input-channels",
        DS,
        change(("channels=3", "channels=1")),
        "channels=1",
        "or 1 with model-color-format=2",
        severity="warning",
    ),
    Case(
        "new-coords-activation",
        "darknet",
        last("thresh=.001", "new_coords=1"),
        "new_coords=1",
        "new_coords=1 reads probabilities, and gets the output of activation=linear on line",
        severity="warning",
        sound=CLEAN.replace("activation=linear\n\n[yolo]", "activation=logistic\n\n[yolo]\nnew_coords=1"),
    ),
    Case(
        "new-coords-activation",
        "onnx",
        change(("activation=linear\n\n[yolo]", "activation=logistic\n\n[yolo]")),
        "[yolo]",
        "takes the logistic of its inputs, and gets the output of activation=logistic",
        severity="warning",
    ),
    Case(
        "steps-policy",
        "darknet",
        change((NET, f"{NET}policy=steps\nsteps=8,9,10\nscales=.1,.1\n")),
        "scales=.1,.1",
        "3 steps and 2 scales: Darknet reads beyond the scales and crashes",
        sound=change((NET, f"{NET}policy=steps\nsteps=8,9\nscales=.1,.1\n")),
    ),
    Case(
        "steps-policy",
        "darknet",
        change((NET, f"{NET}policy=steps\nsteps=8\nscales=.1,.1\n")),
        "scales=.1,.1",
        "1 steps and 2 scales: the last ones are never used",
        severity="warning",
    ),
    Case(
        "opencv-size",
        CV,
        change(("size=2\nstride=2", "stride=1")),
        "stride=1",
        "without size= opencv takes size=2, Darknet the stride, 1",
        sound=change(("size=2\nstride=2", "stride=2")),
    ),
    Case(
        "foreign-activation",
        DS,
        change(("=mish", "=silu")),
        "activation=silu",
        "knows activation=silu, Darknet does not and takes relu",
        severity="warning",
        sound=change(("=mish", "=swish")),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_rule_finds_the_fault_at_its_line_and_leaves_the_sound_cfg_alone(case):
    found = [finding for finding in report_of(case.faulty, case.target).findings if finding.rule == case.rule]
    matching = [finding for finding in found if case.words in finding.message]
    assert matching, found
    assert matching[0].severity == case.severity
    assert case.faulty.split("\n")[matching[0].line - 1] == case.at
    assert matching[0].advice
    assert [finding for finding in report_of(case.sound, case.target).findings if finding.rule == case.rule] == []


def report_of(text, target, **options):
    return lint_cfg(Cfg.parse(text, file="net.cfg"), target, **options)


@pytest.mark.parametrize(
    ("configured", "severity", "words"),
    [
        (1, "error", "classes=3, but nvinfer is set to num-detected-classes=1: its parser reads beyond an array"),
        (4, "warning", "classes=3, but nvinfer is set to num-detected-classes=4: the rest never comes"),
        (3, "info", "nvinfer needs num-detected-classes=3"),
        (None, "info", "nvinfer needs num-detected-classes=3"),
    ],
)
def test_the_classes_that_nvinfer_is_set_to_are_those_of_the_heads(configured, severity, words):
    text = CLEAN.replace("filters=12", "filters=16").replace("classes=1", "classes=3")
    report = report_of(text, DS, setup=RuntimeSetup(num_detected_classes=configured))
    (found,) = [finding for finding in report.findings if finding.rule == "num-detected-classes"]
    assert (found.severity, report.exit_code) == (severity, int(severity == "error"))
    assert words in found.message
    assert text.split("\n")[found.line - 1] == "classes=3"
    assert found.advice == "set num-detected-classes=3 and give 3 lines in the labels file"


def test_thousands_of_unknown_keys_are_named_up_to_a_number():
    text = change(("filters=8", "\n".join(f"key{number}=1" for number in range(3000)) + "\nfilters=8"))
    found = [finding.message for finding in report_of(text, "darknet").findings if finding.rule == "unknown-key"]
    assert len(found) == MOST_UNKNOWN + 1
    assert f"Darknet passes over {3000 - MOST_UNKNOWN} keys more in [convolutional]" in found


def test_every_rule_has_its_examples():
    elsewhere = {"weights-size", "file-name"}
    reader = {"foreign-activation"}  # what becomes of a layer that cannot be read
    of_sections = {name for section_type in SECTION_TYPES.values() for name, _ in section_type.lint_rules}
    rules = {*EVERY_SECTION_RULES, *RUNTIME_RULES, *DEEPSTREAM_RULES, *of_sections}
    assert {case.rule for case in CASES} == (rules - elsewhere) | reader


@pytest.mark.parametrize("target", TARGETS)
def test_the_clean_cfg_has_neither_errors_nor_warnings(target):
    report = report_of(CLEAN, target)
    assert (report.counts["error"], report.counts["warning"], report.exit_code) == (0, 0, 0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("letter_box", "resize", "errors"), [(0, "stretch", 0), (0, "letterbox", 1), (1, "stretch", 1)]
)
def test_letter_box_against_the_configured_resize(target, letter_box, resize, errors):
    text = change((NET, f"{NET}letter_box={letter_box}\n"))
    report = report_of(text, target, setup=RuntimeSetup(resize))
    assert report.counts["error"] == errors
    if errors:
        words = f"letter_box={letter_box}, but the runtime is set to {resize}"
        assert report.findings[0].message == words
        assert report.findings[0].line == 5
    assert (
        report_of(text.replace(f"_box={letter_box}", "_box=1"), target, setup=RuntimeSetup("letterbox")).counts[
            "warning"
        ]
        == 0
    )


def saved(path, *, header=None, text=CLEAN):
    path.parent.mkdir(parents=True, exist_ok=True)
    Network(Cfg.parse(text)).save_weights(path, header=header)
    return path


@pytest.mark.parametrize("target", TARGETS)
def test_size_of_the_weights_to_the_byte(tmp_path, target):
    weights = saved(tmp_path / "a.weights")
    size = weights.stat().st_size
    report = report_of(CLEAN, target, weights=weights)
    assert (report.expected_bytes, report.actual_bytes, report.exit_code) == (size, size, 0)
    assert f"weights file: {size:,} bytes, as the file given has" in report.to_text()
    weights.write_bytes(weights.read_bytes() + b"\0\0\0\0")
    report = report_of(CLEAN, target, weights=weights)
    assert [finding.rule for finding in report.findings if finding.severity == "error"] == ["weights-size"]
    assert f"expected {size} bytes, found {size + 4}; {target} " in report.findings[0].message
    assert f"weights file: {size:,} bytes; the file given has {size + 4:,}" in report.to_text()


def test_size_follows_the_header_of_the_file(tmp_path):
    weights = saved(tmp_path / "old.weights", header=WeightsHeader(0, 1, 0, 5))
    report = report_of(CLEAN, "darknet", weights=weights)
    assert report.exit_code == 0
    assert report.expected_bytes == weights.stat().st_size == report_of(CLEAN, "darknet").expected_bytes - 4


def test_published_size_of_yolov4(reference):
    assert lint(reference / "cfg" / "yolov4.cfg", "darknet").expected_bytes == 257_717_640


def test_a_file_that_is_no_weights_is_a_finding(tmp_path):
    (tmp_path / "a.weights").write_bytes(b"PK" + bytes(range(100)))
    (finding,) = (
        f for f in report_of(CLEAN, "darknet", weights=tmp_path / "a.weights").findings if f.severity == "error"
    )
    assert finding.rule == "weights-header"
    assert "is it a PyTorch checkpoint?" in finding.message
    with pytest.raises(StorageError, match="weights cannot be read"):
        report_of(CLEAN, "darknet", weights=tmp_path / "none.weights")


@pytest.mark.parametrize(
    ("name", "minor", "words"),
    [
        ("model.weights", 2, None),
        ("yolov2-tiny/model.weights", 2, None),
        ("yolov2.weights", 1, None),
        ("yolov2/model.weights", 2, "skips a header of 16 bytes ('yolov2' in the path), the file has 20"),
        ("model.weights", 1, "skips a header of 20 bytes (no 'yolov2' in the path), the file has 16"),
        ("model.bin", 2, "takes weights only where the path has '.weights'"),
    ],
)
def test_names_that_mislead_the_weights_reader(tmp_path, monkeypatch, name, minor, words):
    monkeypatch.chdir(tmp_path)  # the folder of the tests must not have its say
    weights = saved(Path(name), header=WeightsHeader(0, minor, 0, 0))
    found = [
        finding.message for finding in report_of(CLEAN, DS, weights=weights).findings if finding.rule == "file-name"
    ]
    assert len(found) == (words is not None)
    assert words is None or words in found[0]
    assert report_of(CLEAN, "darknet", weights=weights).exit_code == 0


def test_a_cfg_called_yolov2_is_warned_of_its_weights_name():
    report = lint_cfg(Cfg.parse(CLEAN, file="yolov2-mine.cfg"), DS)
    assert [finding.severity for finding in report.findings if finding.rule == "file-name"] == ["warning"]
    assert skipped_header_bytes(Path("yolov2-tiny-voc.weights")) == 20


def test_what_is_no_cfg_is_one_finding_with_its_line(tmp_path):
    (tmp_path / "net.cfg").write_text(change(("stride=2\npad", "stride 2\npad")))
    report = lint(tmp_path / "net.cfg", "darknet")
    (finding,) = report.findings
    assert (finding.rule, finding.line, finding.section) == ("cfg-syntax", 10, "convolutional")
    assert finding.message == "expected key=value, found 'stride 2'"
    assert report.exit_code == 1
    assert report.expected_bytes is None


def test_a_layer_that_cannot_be_says_so_once():
    report = report_of(change(("layers=-1,0", "layers=-1,3")), "opencv")
    (finding,) = (finding for finding in report.findings if finding.severity == "error")
    assert (finding.rule, finding.layer, finding.section) == ("unreadable-layer", 9, "route")
    assert "expected one height and width" in finding.message
    assert report.expected_bytes is None
    wrong_number = report_of(change(("filters=12", "filters=12x")), "darknet")
    assert Counter(finding.message for finding in wrong_number.findings).most_common(1)[0][1] == 1


def test_what_darknet_alone_runs_is_a_warning_for_darknet_and_an_error_for_onnx():
    text = change(("pad=1\n", "pad=1\nxnor=1\n"))
    (finding,) = report_of(text, "darknet").findings
    assert (finding.rule, finding.severity, finding.layer) == ("unchecked", "warning", 0)
    assert report_of(text, "onnx").exit_code == 1


def test_json_holds_what_the_text_says():
    report = report_of(change(("=mish", "=gelu"), ("filters=12", "filters=13")), DS)
    content = json.loads(json.dumps(report.to_json()))
    assert content["counts"] == {"error": 2, "warning": 0, "info": 2}
    assert content["target"] == DS
    first = content["findings"][0]
    assert {key: first[key] for key in ("rule", "severity", "file", "line", "section", "layer")} == {
        "rule": "unsupported-activation",
        "severity": "error",
        "file": "net.cfg",
        "line": 24,
        "section": "convolutional",
        "layer": 2,
    }
    text = report.to_text().split("\n")
    assert text[0].startswith("net.cfg:24: error: [convolutional] layer 2: deepstream-yolo knows no activation=gelu")
    assert text[0].endswith("[unsupported-activation]")
    assert text[-1] == "deepstream-yolo: 2 errors, 0 warnings, 2 notes"


def test_unknown_target_and_missing_file_are_refused(tmp_path):
    with pytest.raises(OptionsError, match="target 'tensorrt' is unknown; expected one of darknet, deepstream-yolo"):
        lint(tmp_path / "net.cfg", "tensorrt")
    with pytest.raises(StorageError, match="cfg cannot be read"):
        lint(tmp_path / "net.cfg", "darknet")


# num=16 and 20 anchors: Darknet reads the last head's anchors beyond the end of its array
DAMAGED = {"cspx-p7-mish", "cspx-p7-mish_hp"}


def test_published_cfgs_have_no_errors_for_darknet(reference):
    cfgs = sorted((reference / "cfg").glob("*.cfg"))
    assert len(cfgs) == 55
    assert {cfg.stem for cfg in cfgs if lint(cfg, "darknet").exit_code} == DAMAGED


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("yolov4", set()),
        ("yolov4-tiny", set()),
        ("yolov3", set()),
        ("csresnext50-panet-spp", {"shortcut-sources"}),
        ("enet-coco", {"missing-key", "unsupported-section", "dropout-shift", "other-reading"}),
        ("resnet152_trident", {"shortcut-sources", "ignored-key"}),
        ("Gaussian_yolov3_BDD", {"unsupported-section"}),
    ],
)
def test_published_cfgs_for_deepstream(reference, name, rules):
    findings = lint(reference / "cfg" / f"{name}.cfg", DS).findings
    assert {finding.rule for finding in findings if finding.severity == "error"} == rules
