"""A training between two updates: its state, what it measures and keeps on the way, and what it ends with."""

import contextlib
import copy
import logging
import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from traffic_yolo.darknet.freeze_plan import write_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import EvaluationError, TrainingError
from traffic_yolo.progress import progress_bar
from traffic_yolo.storage import write_text
from traffic_yolo.training.augmentation_settings import network_sizes_of
from traffic_yolo.training.checkpoint import (
    BEST,
    Checkpoint,
    check_same_run,
    fitting,
    read_checkpoint,
    write_checkpoint,
    write_last,
)
from traffic_yolo.training.choice import Choice
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.ema import AveragedNetwork
from traffic_yolo.training.fake_quantise import (
    QUANTISERS_NAME,
    quantise,
    ranges_of,
    read_quantisers,
    round_kernels_for_good,
    write_quantisers,
)
from traffic_yolo.training.freeze import check_frozen_unchanged, tensor_hashes
from traffic_yolo.training.history import LOSSES, History, HistoryRow
from traffic_yolo.training.interrupts import InterruptedWork, Interrupts, TrainingInterrupted
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.pace import Pace, bar_text
from traffic_yolo.training.rate_test import try_rate, wants_test
from traffic_yolo.training.scale_history import ROWS, SCALES_NAME, ScaleHistory
from traffic_yolo.training.settings import Settings, flags_text, resolve, settings_text
from traffic_yolo.training.sparsity import check_trainable
from traffic_yolo.training.start import carried_classes, class_change, start_network
from traffic_yolo.training.summary import TrainingSummary, rise_to_the_end
from traffic_yolo.training.teacher import Teacher
from traffic_yolo.training.training_pictures import TrainingPictures
from traffic_yolo.training.update import BesideLabels, Updated, Updates
from traffic_yolo.training.validation import Measured, Validation
from traffic_yolo.training.verdict import NOTHING_LEARNT, WORSENED, Verdict, judge, no_baseline
from traffic_yolo.verdict_file import VERDICT_NAME, write_verdict

CHECKPOINT_EVERY_S = 600.0  # a node that is lost costs no more than this

log = logging.getLogger(__name__)


