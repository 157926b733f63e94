"""The layer table against Darknet's own numbers, and what Darknet does not print against the network itself."""

import json

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.yolo import HeadSection
from traffic_yolo.darknet.show import network_table
from traffic_yolo.errors import DarknetFormatError

GOLDEN = [
    *("yolov3", "yolov3-spp", "yolov3-tiny", "yolov3-tiny-prn", "yolov4", "yolov4-csp", "yolov4-tiny"),
    *("yolov4-tiny-3l", "yolov4x-mish", "yolov7-tiny"),
]


@pytest.mark.parametrize("name", GOLDEN)
def test_table_is_darknets(reference, name):
    cfg = reference / "golden" / "cfg" / f"{name}-160x128.cfg"
    golden = json.loads(cfg.with_name(f"{cfg.name}.net.json").read_text())["layers"]
    table = network_table(Cfg.read(cfg))
    assert len(table.layers) == len(golden)
    for row, expected in zip(table.layers, golden, strict=True):
        assert row.type == expected["type"]
        assert row.output_whc == (expected["out_w"], expected["out_h"], expected["out_c"])
        assert row.bflops == pytest.approx(expected["bflops"], abs=6e-7)  # the file has six digits
        if row.type in ("convolutional", "maxpool"):
            assert row.input_whc == (expected["w"], expected["h"], expected["c"])
            assert (row.size, *row.stride_wh) == (expected["size"], expected["stride_x"], expected["stride_y"])
        if row.type == "convolutional":
            assert (row.filters, row.groups, row.dilation) == (expected["n"], expected["groups"], expected["dilation"])
        if row.type == "route":
            assert list(row.reads) == expected["from"]
    assert table.bflops == pytest.approx(sum(row["bflops"] for row in golden), abs=1e-4)
    assert f"Total BFLOPS {sum(row['bflops'] for row in golden):5.3f}" in table.to_text()


@pytest.mark.parametrize(
    ("name", "bflops", "size"),
    [("yolov4", "128.459", 257_717_640), ("yolov4-tiny", "6.910", 24_251_276), ("yolov3", "65.879", 248_007_048)],
)
def test_published_totals(reference, name, bflops, size):
    table = network_table(Cfg.read(reference / "cfg" / f"{name}.cfg"))
    assert f"Total BFLOPS {bflops}\n" in table.to_text()
    assert table.weights_bytes == size


def test_layers_with_antialiasing_count_before_the_blur_takes_the_steps():
    """By hand, as Darknet prints: 2 x 8 x 3 x 3^2 x 64^2 of the convolution, 2^2 x 8 x 32^2 of the pool."""
    convolution = "[conv]\nfilters=8\nsize=3\nstride=2\npad=1\nantialiasing=1\nactivation=leaky\n"
    pool = "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n"
    head = "[conv]\nfilters=7\nactivation=linear\n[yolo]\nmask=0\nanchors=1,1\nnum=1\nclasses=2\n"
    rows = network_table(Cfg.parse(f"[net]\nwidth=64\nheight=64\nchannels=3\n{convolution}{pool}{head}")).layers
    assert [row.bflops for row in rows[:2]] == pytest.approx([1769472e-9, 32768e-9])
    assert [row.output_whc for row in rows[:2]] == [(32, 32, 8), (16, 16, 8)]


def test_strides_lead_to_the_heads(small_cfg):
    cfg = Cfg.parse(small_cfg)
    rows = network_table(cfg).layers
    assert [rows[head.layer_index].network_stride_wh for head in Network(cfg).heads] == [(8, 8), (4, 4)]
    assert [row.network_stride_wh[0] for row in rows] == [2, 2, 2, 2, 4, 8, 8, 8, 8, 8, 4, 4, 4, 4]
    cfg.layers[0].set("stride_x", 1)
    cfg.layers[4].set("stride_x", 4)
    rows = network_table(cfg).layers
    assert [rows[index].stride_wh for index in (0, 4)] == [(1, 2), (4, 2)]
    assert [rows[index].network_stride_wh for index in (0, 3, 4, 8, 13)] == [(1, 2), (1, 2), (4, 4), (8, 8), (4, 4)]
    assert " 3 x 3/1x2 " in network_table(cfg).to_text().splitlines()[1]


def test_strides_lead_to_the_heads_of_every_published_network(reference):
    checked = 0
    for path in sorted((reference / "cfg").glob("*.cfg")):
        try:
            cfg = Cfg.read(path)
            rows, sections = network_table(cfg).layers, read_sections(cfg)
        except DarknetFormatError:  # what is refused, test_network tells
            continue
        heads = [section.head for section in sections if isinstance(section, HeadSection)]
        assert [rows[head.layer_index].network_stride_wh for head in heads] == [(h.stride, h.stride) for h in heads]
        checked += bool(heads)
    assert checked >= 45


def test_text_tells_layers_groups_weights_and_what_is_frozen(small_cfg):
    cfg = Cfg.parse(small_cfg)
    cfg.layers[3].set("stopbackward", 1)
    table = network_table(cfg)
    text = table.to_text().splitlines()
    assert " ".join(text[0].split()) == "layer filters size/strd(dil) input output BF weights stride frozen"
    assert " ".join(text[1].split()) == "0 conv 8 3 x 3/ 2 64 x 32 x 3 -> 32 x 16 x 8 0.000 248 2 frozen"
    assert text[2].split()[:3] == ["1", "conv", "8/4"]
    assert text[4].split()[:4] == ["3", "route", "2", "1/2"]
    assert text[5].split()[-1] == "4"
    assert text[-1] == "Frozen layers with weights: 2"
    num_weights = Network(cfg).num_weights
    assert f"Weights {num_weights:,} in 14 layers, a file of {20 + 4 * num_weights:,} bytes" in text


def test_json_holds_the_same(small_cfg):
    table = network_table(Cfg.parse(small_cfg))
    again = json.loads(json.dumps(table.to_json()))
    assert again["schema_version"] == 1
    assert len(again["layers"]) == 14
    assert again["layers"][4]["network_stride_wh"] == [4, 4]
    assert again["num_weights"] == sum(row["num_weights"] for row in again["layers"])
