"""Every published detector cfg: read and written, built, weights there and back, surgery, lint and show; or refused."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.lint import lint_cfg
from traffic_yolo.darknet.lint_targets import TARGETS
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.yolo import HeadSection
from traffic_yolo.darknet.show import network_table
from traffic_yolo.darknet.surgery import change_classes, change_input_size, head_convolution, rows_per_anchor
from traffic_yolo.darknet.surgery_anchors import change_anchors
from traffic_yolo.darknet.surgery_partial import cut_backbone, plan_cut
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.errors import DarknetFormatError, OptionsError

FOLDER = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
FILES = sorted([*FOLDER.glob("cfg/*.cfg"), *FOLDER.glob("weights/*.cfg")])
NAMES = [file.stem for file in FILES]

# The part of the message that gives the reason.
REFUSED = {
    "cspx-p7-mish": r"mask: expected numbers from 0 to 15 \(num=16 and 20 anchors\)",
    "cspx-p7-mish_hp": "anchors: expected pairs of width,height, found 31 numbers",
    "t1.test": "the head of YOLO version 1",
    "tiny-yolo_xnor": "xnor=1 is not supported: binary kernels",
    "yolov3-tiny_occlusion_track": r"\[crnn\]: this section type is not supported: it keeps a state",
    "yolov3-tiny_xnor": "xnor=1 is not supported: binary kernels",
}
# Built and written back, but a part of it is Darknet's alone.
IN_PART = {"yolo9000": "tree=data/9k.tree is not supported: its boxes need that file's classes"}
# Of all keys in all published cfgs, Darknet reads these nowhere: slips of their authors, or of another fork.
UNREAD_KEYS = {
    "Gaussian_yolov3_BDD": {"Darknet passes over max_epochs= in [net]"},
    "yolov4-sam-mish-csp-reorg-bfm": {
        "Darknet passes over beta1= in [yolo]",
        "Darknet passes over uc_normalizer= in [yolo]",
    },
}
# Their backbones go deeper than their coarsest head.
DEEPER_THAN_HEADS = {"yolov4-sam-mish-csp-reorg-bfm": "128 x 128 fits", "yolov4-tiny_contrastive": "32 x 32 fits"}
# More weights than this take seconds each: with TRAFFIC_YOLO_SLOW=1.
MANY_WEIGHTS = 10_000_000
# `seen` of 64 bits, of 32, and kernels that lie transposed: of a small network here, of all with TRAFFIC_YOLO_SLOW=1.
EVERY_HEADER = {"yolo-fastest-1.1"}
SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"

pytestmark = pytest.mark.skipif(not FILES, reason=f"reference material not found at {FOLDER}")
every_cfg = pytest.mark.parametrize("file", FILES, ids=NAMES)
every_readable_cfg = pytest.mark.parametrize(
    "file", [file for file in FILES if file.stem not in REFUSED], ids=[name for name in NAMES if name not in REFUSED]
)


@pytest.fixture
def small_enough():
    """A function that skips a test of a network with many weights, unless the slow tests are wanted."""

    def check(cfg: Cfg) -> None:
        total = sum(section.num_weights for section in read_sections(cfg))
        if total > MANY_WEIGHTS and not SLOW:
            pytest.skip(f"{total / 1e6:.0f} million weights: TRAFFIC_YOLO_SLOW=1 runs it")

    return check


def write_random_weights(path: Path, header: WeightsHeader, cfg: Cfg) -> str:
    """Writes a file of the cfg's size, with any finite float32 values in it; returns its sha256."""
    generator = np.random.default_rng(0)
    data = [header.to_bytes()]
    for section in read_sections(cfg):
        values = generator.random(section.num_weights, dtype=np.float32)
        values -= np.float32(0.5)
        data.append(values.tobytes())
    content = b"".join(data)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_cfg_is_missing_from_the_lists():
    assert len(FILES) == 57
    assert set(REFUSED) | set(IN_PART) <= set(NAMES)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_is_refused_with_line_and_reason(name):
    file = FILES[NAMES.index(name)]
    with pytest.raises(DarknetFormatError, match=REFUSED[name]) as caught:
        read_sections(Cfg.read(file))
    assert re.match(rf"{re.escape(str(file))} line \d+ \[\w+\]: ", str(caught.value))


@every_cfg
def test_the_text_is_written_back_byte_for_byte(file, tmp_path):
    Cfg.read(file).write(tmp_path / "again.cfg")
    assert (tmp_path / "again.cfg").read_bytes() == file.read_bytes()


@pytest.mark.many(40)
@every_cfg
@pytest.mark.parametrize("target", TARGETS)
def test_lint_finds_every_key_known_and_names_what_a_runtime_cannot_do(file, target):
    report = lint_cfg(Cfg.read(file), target)
    if file.stem in REFUSED and target != "darknet":  # Darknet itself runs what we refuse, or reads past an array
        assert report.exit_code == 1
    unknown = {finding.message for finding in report.findings if finding.rule == "unknown-key"}
    assert unknown == UNREAD_KEYS.get(file.stem, set())


@pytest.mark.many(12)
@every_readable_cfg
def test_show_adds_up(file):
    cfg = Cfg.read(file)
    table, sections = network_table(cfg), read_sections(cfg)
    assert [row.output_whc for row in table.layers] == [section.output[::-1] for section in sections]
    assert table.num_weights == sum(section.num_weights for section in sections)
    assert table.bflops == pytest.approx(sum(row.bflops for row in table.layers))
    assert len(table.to_text().splitlines()) > len(sections)


