"""Small cfgs and weights that Darknet reads and that were once read otherwise: each has Darknet's value, or a finding.

They lie beside the reference material, in `cases/darknet`; without them these tests are skipped, and others make the
same things themselves (`test_lint_deepstream_cases.py` those of `lint-deepstream`).
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.lint import lint_cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.picture_detections import above_threshold

DEFAULT = Path(__file__).parents[3] / "shared" / "reference"
CASES = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", DEFAULT)).parent / "cases" / "darknet"
# Folder and cfg -> the program that is asked, and what it finds beside notes: rule and line
FOUND = {
    "grid-not-multiple/v2tiny720.cfg": ("darknet", [("uneven-grid", 9)]),
    "lint-opencv-maxpool-size/o4549.cfg": ("opencv", [("opencv-size", 17)]),
    "new-coords-activation/logistic-no-newcoords.cfg": ("darknet", [("new-coords-activation", 21)]),
    "new-coords-activation/newcoords-linear.cfg": ("darknet", [("new-coords-activation", 26)]),
    "number-reading/12-anchors-trailing-comma.cfg": ("darknet", []),
    "number-reading/26-sci-int2.cfg": ("darknet", [("misread-number", 10)]),
    "number-reading/66-steps-trailing.cfg": ("darknet", [("steps-policy", 9)]),
    "number-reading/67-burn-float.cfg": ("darknet", [("misread-number", 7), ("misread-number", 8)]),
    "number-reading/steps-more-than-scales.cfg": ("darknet", [("steps-policy", 7)]),
    "relu6/4.cfg": ("darknet", [("own-paths", 10), ("new-coords-activation", 37), ("new-coords-activation", 60)]),
    "channels1/42-channels1.cfg": ("deepstream-yolo", [("input-channels", 6)]),
}
# Of `lint-deepstream`, the rules that speak of what the builder of DeepStream-Yolo reads otherwise; () where it does not
DEEPSTREAM: dict[str, tuple[str, ...]] = {
    "anchors-trailing-comma": (),
    "avgpool": ("other-reading",),
    "bias-key": ("other-reading", "unknown-key"),
    "bn-comment": ("other-reading",),
    "crlf": (),
    "eps-key": ("other-reading", "unknown-key"),
    "implicit-atoms": ("ignored-key",),
    "implicit-nofilters": ("missing-key",),
    "inner-blank": ("inner-blank",),
    "logistic-no-newcoords": ("new-coords-activation",),
    "maxpool21": (),
    "maxpool3s2p1": ("window-padding",),
    "newcoords-linear": ("new-coords-activation",),
    "region-classfix": ("other-reading",),
    "region-softmax0": ("other-reading",),
    "reorg-reverse": ("ignored-key",),
    "reorg3d": ("other-reading",),
    "reorg3d32": ("other-reading",),
    "route-groups-of-two": ("other-reading",),
    "route_lhalf": ("unsupported-section",),
    "shortcut-abs0": ("other-reading",),
    "shortcut-abs1": (),
    "silu": ("foreign-activation",),
    "trailing-blank": (),
    "upsample-scale": ("ignored-key",),
    "yolo-and-region": (),
    "yolo-without-mask": ("other-reading",),
}
OTHERS = {"classes-seen", "lint-deepstream", "region-softmax0", "shortcut-relu-normalization"}


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"small inputs not found at {CASES}; set TRAFFIC_YOLO_REFERENCE to the folder beside them")
    return CASES


def network(folder: Path, cfg: str, weights: str) -> Network:
    return Network.read(Cfg.read(folder / cfg), folder / weights).eval()


def picture(folder: Path, of: Network) -> torch.Tensor:
    values = torch.from_numpy(np.fromfile(folder / "input.f32", np.float32))
    return values.reshape(1, -1, *of.input_hw)


def test_every_input_is_looked_at(cases: Path) -> None:
    assert {path.name for path in cases.iterdir() if path.is_dir()} == {
        *(name.split("/")[0] for name in FOUND),
        *OTHERS,
    }
    named = {name for name in FOUND if (cases / name).is_file()}
    there = {path.relative_to(cases).as_posix() for path in cases.rglob("*.cfg")}
    assert named == {name for name in there if name.split("/")[0] not in OTHERS}
    assert {path.stem for path in (cases / "lint-deepstream").glob("*.cfg")} == set(DEEPSTREAM)


@pytest.mark.parametrize("name", FOUND)
def test_lint_names_what_a_program_reads_otherwise(cases: Path, name: str) -> None:
    target, expected = FOUND[name]
    findings = lint_cfg(Cfg.read(cases / name), target).findings
    assert [(one.rule, one.line) for one in findings if str(one.severity) != "info"] == expected


@pytest.mark.parametrize("name", DEEPSTREAM)
def test_lint_names_what_deepstream_s_builder_reads_otherwise(cases: Path, name: str) -> None:
    findings = lint_cfg(Cfg.read(cases / "lint-deepstream" / f"{name}.cfg"), "deepstream-yolo").findings
    assert {one.rule for one in findings if str(one.severity) != "info"} == set(DEEPSTREAM[name])


def test_a_grid_that_the_stride_does_not_divide_is_rounded_up(cases: Path) -> None:
    uneven = Network(Cfg.read(cases / "grid-not-multiple" / "v2tiny720.cfg")).eval()
    with torch.inference_mode():
        (logits,) = uneven(torch.zeros(1, 3, 720, 1280))
    assert logits.shape[-2:] == (23, 40)


def test_numbers_are_read_as_atoi_reads_them(cases: Path) -> None:
    folder = cases / "number-reading"
    assert Cfg.read(folder / "26-sci-int2.cfg").layers[0].get_int("filters", 0) == 1  # filters=1e1
    net = Cfg.read(folder / "67-burn-float.cfg").net
    assert (net.get_int("burn_in", 0), net.get_int("max_batches", 0)) == (1000, 1)  # 1000.5 and 1e4
    assert len(Network(Cfg.read(folder / "12-anchors-trailing-comma.cfg")).heads[0].anchors) == 3


def test_one_channel_runs(cases: Path) -> None:
    grey = network(cases / "channels1", "42-channels1.cfg", "c1.weights")
    with torch.inference_mode():
        (logits,) = grey(torch.zeros(1, 1, 96, 96))
    assert torch.isfinite(logits).all()


def test_weights_normalized_by_relu_follow_darknet_s_fused_path(cases: Path) -> None:
    folder = cases / "shortcut-relu-normalization"
    shortcut = network(folder, "model.cfg", "model.weights").fuse()
    (expected,) = np.load(folder / "darknet_layer7.npz").values()
    with torch.inference_mode():
        outputs = shortcut.layer_outputs(picture(folder, shortcut))
    assert np.abs(outputs[7][0].numpy() - expected).max() < 1e-5
    assert expected[8].max() > 0.3  # both weights are below 0 there: the floor of 0.001


def test_a_region_without_softmax_thresholds_the_product_alone(cases: Path) -> None:
    folder = cases / "region-softmax0"
    region = network(folder, "model.cfg", "model.weights")
    with torch.inference_mode():
        decoded = decode(region.heads, region.fuse()(picture(folder, region)), region.input_hw)
    _, _, scores = above_threshold(decoded, 0, 0.3)
    assert int((scores > 0.3).any(axis=1).sum()) == 303
