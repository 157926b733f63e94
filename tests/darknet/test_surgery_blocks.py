"""Residual blocks: which ones there are, and a network without some of them, its references written anew."""

import pytest
import torch
from trained_networks import trained_network

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.surgery_blocks import ResidualBlock, remove_blocks, residual_blocks

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nactivation=leaky\n"
SHORTCUT = "[shortcut]\nfrom={}\nactivation=linear\n"
HEAD = (
    "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"
    "[yolo]\nmask=0\nanchors=4,5\nclasses=1\nnum=1\n"
)  # fmt: skip
BLOCK = CONV * 2 + SHORTCUT.format(-3)


def parse(body: str) -> Cfg:
    return Cfg.parse(NET + body + HEAD, file="made.cfg")


def blocks_of(body: str) -> tuple[ResidualBlock, ...]:
    return residual_blocks(read_sections(parse(body)))


def test_plain_blocks_are_found_in_order():
    assert blocks_of(CONV + BLOCK * 2) == (ResidualBlock(1, 3), ResidualBlock(4, 6))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (CONV + CONV * 2 + "[shortcut]\nfrom=-3\nactivation=leaky\n", "an activation"),
        (CONV + CONV * 2 + SHORTCUT.format(-3).replace("[shortcut]\n", "[shortcut]\nweights_type=per_layer\n"
         "weights_normalization=relu\n"), "weights"),
        (CONV + CONV.replace("filters=4", "filters=6") + SHORTCUT.format(-2), "other channels"),
        (CONV + BLOCK + "[route]\nlayers=-3,-1\n", "its inside is read by a route"),
        (CONV * 2 + "[route]\nlayers=0\n" + CONV + SHORTCUT.format(-3), "its inside reads what lies before"),
        (CONV + BLOCK + CONV.replace("activation", "share_index=1\nactivation"), "weights shared with outside"),
        (CONV * 2 + "[shortcut]\nfrom=-1,-2\nactivation=linear\n", "two sources"),
    ],
    ids=lambda value: value if " " in value and "[" not in value else "",
)  # fmt: skip
def test_what_is_no_block_of_its_own(body, why):
    assert blocks_of(body) == (), why


def test_of_nested_blocks_the_inner_one_counts():
    assert blocks_of(CONV + BLOCK + CONV + SHORTCUT.format(-5)) == (ResidualBlock(1, 3),)


def test_taken_out_the_network_is_what_it_was_with_the_block_silent():
    network = trained_network(parse(CONV + BLOCK * 2 + CONV))
    with torch.no_grad():  # a block that adds nothing
        norm = network.layers[2].get_submodule("bn")
        norm.weight.zero_()
        norm.bias.zero_()
    smaller = remove_blocks(network, residual_blocks(network.sections)[:1])
    images = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(smaller(images), network(images), rtol=0, atol=0)
    assert len(smaller.sections) == len(network.sections) - 3


def test_references_are_written_anew_relative_ones_relative():
    network = trained_network(parse(CONV + BLOCK * 2 + "[route]\nlayers=-4, 6,0\n"))
    both = remove_blocks(network, residual_blocks(network.sections))
    assert [keys.get_ints("layers") for keys in both.cfg.layers if keys.name == "route"] == [
        (-1, 0, 0)
    ]  # layers 3, 6, 0
    first = remove_blocks(network, residual_blocks(network.sections)[:1])
    assert [keys.get_ints("layers") for keys in first.cfg.layers if keys.name == "route"] == [(-4, 3, 0)]
    assert [keys.get_ints("from") for keys in first.cfg.layers if keys.name == "shortcut"] == [(-3,)]
    assert [first.sections[4].inputs, both.sections[1].inputs] == [(0, 3, 0), (0, 0, 0)]


def test_comments_of_what_stays_are_kept():
    text = NET + "# stem\n" + CONV + BLOCK + "# head\n" + HEAD
    network = trained_network(Cfg.parse(text, file="made.cfg"))
    smaller = remove_blocks(network, residual_blocks(network.sections))
    assert "# stem\n" in smaller.cfg.to_text()
    assert smaller.header == network.header
