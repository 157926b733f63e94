"""A training between two updates: its state, what it measures and keeps on the way, and what it ends with."""

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from traffic_yolo.darknet.freeze_plan import write_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import TrainingError
from traffic_yolo.progress import progress_bar
from traffic_yolo.storage import write_json
from traffic_yolo.training.augmentation_settings import network_sizes_of
from traffic_yolo.training.checkpoint import BEST, Checkpoint, check_same_run, read_checkpoint, write_checkpoint, write_last
from traffic_yolo.training.choice import Choice
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.ema import AveragedNetwork
from traffic_yolo.training.freeze import check_frozen_unchanged, tensor_hashes
from traffic_yolo.training.history import History, HistoryRow
from traffic_yolo.training.interrupts import Interrupts, InterruptedWork, TrainingInterrupted
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import Settings, flags_text, resolve
from traffic_yolo.training.start import carried_classes, start_network
from traffic_yolo.training.training_pictures import TrainingPictures
from traffic_yolo.training.update import Updated, Updates
from traffic_yolo.training.validation import Measured, Validation
from traffic_yolo.training.verdict import NOTHING_LEARNT, Verdict, judge, no_baseline

CHECKPOINT_EVERY_S = 600.0  # a node that is lost costs no more than this
VERDICT_NAME = "verdict.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSummary:
    """What a training came to.

    `best_ap50`: AP50 on val of the weights delivered, those after `best_iteration` updates (0: the start's);
    `baseline_ap50`: of the start weights, None where there is nothing to compare. `iteration`: updates made; `loss`: the
    last one per picture; `stopped`: why before `max_batches`, or "". `skipped`: training pictures that could not be
    used, by reason.
    """

    best_ap50: float
    best_iteration: int
    baseline_ap50: float | None
    iteration: int
    loss: float
    seconds: float
    stopped: str
    verdicts: tuple[Verdict, ...]
    skipped: dict[str, int]

    @property
    def is_improvement(self) -> bool:
        """Whether every verdict says that the result is better than the start."""
        return bool(self.verdicts) and all(verdict.word == "better" for verdict in self.verdicts)

    @property
    def learnt(self) -> bool:
        """Whether the weights delivered are not the start's."""
        return self.baseline_ap50 is None or self.best_iteration > 0

    @property
    def text(self) -> str:
        """The last lines of the command."""
        ended = f" ({self.stopped})" if self.stopped else ""
        lines = [
            f"best AP50 on val {self.best_ap50:.4f} after {self.best_iteration} of {self.iteration} iterations{ended}, "
            f"{self.seconds:.0f} s"
        ]
        if self.baseline_ap50 is not None:
            lines.append(f"start AP50 on val {self.baseline_ap50:.4f}")
        if self.skipped:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
            lines.append(f"training pictures skipped: {counts}")
        return "\n".join([*lines, *(verdict.text for verdict in self.verdicts)])


