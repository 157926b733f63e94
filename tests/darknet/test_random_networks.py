"""Any valid network: hypothesis puts sections of every type together, and what holds for one network must hold for all.

Sections are proposed one after the other; what the reader refuses (with a message that names its line) is left out, so
that the networks are valid by construction, and refusals are met by the hundred on the way.
"""

import hashlib

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from trained_networks import trained_network

from traffic_yolo.compression.carry import inexact_units, take_out
from traffic_yolo.compression.masking import mask_units
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.lint import lint_cfg
from traffic_yolo.darknet.lint_targets import TARGETS
from traffic_yolo.darknet.modules.activations import ACTIVATIONS
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.darknet.show import network_table
from traffic_yolo.darknet.surgery import change_classes
from traffic_yolo.darknet.surgery_fuse import without_batch_norm
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.errors import DarknetFormatError

NET = "[net]\nwidth={width}\nheight={height}\nchannels=3\nmax_batches=10\n"
HEADS = {
    "yolo": "[yolo]\nmask={mask}\nanchors=4,5, 8,12, 20,9\nclasses={classes}\nnum=3\nscale_x_y=1.1\n",
    "Gaussian_yolo": "[Gaussian_yolo]\nmask={mask}\nanchors=4,5, 8,12, 20,9\nclasses={classes}\nnum=3\n",
    "region": "[region]\nanchors=1,2, 3,2, 2,2\nclasses={classes}\nnum=3\nsoftmax=1\n",
}
activations = st.sampled_from(sorted(ACTIVATIONS))
small = st.integers(1, 4)
back = st.integers(-6, -1)


def text(name: str, **keys: object) -> str:
    """One section; keys that are None are left out."""
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items() if value is not None)


def maybe(strategy):
    return st.none() | strategy


convolutions = st.builds(
    text,
    st.just("convolutional"),
    batch_normalize=maybe(st.sampled_from([1, 1, 0])),
    filters=st.sampled_from([2, 4, 6, 8]),
    size=st.sampled_from([1, 2, 3, 5]),
    stride=maybe(st.sampled_from([1, 1, 2])),
    stride_x=maybe(st.just(2)),
    pad=maybe(st.just(1)),
    padding=maybe(st.integers(0, 2)),
    groups=maybe(st.sampled_from([1, 2, 4])),
    dilation=maybe(st.sampled_from([1, 2])),
    antialiasing=maybe(st.just(1)),
    share_index=maybe(back),
    activation=activations,
)
sources = st.lists(back, min_size=1, max_size=3).map(lambda values: ",".join(map(str, values)))
STRATEGIES = {
    "convolutional": convolutions,
    "maxpool": st.builds(
        text,
        st.just("maxpool"),
        size=small,
        stride=maybe(st.integers(1, 2)),
        padding=maybe(st.integers(0, 3)),
        maxpool_depth=maybe(st.just(1)),
        out_channels=maybe(st.integers(1, 4)),
    ),
    "local_avgpool": st.builds(text, st.just("local_avgpool"), size=small, stride=maybe(st.integers(1, 2))),
    "upsample": st.builds(
        text, st.just("upsample"), stride=st.sampled_from([2, 2, -2]), scale=maybe(st.sampled_from([0.5, 1.5]))
    ),
    "route": st.builds(
        text,
        st.just("route"),
        layers=sources,
        groups=maybe(st.just(2)),
        group_id=maybe(st.integers(0, 1)),
    ),
    "shortcut": st.builds(
        text,
        st.just("shortcut"),
        **{"from": sources},
        weights_type=maybe(st.sampled_from(["per_layer", "per_channel"])),
        weights_normalization=maybe(st.sampled_from(["relu", "softmax"])),
        activation=st.sampled_from(["linear", "leaky", "mish"]),
    ),
    "sam": st.builds(text, st.just("sam"), **{"from": back}),
    "scale_channels": st.builds(text, st.just("scale_channels"), **{"from": back}, scale_wh=maybe(st.just(1))),
    "reorg": st.builds(text, st.just("reorg"), stride=st.just(2)),
    "reorg3d": st.builds(text, st.just("reorg3d"), stride=st.just(2), reverse=maybe(st.just(1))),
    **{
        name: st.builds(text, st.just(name)) for name in ("avgpool", "batchnorm", "empty", "dropout", "cost", "softmax")
    },
    "activation": st.builds(text, st.just("activation"), activation=activations),
    "implicit": st.builds(text, st.just("implicit"), filters=st.sampled_from([2, 4, 8])),
    "connected": st.builds(
        text, st.just("connected"), output=small, batch_normalize=maybe(st.just(1)), activation=activations
    ),
}
assert {*STRATEGIES, *HEADS, "contrastive"} == set(SECTION_TYPES)
ANY_SECTION = st.one_of(*STRATEGIES.values())


