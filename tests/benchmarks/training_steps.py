"""Training steps to measure: a batch, and a network whose layers of a plan train on it."""

import numpy as np
import torch
from training_data import BATCH, random_truths

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import resolve
from traffic_yolo.training.update import Updates


def batch_of(network: Network, *, rank: int = 0, world_size: int = 1) -> Batch:
    """Noise with boxes of a few percent of the picture; a process's share of the very same batch."""
    height, width = network.input_hw
    images = np.random.default_rng(0).integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
    first, last = BATCH * rank // world_size, BATCH * (rank + 1) // world_size
    tensor = torch.from_numpy(images[first:last]).permute(0, 3, 1, 2)
    return Batch(tensor, random_truths(network.num_classes).of_images(first, last), (), BATCH)


def updates_of(
    cfg: Cfg, *, words: str = "all", precision: str = "float32", processes: Processes | None = None
) -> Updates:
    """A network whose layers of this plan train."""
    network = Network.from_cfg(cfg, seed=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = TrainingOptions(batch=BATCH, max_batches=1000, learning_rate=1e-6, optimizer="sgd")
    object.__setattr__(options, "fine_tune_layers", words)  # random weights, which the options would refuse to freeze
    settings = resolve(options, network, num_pictures=100)
    return Updates(
        network,
        settings,
        settings.layer_plan(network),
        loss=options.loss,
        precision=precision,
        compile=False,
        device=torch.device("cpu"),
        processes=processes or Processes(),
    )