class Run:
    """One training; with several processes, each has one, and the first one's measures and writes for all."""

    history: History

    def __init__(
        self,
        data_set: DataSet,
        out: Path,
        options: TrainingOptions,
        device: torch.device,
        processes: Processes,
        *,
        tell: Callable[[str], None] = log.info,
    ) -> None:
        """Raises for whatever can be told to be wrong before the first update; writes nothing.

        `tell` is handed lines for the user, by the first process alone.
        """
        self.data_set, self.out, self.options, self.device = data_set, out, options, device
        self.processes, self.tell = processes, tell if processes.is_first else log.debug
        network = start_network(options, data_set.classes)
        self.carried = carried_classes(options, network, data_set.classes)
        self._check_options()
        if options.quantisers:
            quantise(network, read_quantisers(options.quantisers))
        self.images = data_set.split("train", missing_files=True)  # which the loader skips and counts
        self.settings: Settings = resolve(options, network, num_pictures=len(self.images))
        if self.settings.batch < processes.world_size:
            raise TrainingError(
                f"batch: expected at least one picture for each of {processes.world_size} processes, found "
                f"{self.settings.batch}; give a larger --batch or start fewer processes"
            )
        plan = self.settings.layer_plan(network)
        plan.apply(network, 0)
        self.network: Network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedNetwork(self.network, self.settings.ema_alpha)
        start = self.network.state_dict() if self.carried else {}  # what the verdict on test wants again
        self._start = {name: value.detach().cpu().clone() for name, value in start.items()}
        self.beside = BesideLabels(
            teacher=self._open_teacher(),
            teacher_weight=options.teacher_weight,
            sparsity=options.sparsity,
            sparsity_kind=options.sparsity_kind,
        )
        self.updates = Updates(
            self.network,
            self.settings,
            plan,
            loss=options.loss,
            precision=options.precision,
            compile=options.compile,
            device=device,
            processes=processes,
            beside=self.beside,
        )
        if self.updates.sparsity is not None:
            check_trainable(self.updates.sparsity, plan)
        self.scales: ScaleHistory | None = None
        self.frozen_hashes = tensor_hashes(self.network, plan.untouched)
        self._open_pictures()
        self.iteration, self.loss = 0, math.nan
        self.validated_at = -1  # the iteration of the last validation that was taken in
        self.seconds_before, self.stopped = 0.0, ""
        self.on_row: Callable[[HistoryRow], None] = lambda _: None
        self.on_batch: Callable[[int, Batch], None] = lambda _, __: None
        self._best: tuple[int, Measured] | None = None
        self.started = self.saved = time.monotonic()

    def _check_options(self) -> None:
        if self.options.require_improvement and not self.carried:
            reason = "the start is random" if not self.options.weights else "no class of the data is among the start's"
            raise TrainingError(
                f"require_improvement: {reason}, so there is no baseline to improve on; give weights of a trained "
                f"model{'' if self.options.weights else ' (--weights)'}, or leave --require-improvement out"
            )

    def _sizes(self) -> NetworkSizes:
        return network_sizes_of(
            self.options,
            self.network.cfg,
            batch=self.settings.batch,
            subdivisions=self.settings.subdivisions,
            max_batches=self.settings.max_batches,
            stride=self.network.max_stride,
        )

    def _open_teacher(self) -> Teacher | None:
        options = self.options
        if not options.teacher:
            return None
        is_fixed = self.settings.augmentation.changes_nothing and not self._sizes().varies
        return Teacher.open(
            options.teacher,
            self.network,
            self.data_set.classes,
            device=self.device,
            keep_mib=options.cache_mib if is_fixed else None,
        )

    def _open_pictures(self) -> None:
        options = self.options
        self.pictures = TrainingPictures.open(
            self.data_set,
            self.images,
            self.network,
            options,
            augmentation=self.settings.augmentation,
            sizes=self._sizes(),
            processes=self.processes,
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
        """Says what will be done, measures the start, where there is one, and writes the first checkpoint."""
        if change := class_change(self.options, self.data_set.classes, self.carried):
            self.tell(change)
        self.tell(self._what_trains())
        if self.beside.teacher is not None:
            self.tell(self.beside.teacher.text)
        if self.updates.sparsity is not None:
            self.tell(self.updates.sparsity.text)
        self.tell(self.pictures.box_counts.describe())
        if self.choice.text:
            self.tell(self.choice.text)
        if wants_test(self.options, self.settings, self.network):
            self._test_rate()
        self.tell(f"recipe {self.settings.recipe}: {flags_text(self.options, self.settings)}")
        self.validated_at = 0
        if not self.processes.is_first:
            return
        write_text(self.out / "settings.yaml", settings_text(self.options, self.settings))
        self.history = History(self.out / "history.csv")
        if self.updates.sparsity is not None:
            self.scales = ScaleHistory(self.out / SCALES_NAME)
            self._add_scales()
        if self.carried:
            measured = self.validation.measure(self.averaged.network)
            self.choice.add(0, measured.detections, is_start=True)
            self._best = (0, measured)
            nan = math.nan
            self.history.append(_with(HistoryRow(0, 0, 0.0, nan, nan, nan, nan, self.seconds), measured))
            self.on_row(self.history.rows[-1])
            self.tell(f"start: AP50 on val {measured.ap50:.4f}")
        self._save(best=bool(self.carried))

    def _test_rate(self) -> None:
        """Tries the recipe's rate on a copy, and takes a smaller one where it does harm."""

        def batches(first: int, last: int) -> Generator[Batch, None, None]:
            return self.pictures.batches(
                first=first, last=last, workers=0, rank=self.processes.rank, world_size=self.processes.world_size
            )

        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            found = try_rate(
                self.network,
                self.settings,
                batches,
                loss=self.options.loss,
                precision=self.options.precision,
                device=self.device,
                processes=self.processes,
                beside=self.beside,
            )
        self.tell(found.text)
        self._take_rate(found.learning_rate)

    def _take_rate(self, rate: float) -> None:
        """The learning rate of all updates from now on, in place of that of the options."""
        self.settings = replace(self.settings, schedule=replace(self.settings.schedule, learning_rate=rate))
        self.updates.settings = self.settings

    def _what_trains(self) -> str:
        """Device, processes, and how much of the network ever changes."""
        name = (
            torch.cuda.get_device_name(self.device)
            if self.device.type == "cuda"
            else f"{torch.get_num_threads()} threads"
        )
        together = f", {self.processes.world_size} processes" if self.processes.world_size > 1 else ""
        trained = sum(self.network.sections[index].num_weights for index in self.updates.plan.ever_trainable)
        share = trained / max(self.network.num_weights, 1)
        layers = f"{len(self.updates.plan.ever_trainable)} of {len(self.network.layers)} layers"
        return f"{self.device.type} ({name}{together}); {layers} train, {share:.0%} of the weights"

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over a checkpoint's state, in place; `TrainingError` for one of another run, or that does not fit."""
        cfg = self.network.cfg.to_text()
        check_same_run(checkpoint, self.options, self.data_set.classes, self.data_set.fingerprint, cfg=cfg)
        with fitting(checkpoint):
            self.network.load_state_dict(checkpoint.network)
            self.averaged.network.load_state_dict(checkpoint.averaged)
            self.updates.optimizer.load_state_dict(checkpoint.optimizer)
            self.updates.scaler.load_state_dict(checkpoint.scaler)
            self.updates.loss.load_state_dict(checkpoint.loss)
            self.choice.restore(checkpoint.choice)
            self.pictures.skipped.restore(checkpoint.skipped)
            torch.set_rng_state(checkpoint.random_state)
        self.iteration, self.seconds_before = checkpoint.iteration, checkpoint.seconds
        self.validated_at = self.iteration if checkpoint.is_validated else -1
        self._take_rate(checkpoint.learning_rate)
        if self.processes.is_first:
            self.history = History(self.out / "history.csv", keep=self.iteration)
            if self.updates.sparsity is not None:
                self.scales = ScaleHistory(self.out / SCALES_NAME, keep=self.iteration)
            rows = self.history.rows
            self.loss = rows[-1].loss if rows else math.nan
            self._settle_best()
        self.tell(f"resumed {self.out} after iteration {self.iteration}")

    def _settle_best(self) -> None:
        """Makes the choice that of the weights in `best.pt`, which may not be those of the state that was taken over.

        A process that died between the two files has newer weights there, and an older state goes on where the last one
        is damaged: they were measured all the same. Where they cannot be read, the next validation chooses anew.
        """
        path = self.checkpoints / BEST
        if self.choice.best_value is None and not path.exists():
            return
        try:
            best = read_checkpoint(path)
        except TrainingError as error:
            log.warning("%s; the next validation has the best weights", error)
            self.choice.best_value = None
        else:
            self.choice.best_value = best.choice["best_value"]
            self.choice.best_iteration = best.iteration

    def go_on(self, interrupts: Interrupts) -> None:
        """Updates until the end; validates and writes checkpoints on the way.

        `on_batch` is shown every batch with the updates before it, `on_row` every row, and again after a validation.
        Raises `TrainingInterrupted` after a signal, the state saved.
        """
        if self._is_due() and self.validated_at != self.iteration:
            self._validate(interrupts)
        if not (self.iteration and self._should_stop()):
            self._update_until_the_end(interrupts)
        if self.validated_at != self.iteration:
            self._validate(interrupts)

    def _is_due(self) -> bool:
        """Whether an undisturbed run validates after this iteration."""
        return self.iteration > 0 and (
            self.iteration % self.settings.evaluate_every == 0 or self.iteration == self.settings.max_batches
        )

    def _update_until_the_end(self, interrupts: Interrupts) -> None:
        last = self.settings.max_batches
        stream = self.pictures.batches(
            first=self.iteration,
            last=last,
            workers=self.options.workers,
            rank=self.processes.rank,
            world_size=self.processes.world_size,
        )
        bar: tqdm[Any] = progress_bar(description="train", unit="it", total=last)
        self._pace = Pace(time.monotonic(), iteration=self.iteration, last=last)
        with bar, contextlib.closing(stream):
            bar.update(self.iteration)
            for batch in stream:
                if self.processes.is_first:
                    self.on_batch(self.iteration, batch)
                self._update(batch)
                if self._is_due():
                    self._validate(interrupts)
                    self._pace.pause(time.monotonic())
                elif self.processes.is_first and time.monotonic() - self.saved > CHECKPOINT_EVERY_S:
                    self._save()
                self._show(bar)
                signal_number = self.processes.largest(interrupts.number)
                if signal_number:
                    self._interrupted(signal_number)
                if self._should_stop():
                    break

    @property
    def seconds(self) -> float:
        """Of the whole run, interruptions left out."""
        return round(self.seconds_before + time.monotonic() - self.started, 3)

    @property
    def seen(self) -> int:
        """Pictures that the updates so far have taken, all processes together."""
        return self.pictures.samples.sizes.first_place(self.iteration)

    def _update(self, batch: Batch) -> None:
        updated: Updated = self.updates.update(batch, self.iteration)
        self.iteration += 1
        self.loss = updated.loss
        self.averaged.update(self.network, self.iteration)
        if self.processes.is_first:
            self._add_scales()
            self._pace.update(time.monotonic(), pictures=batch.num_pictures, iteration=self.iteration)
            speed = self._pace.images_per_s
            parts = (updated.rate, updated.loss, updated.box, updated.objectness, updated.classes)
            speed = None if speed is None else round(speed, 2)
            self.history.append(
                HistoryRow(
                    self.iteration,
                    self.seen,
                    *parts,
                    self.seconds,
                    images_per_s=speed,
                    distillation=updated.distillation,
                )
            )
            self.on_row(self.history.rows[-1])

    def _add_scales(self) -> None:
        """Every so often, how large the scales are that a penalty makes small, of the weights that are delivered."""
        last = self.settings.max_batches
        if self.scales is not None and (self.iteration % -(-last // ROWS) == 0 or self.iteration == last):
            assert self.updates.sparsity is not None
            self.scales.add(self.iteration, self.updates.sparsity.magnitudes(self.averaged.network))

    def _validate(self, interrupts: Interrupts) -> None:
        """Measures the averaged network, puts the numbers into the last row, and writes the checkpoints.

        A signal ends the measuring at once. What was measured is taken in whole, and saved.
        """
        told: object = None
        if self.processes.is_first:
            with contextlib.suppress(InterruptedWork):
                with interrupts.at_once():
                    measured = self._measure()
                self._take_in(measured)
                told = self.choice.validations_without_gain
        told = self.processes.from_first(told)
        if told is None:
            self._interrupted(self.processes.largest(interrupts.number))
        self.choice.validations_without_gain = int(told)  # type: ignore[call-overload]
        self.validated_at = self.iteration

    def _measure(self) -> Measured:
        try:
            return self.validation.measure(self.averaged.network)
        except EvaluationError as error:  # boxes that are no numbers any more
            raise TrainingError(
                f"validation after iteration {self.iteration}: {error}: try a smaller --learning-rate "
                f"or a longer --burn-in"
            ) from error

    def _take_in(self, measured: Measured) -> None:
        is_best = self.choice.add(self.iteration, measured.detections)
        if is_best:
            self._best = (self.iteration, measured)
        self.validated_at = self.iteration
        self.history.amend(_with(self.history.rows[-1], measured, seconds=self.seconds))
        self.on_row(self.history.rows[-1])
        self._save(best=is_best)
        log.info("iteration %d: loss %.3f, AP50 %.4f", self.iteration, self.loss, measured.ap50)

    def best_measured(self) -> Measured:
        """What the best weights score on val; measured again where an interruption has lost it."""
        if self._best is None or self._best[0] != self.choice.best_iteration:
            network = self.averaged.network
            network.load_state_dict(read_checkpoint(self.checkpoints / BEST).averaged)
            self._best = (self.choice.best_iteration, self.validation.measure(network))
        return self._best[1]

    def _interrupted(self, signal_number: int) -> None:
        """Saves and raises `TrainingInterrupted`."""
        if self.processes.is_first:
            self._save()
        raise TrainingInterrupted(signal_number)

    def _should_stop(self) -> bool:
        """Whether patience or time are used up; `stopped` then says so."""
        options = self.options
        limit, patience = options.time_limit_minutes, options.patience
        late = limit is not None and self.processes.largest(int(self.seconds > 60 * limit)) > 0
        if late and self.iteration < self.settings.max_batches:
            self.stopped = f"stopped by the time limit of {limit:g} minutes"
        elif patience is not None and self.choice.validations_without_gain >= patience:
            self.stopped = f"stopped after {patience} validations without a gain"
        return bool(self.stopped)

    def _show(self, bar: "tqdm[Any]") -> None:
        if not self.processes.is_first:
            return
        row = self.history.rows[-1]
        text = bar_text(
            loss={name: value for name in (*LOSSES, "distillation") if (value := getattr(row, name)) is not None},
            learning_rate=row.learning_rate,
            images_per_s=self._pace.images_per_s,
            seconds_left=self._pace.seconds_left,
            best={} if self.choice.best_value is None else {self.options.best_by: self.choice.best_value},
        )
        bar.set_postfix_str(text, refresh=False)
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
            seen=self.seen,
            seconds=self.seconds,
            is_validated=self.validated_at == self.iteration,
            network=on_cpu(self.network.state_dict()),
            averaged=on_cpu(self.averaged.network.state_dict()),
            optimizer=self.updates.optimizer.state_dict(),
            scaler=self.updates.scaler.state_dict(),
            loss=self.updates.loss.state_dict(),
            choice=self.choice.state(),
            skipped=self.pictures.skipped.state(),
            random_state=torch.get_rng_state(),
            learning_rate=self.settings.schedule.learning_rate,
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
        self._deliver(network, seen=best.seen)
        lasting = self.updates.plan.exported().for_good(max_batches=self.settings.max_batches)
        write_freeze_plan(network.cfg, lasting).write(self.out / "model.cfg")
        verdicts = self._verdicts(network, best)
        first = self.history.rows[0]
        measured = [row.ap50 for row in self.history.rows if row.ap50 is not None]
        summary = TrainingSummary(
            best_ap50=self.best_measured().ap50,
            best_iteration=best.iteration,
            baseline_ap50=first.ap50 if first.iteration == 0 else None,
            iteration=self.iteration,
            loss=self.loss,
            seconds=self.history.rows[-1].seconds,
            stopped=self.stopped,
            verdicts=verdicts,
            skipped=self.pictures.skipped.counts,
            rising=() if self.stopped else rise_to_the_end(measured),
        )
        write_verdict(
            self.out / VERDICT_NAME,
            learnt=summary.learnt,
            worse=tuple(verdict.text for verdict in verdicts if verdict.word == WORSENED),
            details={
                "is_improvement": summary.is_improvement,
                "verdicts": [verdict.document() for verdict in verdicts],
            },
        )
        return summary

    def _deliver(self, network: Network, *, seen: int) -> None:
        """Writes weights that a float32 runtime takes as they are, and the ranges that were trained besides."""
        if self.options.quantisers:
            network = copy.deepcopy(network)  # the verdict wants it with kernels that are rounded at each use
            round_kernels_for_good(network)
            write_quantisers(self.out / QUANTISERS_NAME, ranges_of(network))
        network.save_weights(self.out / "model.weights", header=WeightsHeader(seen=seen))

    def _verdicts(self, network: Network, best: Checkpoint) -> tuple[Verdict, ...]:
        """Of val, by the weights that each half of its pictures would have chosen for the other; of test, plainly."""
        if not self.carried:
            start = "weights know none of the classes" if self.options.weights else "is random"
            return (no_baseline("val", f"the start {start}"),)
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