@st.composite
def cfgs(draw, required: str) -> Cfg:
    """A valid cfg of up to nine layers and a head, a section of the type `required` among them."""
    net = NET.format(width=draw(st.sampled_from([16, 32])), height=draw(st.sampled_from([16, 32])))
    body: list[str] = []
    first = draw(st.lists(convolutions | ANY_SECTION, max_size=4))
    wanted = draw(st.lists(STRATEGIES[required], min_size=1, max_size=3)) if required in STRATEGIES else []
    for proposed in [*first, *wanted, *draw(st.lists(ANY_SECTION, max_size=2))]:
        try:
            read_sections(Cfg.parse(net + "".join([*body, proposed]), file="made.cfg"))
        except DarknetFormatError as error:
            assert str(error).startswith("made.cfg line "), error  # noqa: PT017
        else:
            body.append(proposed)
    classes, name = draw(st.integers(1, 3)), required if required in HEADS else draw(st.sampled_from(list(HEADS)))
    mask = "0,1,2" if name == "region" else draw(st.sampled_from(["0,1,2", "1,2", "0"]))
    anchors, numbers = len(mask.split(",")), 9 if name == "Gaussian_yolo" else 5
    head = text("convolutional", filters=anchors * (numbers + classes), size=1, pad=1, activation="linear")
    head += HEADS[name].format(mask=mask, classes=classes)
    if required == "contrastive":  # it learns from what a head matched, and so stands behind it
        name = "yolo"
        head = text("convolutional", filters=3 * (5 + classes), size=1, pad=1, activation="linear")
        head += (
            HEADS[name].format(mask="0,1,2", classes=classes)
            + text("route", layers=-2)
            + text("contrastive", yolo_layer=-2)
        )
    while True:
        try:
            cfg = Cfg.parse(net + "".join(body) + head, file="made.cfg")
            read_sections(cfg)
        except DarknetFormatError:  # the last layers leave no grid that divides the input
            body.pop()
        else:
            assume(any(section.name == required for section in cfg.layers))
            return cfg


def check_pruned(network: Network, images: torch.Tensor) -> None:
    """Half of the channels that may go, silenced where they stand or taken out: the same outputs."""
    generator = torch.Generator().manual_seed(2)
    for section, layer in zip(network.sections, network.layers, strict=True):
        for name, tensor in section.weights(layer):
            if name == "biases":
                tensor.data.uniform_(-1, 1, generator=generator)
    ties = channel_ties(network.sections)
    last_of = [set(units.tolist()) for units in ties.outputs]
    removed: set[int] = set()
    for unit in range(0, ties.num_units, 2):
        if unit not in ties.fixed and all(units - removed - {unit} for units in last_of):
            removed.add(unit)
    removed -= inexact_units(network, ties, removed)
    carried = take_out(network, ties, removed)
    assert carried.errors == ()
    with torch.no_grad():
        for expected, found in zip(mask_units(network, ties, removed)(images), carried.network(images), strict=True):
            scale = float(expected.abs().max()) if bool(expected.isfinite().all()) else 1.0
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * max(scale, 1), equal_nan=True)
    assert carried.network.num_weights < network.num_weights or not removed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("random")


@pytest.mark.many(7)
@pytest.mark.parametrize("required", SECTION_TYPES)
@examples(3, suppress_health_check=list(HealthCheck))
@given(data=st.data(), wide=st.booleans())
def test_any_valid_network_with_such_a_section_keeps_its_promises(folder, required, data, wide):
    cfg = data.draw(cfgs(required))
    network = trained_network(cfg)
    images = torch.rand((2, 3, *network.input_hw), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs, logits = network.layer_outputs(images), network(images)
    for section, output in zip(network.sections, outputs, strict=True):
        assert tuple(output.shape[1:]) == tuple(section.output), section.section
    decoded = decode(network.heads, logits, network.input_hw)
    assert decoded.boxes_cxcywh_norm.shape[1] == sum(
        output.shape[2] * output.shape[3] * head.num_anchors for head, output in zip(network.heads, logits, strict=True)
    )

    header = WeightsHeader(0, 2, 5, 2**35) if wide else WeightsHeader(0, 1, 0, 5)
    network.save_weights(folder / "a.weights", header=header)
    assert (folder / "a.weights").stat().st_size == header.size_bytes + 4 * network.num_weights
    again = Network.read(Cfg.parse(cfg.to_text(), file="made.cfg"), folder / "a.weights").eval()
    again.save_weights(folder / "b.weights")
    digests = {hashlib.sha256((folder / name).read_bytes()).digest() for name in ("a.weights", "b.weights")}
    assert len(digests) == 1

    with torch.no_grad():
        for expected, same, fused, plain in zip(
            logits, again(images), network.fuse()(images), without_batch_norm(network)(images), strict=True
        ):
            torch.testing.assert_close(same, expected, rtol=0, atol=0)
            scale = float(expected.abs().max()) if bool(expected.isfinite().all()) else 1.0
            for found in (fused, plain):
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * max(scale, 1), equal_nan=True)

    check_pruned(network, images)

    assert len(network_table(cfg).layers) == len(cfg.layers)
    for target in TARGETS:
        assert lint_cfg(cfg, target).to_json()["target"] == target
    names = [f"c{index}" for index in range(network.num_classes)]
    changed = change_classes(network, names, [*names, "more"], seeds={"more": "c0"})
    assert changed.num_classes == len(names) + 1
    assert np.isfinite(changed.num_weights)
