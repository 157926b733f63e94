"""Which channels go only together: small networks by hand, every published cfg, and a section that does not say."""

import os
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import ChannelTies, channel_ties
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelTying
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.errors import DarknetFormatError

FOLDER = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
FILES = sorted([*FOLDER.glob("cfg/*.cfg"), *FOLDER.glob("weights/*.cfg")])

HEAD = """
[convolutional]
filters=6
size=1
activation=linear
[yolo]
mask=0
anchors=4,5
classes=1
num=1
"""


def ties_of(body: str, *, size: int = 32) -> ChannelTies:
    """The ties of `body` between a [net] and a head."""
    text = f"[net]\nwidth={size}\nheight={size}\nchannels=3\n{body}{HEAD}"
    return channel_ties(read_sections(Cfg.parse(text, file="made.cfg")))


def conv(filters: int, **keys: object) -> str:
    lines = "".join(f"{key}={value}\n" for key, value in keys.items())
    return f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=1\nactivation=leaky\n{lines}"


def alike(*channels: np.ndarray) -> bool:
    """Whether the units of these channel arrays are the same, place by place."""
    return all(np.array_equal(channels[0], other) for other in channels[1:])


def test_convolutions_have_channels_of_their_own_and_only_picture_and_head_are_fixed():
    ties = ties_of(conv(4) + conv(3))
    assert [len(set(units.tolist())) for units in ties.outputs] == [4, 3, 6, 6]
    assert ties.num_units == 3 + 4 + 3 + 6
    assert {reason: list(ties.fixed.values()).count(reason) for reason in set(ties.fixed.values())} == {
        "the picture's own channels": 3,
        "[yolo] reads it": 6,
    }
    assert alike(ties.inputs[1][0], ties.outputs[0])
    assert ties.layers_of[ties.outputs[0][2]] == (0,)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("maxpool", "size=2\nstride=2\n"),
        ("local_avgpool", "size=2\nstride=2\n"),
        ("upsample", "stride=2\n"),
        ("dropout", ""),
        ("batchnorm", ""),
        ("empty", ""),
        ("activation", "activation=leaky\n"),
    ],
)
def test_a_layer_that_works_on_each_channel_alone_passes_it_on(name, keys):
    ties = ties_of(conv(4, stride=2) + f"[{name}]\n{keys}")
    assert alike(ties.outputs[0], ties.outputs[1])
    assert len(set(ties.outputs[1].tolist())) == 4


def test_shortcut_ties_both_sides_channel_by_channel():
    ties = ties_of(conv(4) + conv(4) + "[shortcut]\nfrom=-2\nactivation=linear\n")
    assert alike(*ties.outputs[:3])
    assert ties.layers_of[ties.outputs[0][0]] == (0, 1, 2)


@pytest.mark.parametrize(("source", "before"), [(6, 4), (4, 6)])
def test_shortcut_of_other_channels_ties_the_first_ones_alone(source, before):
    ties = ties_of(conv(source) + conv(before) + "[shortcut]\nfrom=-2\nactivation=linear\n")
    assert alike(ties.outputs[0][:4], ties.outputs[1][:4])
    assert not set(ties.outputs[0][4:].tolist()) & set(ties.outputs[1].tolist())
    assert alike(ties.outputs[2], ties.outputs[1])


def test_weighted_shortcut_of_three_ties_all_three():
    keys = "from=-2,-3\nactivation=linear\nweights_type=per_channel\nweights_normalization=softmax\n"
    ties = ties_of(conv(4) * 3 + f"[shortcut]\n{keys}")
    assert alike(*ties.outputs[:4])


def test_route_joins_in_order_and_ties_nothing():
    ties = ties_of(conv(2) + conv(3) + "[route]\nlayers=-1,-2\n")
    assert ties.outputs[2].tolist() == [*ties.outputs[1].tolist(), *ties.outputs[0].tolist()]
    assert len(set(ties.outputs[2].tolist())) == 5


