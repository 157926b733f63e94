"""The table of a network's layers as Darknet prints it, with weights, strides and what is frozen besides.

BFLOPs are Darknet's count (2 a multiplication with addition in convolutions, one a value in pools and shortcuts): of
one picture at the cfg's size, in 10^9.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.freeze_plan import TRAINED, read_freeze_plan
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.base import LayerSection, Shape
from traffic_yolo.darknet.weights import WeightsHeader

SCHEMA_VERSION = 1
SHORT_NAMES = {"convolutional": "conv", "maxpool": "max", "avgpool": "avg", "local_avgpool": "avg"}
# Darknet counts operations in these alone; [avgpool], [sam] and the like count as free.
WINDOWED = ("convolutional", "maxpool", "local_avgpool")
JOINING = ("route", "shortcut", "sam", "scale_channels")  # keep the stride of what they join


@dataclass(frozen=True)
class LayerRow:
    """One layer. Shapes are (width, height, channels), as Darknet prints them.

    `filters`, `groups`, `group_id`, `size`, `dilation` are 0 and `stride_wh` None where the section has none; `reads`
    are the layers of a route or shortcut, empty for the layer before (a route's input is what it joins: its output
    with all groups); `network_stride_wh`: network pixels between two neighbours of the output; `num_weights` float32
    values in the file; `freeze` as in `FreezePlan.state`, empty for a layer without weights.
    """

    index: int
    type: str
    line: int
    filters: int
    groups: int
    group_id: int
    size: int
    stride_wh: tuple[int, int] | None
    dilation: int
    input_whc: tuple[int, int, int]
    output_whc: tuple[int, int, int]
    bflops: float
    num_weights: int
    network_stride_wh: tuple[float, float]
    reads: tuple[int, ...]
    freeze: str


@dataclass(frozen=True)
class NetworkTable:
    """All layers and their sums; `weights_bytes` is the size of the weights file with the 20-byte header."""

    file: str
    layers: tuple[LayerRow, ...]
    bflops: float
    num_weights: int
    weights_bytes: int
    frozen_layers: int

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def to_text(self) -> str:
        """The table for people, one line a layer."""
        header = f"{'layer':>8} {'filters':>12}  {'size/strd(dil)':<15}{'input':^18}    {'output':^18}"
        lines = [f"{header} {'BF':>8} {'weights':>12} {'stride':>7}  frozen"]
        lines += [_row_text(row) for row in self.layers]
        lines.append(f"Total BFLOPS {self.bflops:5.3f}")
        lines.append(
            f"Weights {self.num_weights:,} in {len(self.layers)} layers, a file of {self.weights_bytes:,} bytes"
        )
        if self.frozen_layers:
            lines.append(f"Frozen layers with weights: {self.frozen_layers}")
        return "\n".join(lines)


def network_table(cfg: Cfg) -> NetworkTable:
    """The table of a cfg, without building the network; raises `DarknetFormatError` for a bad cfg."""
    sections = read_sections(cfg)
    plan = read_freeze_plan(cfg)
    max_batches = cfg.net.get_int("max_batches", 0)
    strides = _network_strides(sections)
    rows = tuple(
        _row(section, strides[section.index], plan.state(section.index, max_batches=max_batches))
        for section in sections
    )
    num_weights = sum(row.num_weights for row in rows)
    return NetworkTable(
        file=cfg.file,
        layers=rows,
        bflops=sum(row.bflops for row in rows),
        num_weights=num_weights,
        weights_bytes=WeightsHeader().size_bytes + 4 * num_weights,
        frozen_layers=sum(bool(row.num_weights) and row.freeze != TRAINED for row in rows),
    )


def layer_bflops(section: LayerSection) -> float:
    """Darknet's count for one layer (convolutional_layer.c, maxpool_layer.c, shortcut_layer.c)."""
    name, keys = section.section.name, section.section
    # with antialiasing Darknet counts the layer before its blur takes the steps
    channels, height, width = getattr(section, "sharp_output", section.output)
    if name == "convolutional":
        groups, size = keys.get_int("groups", 1), keys.get_int("size", 1)
        operations = 2.0 * channels * (section.input.channels // groups) * size**2 * height * width
        return operations / (32 if keys.get_int("xnor", 0) else 1) / 1e9
    if name in WINDOWED:
        return _size(section) ** 2 * section.input.channels * height * width / 1e9
    if name == "shortcut":
        weighted = keys.get_str("weights_type", "none") != "none"
        return channels * height * width * (len(section.inputs) - 1) * (2 if weighted else 1) / 1e9
    return 0.0


def _row(section: LayerSection, network_stride: tuple[Fraction, Fraction], freeze: str) -> LayerRow:
    keys, name = section.section, section.section.name
    convolutional, route = name == "convolutional", name == "route"
    size = _size(section)
    dilation = keys.get_int("dilation", 1) if convolutional and size > 1 else 1
    is_usual = section.inputs == (section.index - 1,)
    return LayerRow(
        index=section.index,
        type=name,
        line=keys.line,
        filters=section.output.channels if convolutional else 0,
        groups=keys.get_int("groups", 1) if convolutional or route else 0,
        group_id=keys.get_int("group_id", 0) if route else 0,
        size=size,
        stride_wh=_stride_wh(section) if name in WINDOWED else None,
        dilation=dilation if convolutional else 0,
        input_whc=_joined_whc(section) if route else _whc(section.input),
        output_whc=_whc(section.output),
        bflops=layer_bflops(section),
        num_weights=section.num_weights,
        network_stride_wh=(float(network_stride[0]), float(network_stride[1])),
        reads=() if is_usual and name not in JOINING else section.inputs,
        freeze=freeze if section.num_weights else "",
    )


def _whc(shape: Shape) -> tuple[int, int, int]:
    return shape.width, shape.height, shape.channels


def _joined_whc(route: LayerSection) -> tuple[int, int, int]:
    channels, height, width = route.output
    return width, height, channels * route.section.get_int("groups", 1)


def _size(section: LayerSection) -> int:
    keys = section.section
    if keys.name not in WINDOWED:
        return 0
    return keys.get_int("size", 1 if keys.name == "convolutional" else keys.get_int("stride", 1))


def _stride_wh(section: LayerSection) -> tuple[int, int]:
    """parser.c: stride_x and stride_y where they are given and at least 1, else stride."""
    keys = section.section
    stride = keys.get_int("stride", 1)
    across, down = (value if (value := keys.get_int(key, -1)) >= 1 else stride for key in ("stride_x", "stride_y"))
    return across, down


def _network_strides(sections: Sequence[LayerSection]) -> list[tuple[Fraction, Fraction]]:
    """Per layer, network pixels between two neighbours of its output, across and down; at most the whole picture."""
    strides: list[tuple[Fraction, Fraction]] = []
    _, height, width = sections[0].input
    for section in sections:
        source = section.inputs[0]
        if section.section.name in JOINING:  # [scale_channels] may read a single number a channel first
            alike = (i for i in section.inputs if i >= 0 and sections[i].output[1:] == section.output[1:])
            source = next(alike, source)
        across, down = strides[source] if source >= 0 else (Fraction(1), Fraction(1))
        if section.section.name in WINDOWED:
            stride_x, stride_y = _stride_wh(section)
            across, down = across * stride_x, down * stride_y
        elif section.section.name not in JOINING:
            across *= Fraction(section.input.width, section.output.width)
            down *= Fraction(section.input.height, section.output.height)
        # An output of one pixel has no neighbour, and a slip of the pen may give it any stride.
        strides.append((min(across, Fraction(width)), min(down, Fraction(height))))
    return strides


def _row_text(row: LayerRow) -> str:
    filters = f"{row.filters or ''}" + (f"/{row.groups}" if row.filters and row.groups > 1 else "")
    window = ""
    if row.stride_wh is not None:
        across, down = row.stride_wh
        stride = f"{across:2}" if across == down else f"{across}x{down}"
        window = f"{row.size:2} x{row.size:2}/{stride}" + (f"({row.dilation})" if row.dilation > 1 else "")
    elif row.reads:
        window = " ".join(str(index) for index in row.reads) + (
            f" {row.group_id}/{row.groups}" if row.groups > 1 else ""
        )
    stride_x, stride_y = row.network_stride_wh
    network_stride = f"{stride_x:g}" if stride_x == stride_y else f"{stride_x:g}x{stride_y:g}"
    return (
        f"{row.index:4} {SHORT_NAMES.get(row.type, row.type):<13.13}{filters:>9}  {window:<15}"
        f"{_shape(row.input_whc)} -> {_shape(row.output_whc)} {row.bflops:8.3f} "
        f"{row.num_weights or '':>12} {network_stride:>7}  {'' if row.freeze == TRAINED else row.freeze}"
    ).rstrip()


def _shape(whc: tuple[int, int, int]) -> str:
    return " x".join(f"{length:4}" for length in whc)
