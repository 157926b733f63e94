"""Batch-norm over processes: its kernels against torch's own batch-norm, its pooling against the pool."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from traffic_yolo.training.synced_batch_norm import SyncedBatchNorm2d, pooled, sync_batch_norms


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    distributed.init_process_group("gloo", init_method=(tmp_path / "meet").as_uri(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def passed(layer: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """What one step makes of a layer, by name."""
    given = x.clone().requires_grad_()
    result = layer(given)
    result.backward(gradient)
    assert given.grad is not None
    found = {"result": result.detach(), "by x": given.grad}
    found |= {f"by {name}": one.grad for name, one in layer.named_parameters() if one.grad is not None}
    return {**found, **dict(layer.named_buffers())}


@pytest.mark.parametrize("mean", [0.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_one_process_it_is_torchs_own(alone: None, mean: float, dtype: torch.dtype) -> None:
    """In double precision, so that both are judged; pictures far from 0 cost digits, and torch's own as many."""
    generator = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(3, 5, 7, 4, generator=generator) for _ in range(2))
    x, gradient = (x * 2 + mean).to(dtype), gradient.to(dtype)
    own = nn.BatchNorm2d(5, eps=1e-5, momentum=0.1)
    with torch.no_grad():
        own.weight.copy_(torch.rand(5, generator=generator) + 0.5)
        own.bias.copy_(torch.randn(5, generator=generator))
    synced, exact = copy.deepcopy(own), copy.deepcopy(own).double()
    sync_batch_norms(nn.Sequential(synced))
    assert type(synced) is SyncedBatchNorm2d
    expected, torchs = passed(exact, x.double(), gradient.double()), passed(own, x, gradient)
    for name, found in passed(synced, x, gradient).items():
        assert found.dtype == torchs[name].dtype, name
        allowed = 4 * (torchs[name].double() - expected[name]).abs().max() + 2e-6 * expected[name].abs().max()
        assert (found.double() - expected[name]).abs().max() <= allowed, name


def test_pooled_parts_are_the_whole() -> None:
    x = torch.randn(1000, 3, dtype=torch.float64) + torch.tensor([0.0, 1e4, -5.0])
    parts = x.split([1, 600, 399])
    means = torch.stack([part.mean(0) for part in parts])
    variances = torch.stack([part.var(0, correction=0) for part in parts])
    mean, variance, count = pooled(means, variances, torch.tensor([[1.0], [600.0], [399.0]], dtype=torch.float64))
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(variance, x.var(0, correction=0))
    assert count == 1000
