"""Quantisation-aware training: the convolutions that INT8 shall compute are trained with its rounding.

The network's batch-norms are folded first, for it is the folded kernels that an INT8 file rounds. What comes out is a
Darknet pair whose kernels are the rounded ones, so that a float32 runtime has the same model, and the range of each
input as it was trained.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_fuse import without_batch_norm
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import CFG_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.quantization.graph import Convolution
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn
from traffic_yolo.training.fake_quantise import QUANTISERS_NAME, read_quantisers, write_quantisers
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

START, RUN = "start", "run"


@dataclass(frozen=True)
class QatTraining:
    """A training that is done. `run`: its folder; `ranges`: layers that read one tensor -> what becomes 127 of it."""

    run: Path
    ranges: Mapping[tuple[int, ...], float]

    def delivered(self, place: Path, model: ModelFolder) -> Path:
        """Copies what `export` reads of the run to `place`; the weights are said to come from those of `model`.

        Folding trains nothing, so that whoever follows their way back need not know of it.
        """
        shutil.copytree(self.run, place, ignore=shutil.ignore_patterns("checkpoints", "batches", "predictions"))
        told = TrainedOn.read(self.run / TRAINED_ON_NAME)
        sha256 = model.sha256(WEIGHTS_NAME)
        replace(told, start_weights=WEIGHTS_NAME, start_weights_sha256=sha256).write(place / TRAINED_ON_NAME)
        return place

    def by_tensor(self, convolutions: Sequence[Convolution]) -> dict[str, float]:
        """The ranges by the names of a graph's tensors; raises `ModelError` where the graph reads them otherwise."""
        of_layer = {layer: value for layers, value in self.ranges.items() for layer in layers}
        found: dict[str, float] = {}
        for each in convolutions:
            if each.layer not in of_layer or found.get(each.reads, of_layer[each.layer]) != of_layer[each.layer]:
                raise ModelError(f"{self.run}: its quantisers are not those of its network; train into a new folder")
            found[each.reads] = of_layer[each.layer]
        return found


def train_quantised(
    model: ModelFolder,
    dataset: Path,
    work: Path,
    chosen: Sequence[Convolution],
    ranges: Mapping[str, float],
    *,
    updates: int,
    learning_rate: float,
    seed: int,
) -> QatTraining:
    """Trains the convolutions `chosen` of `model` with INT8's rounding, from `ranges` of the tensors that they read.

    `work`: a folder for the folded start and the training run, with which an interrupted call goes on; the same call
    with other values is refused there by `train`. Raises as `train` does.
    """
    network = without_batch_norm(Network.read(model.cfg_path, model.weights_path))
    start = work / START
    start.mkdir(parents=True, exist_ok=True)
    network.cfg.write(start / CFG_NAME)
    network.save_weights(start / WEIGHTS_NAME)
    write_quantisers(start / QUANTISERS_NAME, _by_layers(chosen, ranges))
    options = TrainingOptions(
        cfg=str(start / CFG_NAME),
        weights=str(start / WEIGHTS_NAME),
        quantisers=str(start / QUANTISERS_NAME),
        fine_tune_layers="all",
        max_batches=updates,
        learning_rate=learning_rate,
        seed=seed,
    )
    train(dataset, work / RUN, options, resume="auto")
    return QatTraining(work / RUN, read_quantisers(work / RUN / QUANTISERS_NAME))


def _by_layers(chosen: Sequence[Convolution], ranges: Mapping[str, float]) -> dict[tuple[int, ...], float]:
    layers: dict[str, list[int]] = {}
    for each in chosen:
        layers.setdefault(each.reads, []).append(each.layer)
    return {tuple(indices): ranges[tensor] for tensor, indices in layers.items()}
