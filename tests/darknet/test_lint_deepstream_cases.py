"""Cfgs that Darknet reads and DeepStream-Yolo's builder reads otherwise, or alike: each by its name, with its verdict."""

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.lint import lint_cfg


def conv(
    filters: str = "8", *, stride: int = 2, normalize: str = "1", activation: str = "leaky", more: str = ""
) -> str:
    return (
        f"[convolutional]\nbatch_normalize={normalize}\nfilters={filters}\nsize=3\nstride={stride}\npad=1\n"
        f"{more}activation={activation}"
    )


def head(activation: str = "linear") -> str:
    return f"[convolutional]\nfilters=14\nsize=1\nstride=1\npad=1\nactivation={activation}"


def region(*lines: str) -> str:
    return "\n".join(["[region]\nanchors=1,1,2,2\nclasses=2\nnum=2", *lines])


NET = "[net]\nwidth=64\nheight=64\nchannels=3"
YOLO = "[yolo]\nmask=0,1\nanchors=10,10,20,20\nclasses=2\nnum=2"
WARNINGS = ("unknown-key", "new-coords-activation", "foreign-activation")  # of the rules below; the others are errors
ROUTE = "[route]\nlayers=1"
# name -> the sections, and what is found beside notes: the rule, and the key or section of the line
CASES: dict[str, tuple[list[str], list[tuple[str, str]]]] = {
    "anchors-trailing-comma": ([NET, conv(), conv(), head(), YOLO.replace("20,20", "20,20,")], []),
    "avgpool": ([NET, conv(), conv(), "[avgpool]", ROUTE, head(), YOLO], [("other-reading", "[avgpool]")]),
    "bias-key": (
        [NET, conv(more="bias=1\n"), conv(), head(), YOLO], [("other-reading", "bias=1"), ("unknown-key", "bias=1")],
    ),
    "bn-comment": (
        [NET, conv(normalize="1 # yes"), conv(), head(), YOLO], [("other-reading", "batch_normalize=1 # yes")],
    ),
    "eps-key": (
        [NET, conv(more="eps=0.001\n"), conv(), head(), YOLO],
        [("other-reading", "eps=0.001"), ("unknown-key", "eps=0.001")],
    ),
    "implicit-atoms": (
        [NET, conv(), conv(), "[implicit]\nfilters=8\natoms=2", ROUTE, head(), YOLO], [("ignored-key", "atoms=2")],
    ),
    "implicit-nofilters": (
        [NET, conv(), conv(), "[implicit]", ROUTE, head(), YOLO], [("missing-key", "[implicit]")],
    ),
    "inner-blank": ([NET, conv("1 6"), conv(), head(), YOLO], [("inner-blank", "filters=1 6")]),
    "logistic-no-newcoords": ([NET, conv(), head("logistic"), YOLO], [("new-coords-activation", "[yolo]")]),
    "maxpool21": ([NET, conv(), conv(), "[maxpool]\nsize=2\nstride=1", head(), YOLO], []),
    "maxpool3s2p1": (
        [NET, conv(), conv(), "[maxpool]\nsize=3\nstride=2\npadding=1", head(), YOLO], [("window-padding", "size=3")],
    ),
    "newcoords-linear": (
        [NET, conv(), head(), f"{YOLO}\nnew_coords=1\nscale_x_y=2.0"], [("new-coords-activation", "new_coords=1")],
    ),
    "region-classfix": (
        [NET, conv(), conv(), head(), region("softmax=1", "classfix=-1")], [("other-reading", "classfix=-1")],
    ),
    "region-softmax0": ([NET, conv(), conv(), head(), region("softmax=0")], [("other-reading", "softmax=0")]),
    "reorg-reverse": (
        [NET, conv(), conv(), "[reorg]\nstride=2\nreverse=1", head(), YOLO], [("ignored-key", "reverse=1")],
    ),
    "reorg3d": ([NET, conv(), conv(), "[reorg3d]\nstride=2", head(), YOLO], [("other-reading", "[reorg3d]")]),
    "reorg3d32": (
        [NET, conv(), conv(), conv("32", stride=1), "[reorg3d]\nstride=2", head(), YOLO],
        [("other-reading", "[reorg3d]")],
    ),
    "route-groups-of-two": (
        [NET, conv(), conv(), conv(stride=1), "[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1", head(), YOLO],
        [("other-reading", "groups=2")],
    ),
    "route_lhalf": ([NET, conv(), "[route_lhalf]\nlayers=-1", head(), YOLO], [("unsupported-section", "[route_lhalf]")]),
    "shortcut-abs0": (
        [NET, conv(), conv(stride=1), conv(stride=1), "[shortcut]\nfrom=0\nactivation=linear", head(), YOLO],
        [("other-reading", "from=0")],
    ),
    "shortcut-abs1": (
        [NET, conv(), conv(), conv(stride=1), "[shortcut]\nfrom=1\nactivation=linear", head(), YOLO], [],
    ),
    "silu": ([NET, conv(activation="silu"), head(), YOLO], [("foreign-activation", "activation=silu")]),
    "trailing-blank": ([NET.replace("[net]", "[net] "), conv(), conv(), head(), YOLO], []),
    "upsample-scale": (
        [NET, conv(), conv(), "[upsample]\nstride=2\nscale=2", head(), YOLO], [("ignored-key", "scale=2")],
    ),
    "yolo-and-region": ([NET, conv(), conv(), head(), YOLO, ROUTE, head(), region("softmax=1")], []),
    "yolo-without-mask": (
        [NET, conv(), conv(), head(), YOLO.replace("mask=0,1\n", "")], [("other-reading", "anchors=10,10,20,20")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("name", CASES)
def test_what_the_builder_reads_otherwise_is_found_at_its_line(name: str, ending: str) -> None:
    sections, expected = CASES[name]
    text = ("\n\n".join(sections) + "\n").replace("\n", ending)
    report = lint_cfg(Cfg.parse(text), "deepstream-yolo")
    lines = text.splitlines()
    found = [(each.rule, lines[(each.line or 0) - 1]) for each in report.findings if each.severity != "info"]
    assert found == expected
    wrong = [each for each in report.findings if each.severity == ("error" if each.rule in WARNINGS else "warning")]
    assert not wrong
