"""A short test of the recipe's learning rate on a network whose rate nobody measured.

The recipe's rates were measured on few networks (`docs/training.md`), and a rate that suits one spoils another. So
copies of the network make some updates at the rate and at half of it, and their losses are taken as a detection would
see them: batch-norm by its stored statistics, on pictures that these updates did not see. A rate that is too large
shows there first, while the loss of the updates themselves still falls: the weights have left the statistics behind.
Where half the rate ends clearly lower, or the start does, half the rate is asked the same. (Smith 2017, "Cyclical
learning rates", looks for the best rate by raising it; this asks of one rate only whether it does harm.)
"""

import contextlib
import copy
import hashlib
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.progress import progress
from traffic_yolo.pruned_from import is_just_pruned
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.layer_groups import group_of_layers
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.plan import FineTunePlan
from traffic_yolo.training.schedule import Schedule
from traffic_yolo.training.settings import Settings
from traffic_yolo.training.start import starts_whole
from traffic_yolo.training.update import LABELS_ALONE, BesideLabels, NotFiniteError, Updates

UPDATES = 10  # at a rate; Yolo-Fastest and MobileNetV2-Nano show by then which rates spoil them
JUDGED_BATCHES = 2
HALVINGS = 6  # at most
TOLERANCE = 0.05  # of a loss: two batches tell no less apart, and a start that fits its data can only lose a little
LEAST_RUN = 10 * UPDATES  # updates: a shorter run would spend much of its time on the test

# `architecture_of` the networks that make bench-accuracy trains: Yolo-Fastest 1.1
MEASURED = frozenset({"1c67e1953da7be0dfd8fdd8fc60af84199c31981ce153b0a10e42f9b4d7a8b39"})


@dataclass(frozen=True)
class RateTest:
    """Losses per picture: of the start, and after the updates at each rate tried, the largest first; NaN: no number."""

    start_loss: float
    tried: tuple[tuple[float, float], ...]

    @property
    def learning_rate(self) -> float:
        """The largest rate that did no harm, or the smallest one tried."""
        smallest = self.tried[-1][0]
        return next((rate for place, (rate, _) in enumerate(self.tried) if self._is_harmless(place)), smallest)

    def _is_harmless(self, place: int) -> bool:
        """Whether neither the start nor the next smaller rate ends clearly lower."""
        loss = self.tried[place][1]
        others = [self.start_loss, *(smaller for _, smaller in self.tried[place + 1 : place + 2])]
        return all(not loss > (1 + TOLERANCE) * other for other in others) and math.isfinite(loss)

    @property
    def is_over(self) -> bool:
        """Whether a rate and the next smaller one are known, and the larger of the two does no harm."""
        return len(self.tried) > 1 and self._is_harmless(len(self.tried) - 2)

    @property
    def does_harm(self) -> bool:
        """Whether even the smallest rate did."""
        return not any(self._is_harmless(place) for place in range(len(self.tried)))

    @property
    def text(self) -> str:
        """For the user: what was tried and what came of it."""
        found = ", ".join(f"{loss:.4g} at {rate:g}" for rate, loss in self.tried)
        told = f"rate test: loss {self.start_loss:.4g} at the start; after {UPDATES} updates {found}"
        if self.does_harm:
            return f"{told}; every rate did harm: look at the classes and the weights, or give --learning-rate"
        return f"{told}; learning rate {self.learning_rate:g}"


def architecture_of(network: Network) -> str:
    """SHA-256 of the shapes of all kernels before the heads: equal for all sizes and numbers of classes."""
    groups = group_of_layers(network)
    shapes = [
        (section.index, tuple(module.weight.shape), module.groups, module.stride)
        for section, layer in zip(network.sections, network.layers, strict=True)
        if isinstance(section, ConvolutionalSection) and groups[section.index] != "heads"
        for module in layer.modules()
        if isinstance(module, nn.Conv2d)
    ]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()


def wants_test(options: TrainingOptions, settings: Settings, network: Network) -> bool:
    """Whether the rate of a run is the recipe's for a fine-tuning, and nobody measured it for this network.

    Of weights that pruning wrote it is not asked: there is harm already, and the test would take the rate for it.
    """
    is_recipes = options.recipe == "default" and options.learning_rate is None and starts_whole(options, network)
    is_recipes = is_recipes and not is_just_pruned(options.weights)
    return is_recipes and settings.max_batches >= LEAST_RUN and architecture_of(network) not in MEASURED


def try_rate(
    network: Network,
    settings: Settings,
    batches: Callable[[int, int], Generator[Batch, None, None]],
    *,
    loss: str,
    precision: str,
    device: torch.device,
    processes: Processes,
    beside: BesideLabels = LABELS_ALONE,
) -> RateTest:
    """Tries the rate of `settings` with all that the last stage of its plan trains; `network` stays as it is.

    `batches(first, last)`: this process's share of the training's batches from `first` to `last` - 1. Every process
    calls this alike and gets the same answer.
    """
    settings = replace(settings, plan=FineTunePlan((replace(settings.plan.stages[-1], updates=None),)))
    judged = list(batches(UPDATES, UPDATES + JUDGED_BATCHES))

    def loss_after(rate: float, updates: int) -> float:
        """The loss per picture after `updates` at a rate that rises to `rate` in the first half of them."""
        copied = copy.deepcopy(network)
        schedule = Schedule(rate, max_batches=updates, burn_in=updates // 2, power=1.0)
        plan = settings.layer_plan(copied)
        tried = Updates(
            copied,
            replace(settings, schedule=schedule),
            plan,
            loss=loss,
            precision=precision,
            compile=False,
            device=device,
            processes=processes,
            beside=beside,
        )
        shown = progress(range(updates), description=f"rate {rate:g}", unit="it", total=updates)
        with contextlib.closing(batches(0, updates)) as stream:
            try:
                for iteration, batch in zip(shown, stream, strict=True):
                    tried.update(batch, iteration)
            except NotFiniteError:
                return math.nan
        return _loss_per_picture(tried, judged)

    rate = settings.schedule.learning_rate
    found = RateTest(loss_after(rate, 0), ((rate, loss_after(rate, UPDATES)),))
    while not found.is_over and len(found.tried) <= HALVINGS:
        rate = float(f"{rate / 2:.2g}")
        found = replace(found, tried=(*found.tried, (rate, loss_after(rate, UPDATES))))
    return found


def _loss_per_picture(updates: Updates, batches: Iterable[Batch]) -> float:
    """As a detection sees it: stored statistics of batch-norm, no gradients."""
    updates.network.eval()
    total, pictures = torch.zeros(1, dtype=torch.float64), 0
    with torch.no_grad():
        for batch in batches:
            for start, stop in updates.slices(batch):
                total += updates.loss_of(batch, start, stop, 0).total.double().cpu()
            pictures += batch.num_pictures
    return updates.processes.sum_of(total.to(updates.device)).item() / pictures