class Run:
    """One training; with several processes, each has one, and the first one's measures and writes for all."""

    history: History

    def __init__(
        self, data_set: DataSet, out: Path, options: TrainingOptions, device: torch.device, processes: Processes
    ) -> None:
        """Raises for whatever can be told to be wrong before the first update; writes nothing."""
        self.data_set, self.out, self.options, self.device = data_set, out, options, device
        self.processes = processes
        network = start_network(options, data_set.classes)
        self.carried = carried_classes(options, network, data_set.classes)
        self._check_options(network)
        self.settings: Settings = resolve(options, network, num_pictures=len(data_set.split("train")))
        if self.settings.batch < processes.world_size:
            raise TrainingError(
                f"batch: expected at least one picture for each of {processes.world_size} processes, found "
                f"{self.settings.batch}; give a larger --batch or start fewer processes"
            )
        plan = self.settings.layer_plan(network)
        plan.apply(network, 0)
        self.network: Network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedNetwork(self.network, self.settings.ema_alpha)
        self._start = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        self.updates = Updates(
            self.network,
            self.settings,
            plan,
            loss=options.loss,
            precision=options.precision,
            compile=options.compile,
            device=device,
            processes=processes,
        )
        self.frozen_hashes = tensor_hashes(self.network, plan.untouched)
        self._open_pictures()
        self.iteration, self.loss, self.is_validated = 0, math.nan, False
        self.seconds_before, self.stopped = 0.0, ""
        self.started = self.saved = time.monotonic()

    def _check_options(self, network: Network) -> None:
        if self.options.require_improvement and not self.carried:
            reason = "the start is random" if not self.options.weights else "no class of the data is among the start's"
            raise TrainingError(
                f"require_improvement: {reason}, so there is no baseline to improve on; give weights of a trained "
                f"model{'' if self.options.weights else ' (--weights)'}, or leave --require-improvement out"
            )

    def _open_pictures(self) -> None:
        options = self.options
        sizes = network_sizes_of(
            options,
            self.network.cfg,
            batch=self.settings.batch,
            subdivisions=self.settings.subdivisions,
            max_batches=self.settings.max_batches,
            stride=self.network.max_stride,
        )
        self.pictures = TrainingPictures.open(
            self.data_set, self.network, options, augmentation=self.settings.augmentation, sizes=sizes
        )
        self.validation = Validation(self.data_set, options.validation(), cache=self.pictures.cache)
        self.validation.prepare(self.averaged.network)
        self.choice = Choice(
            self.validation.truth,
            self.validation.labels,
            metric=options.best_by,
            confidence_threshold=self.validation.nms.confidence_threshold,
        )

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.out / "checkpoints"

    def begin(self) -> None:
        """Measures the start, where there is one to measure, and writes the first checkpoint."""
        log.info("%s", flags_text(self.options, self.settings))
        if not self.processes.is_first:
            return
        self.history = History(self.out / "history.csv")
        if self.carried:
            measured = self.validation.measure(self.averaged.network)
            self.choice.add(0, measured.detections, is_start=True)
            nan = math.nan
            self.history.append(_with(HistoryRow(0, 0, 0.0, nan, nan, nan, nan, self.seconds), measured))
        self.is_validated = True
        self._save(best=bool(self.carried))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over a checkpoint's state, in place."""
        check_same_run(checkpoint, self.options, self.data_set.classes, self.data_set.fingerprint)
        self.network.load_state_dict(checkpoint.network)
        self.averaged.network.load_state_dict(checkpoint.averaged)
        self.updates.optimizer.load_state_dict(checkpoint.optimizer)
        self.updates.scaler.load_state_dict(checkpoint.scaler)
        self.updates.loss.load_state_dict(checkpoint.loss)
        self.choice.restore(checkpoint.choice)
        self.iteration, self.seconds_before = checkpoint.iteration, checkpoint.seconds
        self.is_validated = checkpoint.is_validated
        torch.set_rng_state(checkpoint.random_state)
        if self.processes.is_first:
            self.history = History(self.out / "history.csv", keep=self.iteration)
            rows = self.history.rows
            self.loss = rows[-1].loss if rows else math.nan
        log.info("resumed %s after iteration %d", self.out, self.iteration)

    def go_on(self, interrupts: Interrupts, *, seen: Callable[[int, Batch], None] | None = None) -> None:
        """Updates until the end; validates and writes checkpoints on the way.

        `seen` is shown every batch with its iteration. Raises `TrainingInterrupted` after a signal, the state saved.
        """
        last = self.settings.max_batches
        if not self.is_validated and self.iteration:
            self._validate(interrupts)
        if self._should_stop():
            return
        stream = self.pictures.batches(
            first=self.iteration,
            last=last,
            workers=self.options.workers,
            rank=self.processes.rank,
            world_size=self.processes.world_size,
        )
        bar: tqdm[Any] = progress_bar(description="train", unit="it", total=last)
        with bar:
            bar.update(self.iteration)
            for batch in stream:
                if seen is not None:
                    seen(self.iteration, batch)
                self._update(batch)
                if self.iteration % self.settings.evaluate_every == 0 or self.iteration == last:
                    self._validate(interrupts)
                elif self.processes.is_first and time.monotonic() - self.saved > CHECKPOINT_EVERY_S:
                    self._save()
                self._show(bar)
                signal_number = self.processes.largest(interrupts.number)
                if signal_number:
                    self._interrupted(signal_number)
                if self._should_stop():
                    break
        if not self.is_validated:
            self._validate(interrupts)

    @property
    def seconds(self) -> float:
        """Of the whole run, interruptions left out."""
        return round(self.seconds_before + time.monotonic() - self.started, 3)

    def _update(self, batch: Batch) -> None:
        begun = time.monotonic()
        updated: Updated = self.updates.update(batch, self.iteration)
        self.iteration += 1
        self.loss, self.is_validated = updated.loss, False
        self.averaged.update(self.network, self.iteration)
        if self.processes.is_first:
            speed = batch.num_pictures / max(time.monotonic() - begun, 1e-9)
            parts = (updated.rate, updated.loss, updated.box, updated.objectness, updated.classes)
            seen = self.iteration * self.settings.batch
            self.history.append(HistoryRow(self.iteration, seen, *parts, self.seconds, images_per_s=round(speed, 2)))

    def _validate(self, interrupts: Interrupts) -> None:
        """Measures the averaged network, puts the numbers into the last row, and writes the checkpoints."""
        outcome: object = None
        if self.processes.is_first:
            try:
                with interrupts.at_once():
                    outcome = self._measured()
            except InterruptedWork:
                outcome = None
        told = self.processes.from_first(None if outcome is None else self.choice.validations_without_gain)
        if told is None:
            self._interrupted(self.processes.largest(interrupts.number))
        self.choice.validations_without_gain = int(told)  # type: ignore[call-overload]
        self.is_validated = True

    def _measured(self) -> Measured:
        measured = self.validation.measure(self.averaged.network)
        is_best = self.choice.add(self.iteration, measured.detections)
        self.is_validated = True
        self.history.amend(_with(self.history.rows[-1], measured, seconds=self.seconds))
        self._save(best=is_best)
        log.info("iteration %d: loss %.3f, AP50 %.4f", self.iteration, self.loss, measured.ap50)
        return measured

    def _interrupted(self, signal_number: int) -> None:
        """Saves and raises `TrainingInterrupted`."""
        if self.processes.is_first:
            self._save()
        raise TrainingInterrupted(signal_number)

    def _should_stop(self) -> bool:
        """Whether patience or time are used up; `stopped` then says so."""
        options = self.options
        limit, patience = options.time_limit_minutes, options.patience
        late = limit is not None and self.seconds > 60 * limit
        if self.processes.largest(int(late)) and self.iteration < self.settings.max_batches:
            self.stopped = f"stopped by the time limit of {limit:g} minutes"
        elif patience is not None and self.choice.validations_without_gain >= patience:
            self.stopped = f"stopped after {patience} validations without a gain"
        return bool(self.stopped)

    def _show(self, bar: "tqdm[Any]") -> None:
        if not self.processes.is_first:
            return
        row = self.history.rows[-1]
        best = "-" if self.choice.best_value is None else f"{self.choice.best_value:.3f}"
        bar.set_postfix(
            loss=f"{row.loss:.3f}",
            box=f"{row.box:.2f}",
            obj=f"{row.objectness:.2f}",
            cls=f"{row.classes:.2f}",
            rate=f"{row.learning_rate:.2g}",
            img_s=f"{row.images_per_s or 0:.0f}",
            best=best,
            refresh=False,
        )
        bar.update(self.iteration - bar.n)

    def _save(self, *, best: bool = False) -> None:
        checkpoint = self._checkpoint()
        if best:
            write_checkpoint(self.checkpoints / BEST, checkpoint)
        write_last(self.checkpoints, checkpoint)
        self.saved = time.monotonic()

    def _checkpoint(self) -> Checkpoint:
        def on_cpu(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: value.detach().cpu() for name, value in values.items()}

        return Checkpoint(
            iteration=self.iteration,
            seen=self.iteration * self.settings.batch,
            seconds=self.seconds,
            is_validated=self.is_validated,
            network=on_cpu(self.network.state_dict()),
            averaged=on_cpu(self.averaged.network.state_dict()),
            optimizer=self.updates.optimizer.state_dict(),
            scaler=self.updates.scaler.state_dict(),
            loss=self.updates.loss.state_dict(),
            choice=self.choice.state(),
            random_state=torch.get_rng_state(),
            options=asdict(self.options),
            classes=list(self.data_set.classes),
            cfg=self.network.cfg.to_text(),
            dataset_fingerprint=self.data_set.fingerprint,
        )

    def finish(self) -> TrainingSummary:
        """Writes the best averaged weights as Darknet's pair, and the verdict; of the first process alone."""
        best = read_checkpoint(self.checkpoints / BEST)
        network = self.averaged.network
        network.load_state_dict(best.averaged)
        check_frozen_unchanged(self.frozen_hashes, network)
        network.save_weights(self.out / "model.weights", header=WeightsHeader(seen=best.seen))
        write_freeze_plan(network.cfg, self.updates.plan.exported()).write(self.out / "model.cfg")
        verdicts = self._verdicts(network, best)
        rows = {row.iteration: row for row in self.history.rows}
        summary = TrainingSummary(
            best_ap50=rows[best.iteration].ap50 or 0.0,
            best_iteration=best.iteration,
            baseline_ap50=rows[0].ap50 if 0 in rows else None,
            iteration=self.iteration,
            loss=self.loss,
            seconds=self.history.rows[-1].seconds,
            stopped=self.stopped,
            verdicts=verdicts,
            skipped=self.pictures.skipped.counts,
        )
        document = {
            "learnt": summary.learnt,
            "is_improvement": summary.is_improvement,
            "verdicts": [verdict.document() for verdict in verdicts],
        }
        write_json(self.out / VERDICT_NAME, document)
        return summary

    def _verdicts(self, network: Network, best: Checkpoint) -> tuple[Verdict, ...]:
        """Of val, by the weights that each half of its pictures would have chosen for the other; of test, plainly."""
        if not self.carried:
            return (no_baseline("val", "the start weights know none of the classes"),)
        if best.iteration == 0:
            return (Verdict("val", NOTHING_LEARNT, self.carried, note="the start weights stayed the best"),)
        assert self.choice.start is not None
        verdicts = [self._judged(self.validation, self.choice.start, self.choice.fair_detections())]
        if self.data_set.split("test"):
            test = Validation(self.data_set, self.options.validation(), cache=self.pictures.cache, split="test")
            test.prepare(network)
            after = test.measure(network).detections
            network.load_state_dict(self._start)
            before = test.measure(network).detections
            network.load_state_dict(best.averaged)
            verdicts.append(self._judged(test, before, after))
        return tuple(verdicts)

    def _judged(self, validation: Validation, before: Any, after: Any) -> Verdict:
        return judge(
            before,
            after,
            validation.truth,
            validation.labels,
            split=validation.split,
            metric=self.options.best_by,
            classes=self.carried,
            confidence_threshold=validation.nms.confidence_threshold,
        )


def _with(row: HistoryRow, measured: Measured, **changes: Any) -> HistoryRow:
    return replace(row, ap=measured.ap, ap50=measured.ap50, f1=measured.f1, **changes)
