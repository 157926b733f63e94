"""Activations by other names: what stays the same function, what does not, and what is refused."""

from pathlib import Path

import pytest
import torch

from traffic_yolo.cli import main
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.modules.activations import ACTIVATIONS
from traffic_yolo.darknet.surgery_activations import change_activations, read_renames
from traffic_yolo.errors import OptionsError

LAYER = "[convolutional]\nfilters=4\nsize=1\nstride=1\npad=1\n# as trained\nactivation={}\n\n"
TEXT = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n\n" + LAYER.format("silu") + LAYER.format("relu6") + LAYER.format("silu")
)


def test_only_the_names_change_and_each_change_is_counted() -> None:
    cfg = Cfg.parse(TEXT)
    changed, told = change_activations(cfg, {"silu": "swish", "relu6": "relu"})
    assert [layer.get_str("activation", "") for layer in changed.layers] == ["swish", "relu", "swish"]
    assert cfg.to_text() == TEXT
    assert len(changed.to_text().splitlines()) == len(TEXT.splitlines())
    assert [str(each) for each in told] == [
        "silu -> swish: 2 layers, the same function",
        "relu6 -> relu: 1 layers, another function: train on with it, or compare the AP",
    ]


def test_silu_is_swish_and_names_may_be_exchanged() -> None:
    changed, _ = change_activations(Cfg.parse(TEXT), {"silu": "swish"})
    x = torch.linspace(-8, 8, 9)
    torch.testing.assert_close(ACTIVATIONS["swish"]()(x), x * torch.sigmoid(x))
    there, _ = change_activations(changed, {"swish": "relu6", "relu6": "swish"})
    assert [layer.get_str("activation", "") for layer in there.layers] == ["relu6", "swish", "relu6"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("silu", "renames: expected OLD=NEW pairs"),
        ("silu=swish,silu=mish", "each OLD once"),
        ("silu=", "expected OLD=NEW"),
        ("silu=hardswish", "expected one of linear, leaky, .* as the new name, found 'hardswish'"),
        ("mish=swish", "expected activations of <cfg>, which has silu, relu6; found 'mish'"),
    ],
)
def test_what_names_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        change_activations(Cfg.parse(TEXT), read_renames(text))


def test_the_command_writes_the_cfg_and_names_its_flag(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.cfg").write_text(TEXT)
    arguments = ["darknet", "activations", "--cfg", str(tmp_path / "a.cfg"), "--out", str(tmp_path / "b.cfg")]
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--renames", "silu=swish"])
    assert capfd.readouterr().out.splitlines()[0] == "silu -> swish: 2 layers, the same function"
    assert "activation=swish" in (tmp_path / "b.cfg").read_text()
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--renames", "mish=swish"])
    assert "error: --renames: expected activations of" in capfd.readouterr().err
