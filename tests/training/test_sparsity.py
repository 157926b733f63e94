"""Sparsity training: which scales it reaches, what it adds to a gradient and how often, and what it reports."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import OptionsError, StorageError, TrafficYoloError
from traffic_yolo.training.check_start import check_start
from traffic_yolo.training.checkpoint import read_checkpoint
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.scale_history import EDGES, ScaleHistory, histogram, median, share_below
from traffic_yolo.training.sparsity import Sparsity, sparse_scales
from traffic_yolo.training.trainer import train

CONVOLUTION = "[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
HEAD = "[convolutional]\nsize=1\nfilters=7\nactivation=linear\n[yolo]\nmask=0\nanchors=8,8\nclasses=2\nnum=1\n"
# Layer 2 joins layer 0 and goes on to layer 4, which nothing joins
RESIDUAL = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n"
    + CONVOLUTION.format(filters=4)
    + CONVOLUTION.format(filters=6)
    + CONVOLUTION.format(filters=4)
    + "[shortcut]\nfrom=-3\nactivation=linear\n"
    + CONVOLUTION.format(filters=5)
    + HEAD
)


@pytest.fixture
def options(tiny_cfg: Path) -> TrainingOptions:
    return TrainingOptions(
        cfg=str(tiny_cfg), batch=4, max_batches=1, burn_in=0, optimizer="sgd", learning_rate=0.01, policy="constant",
        mosaic=0, sparsity=0.5, device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "reached"),
    [("regular", {1: 6, 4: 5}), ("shortcut", {0: 4, 1: 6, 2: 4, 4: 5}), ("layer", {2: 4})],
)
def test_each_kind_reaches_the_scales_that_its_ties_say(kind: str, reached: dict[int, int]) -> None:
    found = sparse_scales(Network.from_cfg(Cfg.parse(RESIDUAL)), kind)
    assert {each.layer: int(each.chosen.sum()) for each in found} == reached


def test_the_sign_of_each_scale_is_added_to_its_gradient() -> None:
    network = Network.from_cfg(Cfg.parse(RESIDUAL))
    norm = network.layers[2].get_submodule("bn")
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -0.1, 0.0, 1e-6]))
    norm.weight.grad = torch.tensor([1.0, 1.0, 1.0, -1.0])
    before = norm.weight.clone()
    sparsity = Sparsity(network, strength=0.25, kind="layer")
    sparsity.add_subgradient()
    assert norm.weight.grad.tolist() == [1.25, 0.75, 1.0, -0.75]
    assert norm.weight.equal(before)
    assert network.layers[0].get_parameter("bn.weight").grad is None
    np.testing.assert_allclose(sparsity.magnitudes(network), [2.0, 0.1, 0.0, 1e-6], rtol=1e-6)


@pytest.mark.many(1)
@pytest.mark.parametrize(("subdivisions", "precision"), [(1, "float32"), (2, "float32"), (1, "float16")])
def test_it_is_added_once_an_update(
    rectangles: Path, tmp_path: Path, options: TrainingOptions, subdivisions: int, precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever the slices and the scaling of the loss, the step differs by rate * strength * sign."""
    # The usual first scale overflows, and the update is left out
    monkeypatch.setattr(torch.amp, "GradScaler", functools.partial(torch.amp.GradScaler, init_scale=8.0))
    scales = []
    for sparsity in (0.0, 0.5):
        run = replace(options, sparsity=sparsity, subdivisions=subdivisions, precision=precision)
        train(rectangles, tmp_path / str(sparsity), run)
        state = read_checkpoint(tmp_path / str(sparsity) / "checkpoints" / "last.pt").network
        scales.append([state[f"layers.{index}.bn.weight"] for index in (0, 1, 2, 6)])
    for plain, sparse in zip(*scales, strict=True):
        torch.testing.assert_close(plain - sparse, torch.full_like(plain, 0.01 * 0.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (RESIDUAL.replace("batch_normalize=1\n", ""), {}, r"sparsity: .* has no batch-norm, whose scales would be made small"),
        (RESIDUAL.replace("[shortcut]\nfrom=-3\nactivation=linear\n", ""), {"sparsity_kind": "layer"}, "sparsity_kind=layer: .* has no scales of a batch-normalised convolution before a shortcut"),
        (RESIDUAL, {"fine_tune_layers": "from:2", "weights": "w"}, "sparsity: layers 1 are frozen, and what is frozen cannot be made sparse; give --fine-tune-layers all"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_sparse_is_one_line(
    text: str, changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    cfg = tmp_path / "small.cfg"
    cfg.write_text(text)
    if "weights" in changes:
        Network.from_cfg(cfg).save_weights(tmp_path / "small.weights")
        changes = {**changes, "weights": str(tmp_path / "small.weights")}
    with pytest.raises(TrafficYoloError, match=message):
        check_start(TrainingOptions(cfg=str(cfg), sparsity=0.1, **changes), ("a", "b"))


def test_strength_and_kind_are_checked() -> None:
    with pytest.raises(OptionsError, match="sparsity: expected a number from 0 to 1, found -1"):
        TrainingOptions(sparsity=-1)
    with pytest.raises(OptionsError, match="sparsity_kind: expected one of regular, shortcut, layer, found 'all'"):
        TrainingOptions(sparsity_kind="all")


def test_histogram_counts_all_and_keeps_what_lies_beyond_its_edges() -> None:
    counts = histogram(np.array([0.0, 1e-9, 1.0, 0.5, 50.0]))
    assert counts.sum() == 5
    assert (counts[0], counts[-1]) == (2, 1)
    assert share_below(counts, 0.01) == 0.4
    assert 0.5 <= median(counts) * (EDGES[1] / EDGES[0]) ** 0.5 <= 0.7


def test_histograms_go_on_after_the_iteration_that_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "scales.csv"
    history = ScaleHistory(path)
    for iteration, value in ((0, 1.0), (2, 0.1), (4, 0.001)):
        history.add(iteration, np.full(10, value))
    assert (
        history.text
        == "10 scales: median 1.2 at the start, 0.0012 at the end; 0% below 0.01 at the start, 100% at the end"
    )
    again = ScaleHistory(path, keep=2)
    assert [iteration for iteration, _ in again.rows] == [0, 2]
    assert again.rows[1][1].tolist() == history.rows[1][1].tolist()
    path.write_text("iteration,1\n0,1\n")
    with pytest.raises(
        StorageError, match="scales.csv: cannot be read as histograms of scales: another number of bins"
    ):
        ScaleHistory(path, keep=2)


def test_a_run_reports_how_its_scales_became_small(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    told: list[str] = []
    options = replace(options, optimizer="adamw", max_batches=6, evaluate_every=6, learning_rate=0.1)
    train(rectangles, tmp_path / "run", options, tell=told.append)
    assert "sparsity 0.5, regular: 64 scales of 4 layers" in told
    history = ScaleHistory(tmp_path / "run" / "scales.csv", keep=6)
    assert [iteration for iteration, _ in history.rows] == list(range(7))
    assert median(history.rows[-1][1]) < 0.7 * median(history.rows[0][1])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Batch-norm scales" in page
    assert history.text in page
