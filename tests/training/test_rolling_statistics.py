"""How fast the running statistics follow."""

from pathlib import Path

import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.training.rolling_statistics import RollingStatistics


def momentum_of_first(network: Network) -> float:
    norm = network.layers[0].bn
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.momentum is not None
    return norm.momentum


def test_untrained_statistics_arrive_within_a_short_run(tiny_cfg: Path) -> None:
    network = Network.from_cfg(tiny_cfg, seed=1).train()
    statistics, norm = RollingStatistics(network), network.layers[0].bn
    pictures = torch.rand(4, 3, 64, 96) + 1
    with torch.no_grad():
        expected = network.layers[0].conv(pictures).mean(dim=(0, 2, 3))
        for updates in range(20):
            statistics.follow(updates)
            network(pictures)
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-3, atol=1e-4)


def test_share_falls_to_darknets_hundredth_and_stays(tiny_cfg: Path) -> None:
    network = Network.from_cfg(tiny_cfg, seed=1)
    statistics = RollingStatistics(network)
    shares = []
    for updates in (0, 10, 890, 100_000):
        statistics.follow(updates)
        shares.append(momentum_of_first(network))
    assert shares == [0.9, 0.45, 0.01, 0.01]


def test_statistics_that_came_with_weights_follow_as_in_darknet(tiny_cfg: Path, tmp_path: Path) -> None:
    trained = Network.from_cfg(tiny_cfg, seed=1).train()
    trained(torch.rand(4, 3, 64, 96))
    trained.save_weights(tmp_path / "a.weights")
    network = Network.read(tiny_cfg, tmp_path / "a.weights")
    RollingStatistics(network).follow(0)
    assert momentum_of_first(network) == 0.01