HEADERS = [WeightsHeader(0, 2, 5, 2**40 + 3), WeightsHeader(0, 1, 0, 2**31 + 7), WeightsHeader(0, 1001, 0, 9)]


@pytest.mark.many(12)
@every_readable_cfg
def test_weights_are_the_same_bytes_after_a_network_held_them(file, small_enough, tmp_path):
    cfg = Cfg.read(file)
    small_enough(cfg)
    for header in HEADERS if file.stem in EVERY_HEADER or SLOW else HEADERS[:1]:
        expected = write_random_weights(tmp_path / "a.weights", header, cfg)
        network = Network.read(cfg, tmp_path / "a.weights")
        network.save_weights(tmp_path / "b.weights")
        assert sha256(tmp_path / "b.weights") == expected
        assert network.header == header


@pytest.mark.many(12)
@every_readable_cfg
def test_a_backbone_cut_loads_and_the_rest_stays(file, small_enough, tmp_path):
    cfg = Cfg.read(file)
    small_enough(cfg)
    write_random_weights(tmp_path / "a.weights", WeightsHeader(), cfg)
    layers = len(cfg.layers) // 2
    cut = cut_backbone(cfg, tmp_path / "a.weights", layers, tmp_path / "cut")
    assert cut == plan_cut(cfg, layers)
    assert (tmp_path / "cut").stat().st_size == cut.num_bytes
    assert (tmp_path / "cut").read_bytes()[20:] == (tmp_path / "a.weights").read_bytes()[20 : cut.num_bytes]
    network = Network.from_cfg(cfg, seed=1)
    untouched = [(name, tensor.clone()) for name, tensor in tensors_from(network, layers)]
    network.load_weights(tmp_path / "cut", partial=True)
    for (name, before), (_, after) in zip(untouched, tensors_from(network, layers), strict=True):
        assert torch.equal(before, after), name


def tensors_from(network: Network, start: int) -> list[tuple[str, torch.Tensor]]:
    """The arrays of every layer from `start` on."""
    pairs = zip(network.sections[start:], list(network.layers)[start:], strict=True)
    return [(f"{section.index} {name}", tensor) for section, layer in pairs for name, tensor in section.weights(layer)]


@pytest.mark.many(12)
@every_readable_cfg
def test_classes_are_changed_in_every_head_and_the_rows_that_stay_are_the_same(file, small_enough):
    cfg = Cfg.read(file)
    small_enough(cfg)
    network = Network.from_cfg(cfg, seed=0)
    names = [f"old{index}" for index in range(network.num_classes)]
    if file.stem in IN_PART:
        with pytest.raises(DarknetFormatError, match="the classes cannot be changed: tree=data/9k.tree orders the old"):
            change_classes(network, names, names[:2])
        for key in ("tree", "map"):
            network.cfg.layers[-1].remove(key)
        network = Network(network.cfg, seed=0)
    wanted = ["NEW", *dict.fromkeys([names[-1], names[0]])]
    changed = change_classes(network, names, wanted, seeds={"NEW": names[0]})
    for head, new_head in zip(network.heads, changed.heads, strict=True):
        assert new_head.num_classes == len(wanted)
        old_rows = head_rows(network, head)  # (A, entries, arrays)
        new_rows = head_rows(changed, new_head)
        first = rows_per_anchor(head) - head.num_classes
        parents = [0, *(names.index(name) for name in wanted[1:])]
        expected = torch.cat([old_rows[:, :first], old_rows[:, [first + parent for parent in parents]]], dim=1)
        assert torch.equal(new_rows, expected)
    heads = {head_convolution(network, head) for head in network.heads}
    for section, before, after in zip(network.sections, network.layers, changed.layers, strict=True):
        if section.index not in heads:
            for (_, old), (_, new) in zip(section.weights(before), section.weights(after), strict=True):
                assert torch.equal(old, new)


def head_rows(network: Network, head) -> torch.Tensor:
    """(A, rows per anchor, values): bias, batch-norm and kernel of each row of the head's convolution."""
    index = head_convolution(network, head)
    arrays = [tensor.detach().flatten(1) if tensor.ndim > 1 else tensor.detach()[:, None]
              for _, tensor in network.sections[index].weights(network.layers[index])]  # fmt: skip
    return torch.cat(arrays, dim=1).unflatten(0, (head.num_anchors, -1))


@pytest.mark.many(12)
@every_readable_cfg
def test_another_size_keeps_every_weight_or_says_which_layer_cannot(file):
    cfg = Cfg.read(file)
    stride = max(section.head.stride for section in read_sections(cfg) if isinstance(section, HeadSection))
    if file.stem in DEEPER_THAN_HEADS:
        with pytest.raises(OptionsError, match=f"does not fit: .* found layer .*; .*{DEEPER_THAN_HEADS[file.stem]}"):
            change_input_size(cfg, (stride * 4, stride * 3))
    factor = 4 if file.stem in DEEPER_THAN_HEADS else 1
    changed = change_input_size(cfg, (stride * 4 * factor, stride * 3 * factor))
    sizes = [section.num_weights for section in read_sections(changed)]
    assert sizes == [section.num_weights for section in read_sections(cfg)]
    assert changed.net.get_int("width", 0) == stride * 4 * factor


@pytest.mark.many(12)
@every_readable_cfg
def test_anchors_are_changed_in_every_head(file, small_enough):
    cfg = Cfg.read(file)
    small_enough(cfg)
    network = Network.from_cfg(cfg)
    old = network.heads[0].anchors
    wanted = [(width + 1.0, height + 2.0) for width, height in old]
    changed = change_anchors(network, wanted)
    for head in changed.heads:
        np.testing.assert_allclose(head.anchors, wanted, rtol=1e-5)
