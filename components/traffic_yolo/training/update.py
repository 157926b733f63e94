"""One weight update: forward, loss, backward and step, in slices, in a number format, on one process or several."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.distillation import distillation_loss
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.layer_plan import LayerPlan
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.loss import Loss, YoloLoss
from traffic_yolo.training.optimiser import build_optimizer, set_rate
from traffic_yolo.training.options import REGULAR
from traffic_yolo.training.rolling_statistics import RollingStatistics
from traffic_yolo.training.settings import Settings
from traffic_yolo.training.sparsity import Sparsity
from traffic_yolo.training.synced_batch_norm import sync_batch_norms
from traffic_yolo.training.teacher import Teacher

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHOWN_NAMES = 8  # pictures of a batch that an error names


class NotFiniteError(TrainingError):
    """A loss that is no number: the rate or the data are at fault."""


@dataclass(frozen=True)
class Updated:
    """An update: the rate it had, and means per picture of the loss' parts over all processes.

    `distillation`: None without a teacher.
    """

    rate: float
    box: float
    objectness: float
    classes: float
    distillation: float | None = None

    @property
    def loss(self) -> float:
        """The sum of the parts."""
        return self.box + self.objectness + self.classes + (self.distillation or 0.0)


@dataclass(frozen=True)
class BesideLabels:
    """What updates aim at besides the labels.

    `teacher_weight`: what the teacher's terms are multiplied by, beside those of the labels. `sparsity`: strength of
    the penalty on batch-norm scales of a `sparsity_kind` (`sparsity`), 0: none.
    """

    teacher: Teacher | None = None
    teacher_weight: float = 1.0
    sparsity: float = 0.0
    sparsity_kind: str = REGULAR


LABELS_ALONE = BesideLabels()


class Updates:
    """A network with its optimiser and loss; `network` is changed in place."""

    def __init__(
        self,
        network: Network,
        settings: Settings,
        plan: LayerPlan,
        *,
        loss: str,
        precision: str,
        compile: bool,
        device: torch.device,
        processes: Processes,
        beside: BesideLabels = LABELS_ALONE,
    ) -> None:
        """`network` lies on `device` already; `precision`: float32, bfloat16 or float16 (with loss scaling)."""
        self.network, self.settings, self.plan = network, settings, plan
        self.device, self.processes = device, processes
        self.statistics = RollingStatistics(network)
        if processes.world_size > 1:
            sync_batch_norms(network)
        self.optimizer = build_optimizer(network, settings, plan)
        self.loss = YoloLoss(network.heads, network.cfg.net, kind=loss, max_batches=settings.max_batches)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self._format = AUTOCAST[precision]
        self._forward: Callable[[Tensor], list[Tensor]] = torch.compile(network) if compile else network
        self._precision = precision
        self.teacher, self._teacher_weight = beside.teacher, beside.teacher_weight
        self.sparsity = (
            Sparsity(network, strength=beside.sparsity, kind=beside.sparsity_kind) if beside.sparsity else None
        )

    def update(self, batch: Batch, iteration: int) -> Updated:
        """One update from this process's share of a batch, after `iteration` others.

        Raises `NotFiniteError` where the loss is not finite, before any weight is changed.
        """
        self.plan.apply(self.network, iteration)
        self.statistics.follow(iteration)
        rate = self.settings.schedule.rate(iteration + 1)
        set_rate(self.optimizer, rate, state=self.plan.number_at(iteration))
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(4, dtype=torch.float64)
        for start, stop in self.slices(batch):
            sums += self._backward(batch, start, stop, iteration)
        sums = self.processes.sum_of(sums.to(self.device if self.device.type == "cuda" else "cpu")).cpu()
        box, objectness, classes, distillation = (sums / batch.num_pictures).tolist()
        updated = Updated(rate, box, objectness, classes, None if self.teacher is None else distillation)
        if not math.isfinite(updated.loss):
            raise self._not_finite(updated, batch, iteration)
        self.processes.sum_gradients(self.network.parameters())
        if self.sparsity is not None:
            self.scaler.unscale_(self.optimizer)
            self.sparsity.add_subgradient()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return updated

    def loss_of(self, batch: Batch, start: int, stop: int, iteration: int) -> Loss:
        """The sums of the loss' parts over pictures `start` to `stop` - 1, in the number format of the updates."""
        images = batch.images[start:stop].to(self.device, non_blocking=True).float().div_(255)
        height, width = images.shape[2:]
        with torch.autocast(self.device.type, dtype=self._format, enabled=self._format is not None):
            outputs = self._forward(images)
        truths = batch.truths.of_images(start, stop)
        outputs = [output.float() for output in outputs]
        loss = self.loss(outputs, truths, network_wh=(width, height), iteration=iteration)
        if self.teacher is None:
            return loss
        taught = distillation_loss(
            self.loss.heads,
            outputs,
            self.teacher.heads,
            self.teacher(images, batch.file_names[start:stop]),
            truths,
            network_wh=(width, height),
        )
        return loss.with_distillation(self._teacher_weight * taught)

    def slices(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """First and last + 1 of the pictures that are run together, of this process's share."""
        own = len(batch.images)
        size = -(-own // self.settings.subdivisions)
        return ((start, min(start + size, own)) for start in range(0, own, size))

    def _backward(self, batch: Batch, start: int, stop: int, iteration: int) -> Tensor:
        """Adds the gradient of pictures `start` to `stop` - 1; their sums of the loss' parts, as `Updated` has them."""
        loss = self.loss_of(batch, start, stop, iteration)
        self.scaler.scale(loss.total / batch.num_pictures).backward()  # type: ignore[no-untyped-call]
        taught = torch.zeros_like(loss.box) if loss.distillation is None else loss.distillation
        return torch.stack([loss.box, loss.objectness, loss.classes, taught]).double().cpu()

    def _not_finite(self, updated: Updated, batch: Batch, iteration: int) -> NotFiniteError:
        names = sorted({name for sample in batch.file_names for name in sample})
        shown = ", ".join(names[:SHOWN_NAMES]) + (
            f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        )
        longer = "" if self._precision == "float32" else ", --precision float32"
        return NotFiniteError(
            f"loss is {updated.loss} at iteration {iteration + 1} with learning rate {updated.rate:g}, "
            f"pictures {shown}: try a smaller --learning-rate, a longer --burn-in{longer}, and look at the labels of "
            f"these pictures"
        )
