"""The quick Mish against its definition in float64."""

import pytest
import torch

from traffic_yolo.darknet.runtimes.mish import InferenceMish


@pytest.mark.parametrize("compiled_form", [False, True])
def test_mish_is_its_definition_over_the_whole_range(compiled_form, monkeypatch):
    monkeypatch.setattr("traffic_yolo.darknet.runtimes.mish.is_traced", lambda: compiled_form)
    x = torch.cat([torch.linspace(-120, 120, 200_001), torch.linspace(-1, 1, 20_001), torch.tensor([0.0, 1e-30, 3e38])])
    before = x.clone()
    exact = x.double() * torch.tanh(torch.log1p(torch.exp(x.double().clamp(max=80))))
    found = InferenceMish()(x)
    assert torch.equal(x, before)
    torch.testing.assert_close(found.double(), exact, rtol=5e-7, atol=1e-35)  # denormals aside


def test_infinity_and_nan_go_through_as_in_pytorch():
    x = torch.tensor([float("inf"), float("nan")])
    assert InferenceMish()(x).isnan().tolist() == [False, True]
    assert InferenceMish()(x)[0] == float("inf")