def test_route_of_a_group_ties_the_halves_so_that_they_stay_equally_long():
    ties = ties_of(conv(6) + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n")
    assert alike(ties.outputs[0][:3], ties.outputs[0][3:], ties.outputs[1])


def test_depthwise_convolution_goes_with_what_it_reads():
    ties = ties_of(conv(4) + conv(4, groups=4))
    assert alike(ties.outputs[0], ties.outputs[1])
    assert len(set(ties.outputs[1].tolist())) == 4


def test_groups_of_a_convolution_go_whole():
    ties = ties_of(conv(4) + conv(6, groups=2))
    assert len(set(ties.outputs[0][:2].tolist()) | set(ties.outputs[1][:3].tolist())) == 1
    assert len(set(ties.outputs[0][2:].tolist()) | set(ties.outputs[1][3:].tolist())) == 1
    assert ties.outputs[0][0] != ties.outputs[0][2]


def test_shared_weights_tie_both_uses():
    ties = ties_of(conv(4) + conv(5) + conv(4) + conv(5, share_index=1))
    assert alike(ties.outputs[0], ties.outputs[2])
    assert alike(ties.outputs[1], ties.outputs[3])


@pytest.mark.parametrize("name", ["sam", "scale_channels"])
def test_factors_go_with_what_they_multiply(name):
    pool = "[avgpool]\n" if name == "scale_channels" else ""
    ties = ties_of(conv(4) + pool + conv(4) + f"[{name}]\nfrom={-3 if pool else -2}\n")
    last = 3 if pool else 2
    assert alike(ties.outputs[0], ties.outputs[last - 1], ties.outputs[last])


def test_a_factor_for_each_pixel_keeps_its_source():
    ties = ties_of(conv(4) + conv(1) + "[scale_channels]\nfrom=-2\nscale_wh=1\n")
    assert {ties.fixed[unit] for unit in ties.outputs[0].tolist()} == {"scale_wh=1 multiplies it pixel by pixel"}


def test_depth_pool_ties_all_that_one_output_is_the_largest_of():
    ties = ties_of(conv(5) + "[maxpool]\nmaxpool_depth=1\nout_channels=2\n")
    read, made = ties.outputs[:2]
    assert read.tolist() == [made[0], made[1], made[0], made[1], made[0]]


def test_reorg3d_repeats_channels_for_each_pixel_of_a_block():
    ties = ties_of(conv(2) + "[reorg3d]\nstride=2\n")
    assert ties.outputs[1].tolist() == ties.outputs[0].tolist() * 4


def test_reorg3d_reversed_ties_what_its_detour_mixes():
    ties = ties_of(conv(32, stride=2) + "[reorg3d]\nstride=2\nreverse=1\n")
    first, second = ties.outputs[0][0], ties.outputs[0][4]
    assert ties.outputs[0].tolist() == ([first] * 4 + [second] * 4) * 4
    assert ties.outputs[1].tolist() == [first] * 4 + [second] * 4


def test_reorg_ties_the_four_that_share_a_plane():
    ties = ties_of(conv(8) + "[reorg]\nstride=2\n")
    first, second = ties.outputs[0][0], ties.outputs[0][4]
    assert ties.outputs[0].tolist() == [first] * 4 + [second] * 4
    assert ties.outputs[1].tolist() == ([first] * 4 + [second] * 4) * 4


def test_reorg_reversed_ties_the_pixels_of_a_block():
    ties = ties_of(conv(8, stride=2) + "[reorg]\nstride=2\nreverse=1\n")
    assert ties.outputs[0].tolist() == ties.outputs[1].tolist() * 4


def test_activation_over_all_channels_of_a_pixel_fixes_them():
    ties = ties_of("[convolutional]\nfilters=4\nsize=1\nactivation=normalize_channels\n")
    assert all("looks at all channels" in ties.fixed[unit] for unit in ties.outputs[0].tolist())


def test_one_fixed_channel_fixes_all_that_are_tied_to_it():
    ties = ties_of(conv(3) + "[shortcut]\nfrom=0\nactivation=linear\n" + conv(3) + "[sam]\nfrom=-2\n")
    assert not ties.fixed.keys() & set(ties.outputs[0].tolist())
    body = "[convolutional]\nfilters=4\nsize=1\nactivation=normalize_channels\n[dropout]\n" + conv(4)
    tied = ties_of(body + "[shortcut]\nfrom=-2\nactivation=linear\n")
    assert set(tied.outputs[2].tolist()) <= tied.fixed.keys()


def test_kept_are_the_places_of_all_other_units():
    ties = ties_of(conv(4) + "[route]\nlayers=-1,-1\n")
    removed = {int(ties.outputs[0][1])}
    assert ties.kept(ties.outputs[0], removed).tolist() == [0, 2, 3]
    assert ties.kept(ties.outputs[1], removed).tolist() == [0, 2, 3, 4, 6, 7]
    assert ties.kept(ties.outputs[0], set()).tolist() == [0, 1, 2, 3]


def test_every_section_type_says_how_its_channels_are_tied():
    silent = [name for name, kind in SECTION_TYPES.items() if kind.tie_channels is LayerSection.tie_channels]
    assert silent == []


def test_a_section_that_does_not_say_is_refused_by_line_and_name(monkeypatch):
    monkeypatch.setattr(SECTION_TYPES["upsample"], "tie_channels", LayerSection.tie_channels)
    expected = r"made.cfg line 11 \[upsample\]: how its channels depend on those it reads is not known: it cannot be"
    with pytest.raises(DarknetFormatError, match=expected):
        ties_of(conv(4, stride=2) + "[upsample]\nstride=2\n")


def test_the_older_channel_stands_for_all_that_are_tied():
    tying = ChannelTying(1)
    first, second, third = (tying.new(2) for _ in range(3))
    tying.tie(third, second)
    tying.tie(second, first)
    assert [tying.root(channel) for channel in third.tolist()] == first.tolist()
    assert tying.reasons() == {0: "the picture's own channels"}


@pytest.mark.skipif(not FILES, reason=f"reference material not found at {FOLDER}")
def test_every_published_cfg_has_channels_that_can_go_and_heads_that_stay():
    found = {}
    for file in FILES:
        try:
            sections = read_sections(Cfg.read(file))
        except DarknetFormatError:
            continue  # tests/darknet/test_every_published_cfg.py lists them
        if sum(section.num_weights for section in sections) > 30_000_000:
            continue
        ties = channel_ties(sections)
        for section, units in zip(sections, ties.outputs, strict=True):
            assert len(units) == section.output.channels
            if section.section.name in ("yolo", "region", "Gaussian_yolo"):
                assert set(ties.inputs[section.index][0].tolist()) <= ties.fixed.keys()
        found[file.stem] = ties.num_units - len(ties.fixed)
    assert len(found) > 15
    assert all(free > 100 for free in found.values()), found
