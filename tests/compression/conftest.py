"""A pruned model folder, which several tests look at."""

from pathlib import Path

import pytest

from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.prune import prune


@pytest.fixture(scope="session")
def pruned_folder(untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's small network, 30 % fewer BFLOPs."""
    out = tmp_path_factory.mktemp("pruned") / "model"
    prune(untrained_model, out, PruneOptions(bflops_ratio=0.3, prune_kind="regular"))
    return out
