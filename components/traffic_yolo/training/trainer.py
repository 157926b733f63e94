"""The training loop: from a data set folder and options to a run folder with checkpoints, history and best weights."""

import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.open_network import choose_device
from traffic_yolo.errors import TrainingError
from traffic_yolo.progress import progress_bar
from traffic_yolo.storage import AnyPath, existing_path, output_path, sha256_of_file, write_text
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn, picture_hashes
from traffic_yolo.training.augmentation_settings import network_sizes_of
from traffic_yolo.training.checkpoint import Checkpoint, check_same_run, read_checkpoint, write_checkpoint
from traffic_yolo.training.ema import AveragedNetwork
from traffic_yolo.training.freeze import freeze, set_training_mode, trainable_layers
from traffic_yolo.training.history import History, HistoryRow, write_curves
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.loss import check_heads, yolo_loss
from traffic_yolo.training.optimiser import build_optimizer, set_rate
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import Settings, resolve
from traffic_yolo.training.start import start_network
from traffic_yolo.training.training_pictures import TrainingPictures
from traffic_yolo.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSummary:
    """What a training came to: AP50 on val of the weights delivered, updates, last loss per picture, wall time."""

    best_ap50: float
    iteration: int
    loss: float
    seconds: float


def train(dataset: AnyPath, out: AnyPath, options: TrainingOptions, *, resume: bool = False) -> TrainingSummary:
    """Trains on split train, chooses by split val, and writes the run folder `out` (docs/architecture.md, Artifacts).

    `out` must not exist or be empty, unless `resume`, which goes on from its last checkpoint with the same options and
    then gives what the undisturbed run would have given (on a CPU, bit for bit). Raises `TrainingError` and the other
    errors of bad input; the run folder then keeps its last whole checkpoint.
    """
    started = time.monotonic()
    out = output_path(out)
    data_set = DataSet.open(dataset)
    _check_folder(out, options, resume=resume)
    device = choose_device(options.device)
    # Layers draw their first weights, and dropout its masks, from torch's own generator; the caller's stays as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        run = _Run(data_set, out, options, device)
        if resume and run.last_path.exists():
            run.restore(read_checkpoint(run.last_path))
        else:
            options.write(out / "options.yaml")
            _trained_on(data_set, options).write(out / TRAINED_ON_NAME)
            write_text(out / "classes.names", "".join(f"{name}\n" for name in data_set.classes))
            run.history = History(out / "history.csv")
        run.go_on(started)
        return run.finish()


def _trained_on(data_set: DataSet, options: TrainingOptions) -> TrainedOn:
    """What the weights will have seen when the training is done."""
    seen = {split: [image.file_name for image in data_set.split(split)] for split in ("train", "val")}
    start = existing_path(options.weights, what="weights") if options.weights else None
    return TrainedOn(
        data_fingerprint=data_set.fingerprint,
        pictures=picture_hashes(data_set.root, data_set.manifest, seen["train"]),
        chosen_on=picture_hashes(data_set.root, data_set.manifest, seen["val"]),
        start_weights=start.name if start else "",
        start_weights_sha256=sha256_of_file(start) if start else "",
    )


def _check_folder(out: Path, options: TrainingOptions, *, resume: bool) -> None:
    occupied = out.exists() and not (out.is_dir() and next(out.iterdir(), None) is None)
    if resume and not (out / "options.yaml").is_file():
        raise TrainingError(f"nothing to resume: {out} holds no training run; start it without resume")
    if resume and TrainingOptions.read(out / "options.yaml") != options:
        raise TrainingError(f"resume: the options differ from {out / 'options.yaml'}; train into a new folder")
    if occupied and not resume:
        raise TrainingError(f"training run exists already: {out}; resume it, remove it, or choose another folder")


class _Run:
    """The state of a training between two updates."""

    history: History

    def __init__(self, data_set: DataSet, out: Path, options: TrainingOptions, device: torch.device) -> None:
        self.data_set, self.out, self.options, self.device = data_set, out, options, device
        network = start_network(options, data_set.classes)
        check_heads(network.heads)
        self.settings: Settings = resolve(options, network.cfg)
        self.trainable = trainable_layers(network, options.fine_tune_layers)
        freeze(network, self.trainable)
        self.network: Network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedNetwork(self.network, self.settings.ema_alpha)
        self.optimizer = build_optimizer(self.network, self.settings)
        self.pictures, self.validation = self._open_pictures()
        self.iteration, self.loss = 0, math.nan
        self.seconds_before = 0.0
        self.best_ap50: float | None = None
        self.best_iteration = 0
        log.info("%s", self.settings)
        trained = sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)
        log.info("%d of %d layers train, %d parameters", len(self.trainable), len(network.layers), trained)

    @property
    def last_path(self) -> Path:
        return self.out / "checkpoints" / "last.pt"

    @property
    def best_path(self) -> Path:
        return self.out / "checkpoints" / "best.pt"

    def _open_pictures(self) -> tuple[TrainingPictures, Validation]:
        options = self.options
        sizes = network_sizes_of(
            options,
            self.network.cfg,
            batch=options.batch,
            subdivisions=options.subdivisions,
            max_batches=options.max_batches,
            stride=self.network.max_stride,
        )
        pictures = TrainingPictures.open(
            self.data_set, self.network, options, augmentation=self.settings.augmentation, sizes=sizes
        )
        validation = Validation(self.data_set, options.validation(), cache=pictures.cache)
        validation.prepare(self.averaged.network)
        return pictures, validation

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over a checkpoint's state, in place."""
        check_same_run(checkpoint, self.options, self.data_set.classes, self.data_set.fingerprint)
        self.network.load_state_dict(checkpoint.network)
        self.averaged.network.load_state_dict(checkpoint.averaged)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.iteration, self.seconds_before = checkpoint.iteration, checkpoint.seconds
        self.best_ap50, self.best_iteration = checkpoint.best_ap50, checkpoint.best_iteration
        torch.set_rng_state(checkpoint.random_state)
        self.history = History(self.out / "history.csv", keep=self.iteration)
        self.loss = self.history.rows[-1].loss if self.history.rows else math.nan
        log.info("resumed %s after iteration %d", self.out, self.iteration)

    def go_on(self, started: float) -> None:
        """Updates until `max_batches`; validates and writes checkpoints on the way."""
        options, last = self.options, self.options.max_batches
        stream = self.pictures.batches(first=self.iteration, last=last, workers=options.workers)
        bar: tqdm[Any] = progress_bar(description="train", unit="it", total=last)
        with bar:
            bar.update(self.iteration)
            for batch in stream:
                row = self._update(batch, started)
                if self.iteration % self.settings.evaluate_every == 0 or self.iteration == last:
                    self._evaluate(row, started)
                else:
                    self.history.append(row)
                best = "-" if self.best_ap50 is None else f"{self.best_ap50:.3f}"
                bar.set_postfix(loss=f"{self.loss:.3f}", ap50=best, refresh=False)
                bar.update()

    def _seconds(self, started: float) -> float:
        return round(self.seconds_before + time.monotonic() - started, 3)

    def _update(self, batch: Batch, started: float) -> HistoryRow:
        """One weight update from one batch."""
        set_training_mode(self.network, self.trainable)
        rate = self.settings.schedule.rate(self.iteration + 1)
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        part = self.options.batch // self.options.subdivisions
        sums = torch.zeros(3, dtype=torch.float64)
        for start in range(0, self.options.batch, part):
            sums += self._backward(batch, start, start + part)
        box, objectness, classes = (sums / self.options.batch).tolist()
        self.loss = box + objectness + classes
        if not math.isfinite(self.loss):
            raise TrainingError(
                f"loss is {self.loss} at iteration {self.iteration + 1} with learning rate {rate:g}: "
                "try a smaller learning_rate, a longer burn_in, or precision float32; "
                f"the last good checkpoint is in {self.last_path.parent}"
            )
        self.optimizer.step()
        self.iteration += 1
        self.averaged.update(self.network, self.iteration)
        seen = self.iteration * self.options.batch
        seconds = self._seconds(started)
        return HistoryRow(self.iteration, seen, rate, self.loss, box, objectness, classes, seconds)

    def _backward(self, batch: Batch, start: int, stop: int) -> torch.Tensor:
        """Adds the gradient of pictures `start` to `stop` - 1; their sums of the box, objectness and class losses."""
        images = batch.images[start:stop].to(self.device).float().div_(255)
        height, width = images.shape[2:]
        bfloat16 = self.options.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            outputs = self.network(images)
        truths = batch.truths.of_images(start, stop)
        outputs = [output.float() for output in outputs]
        loss = yolo_loss(self.network.heads, outputs, truths, network_wh=(width, height))
        (loss.total / self.options.batch).backward()  # type: ignore[no-untyped-call]
        return torch.stack([loss.box, loss.objectness, loss.classes]).double().cpu()

    def _evaluate(self, row: HistoryRow, started: float) -> None:
        """Measures the averaged network, then writes the update's row with its AP50, then the checkpoints."""
        ap50 = self.validation.ap50(self.averaged.network)
        is_best = self.best_ap50 is None or ap50 > self.best_ap50
        if is_best:
            self.best_ap50, self.best_iteration = ap50, self.iteration
        seconds = self._seconds(started)
        self.history.append(replace(row, ap50=ap50, seconds=seconds))
        checkpoint = self._checkpoint(seconds)
        if is_best:
            write_checkpoint(self.best_path, checkpoint)
        write_checkpoint(self.last_path, checkpoint)
        log.info("iteration %d: loss %.3f, AP50 %.4f, best %.4f", self.iteration, self.loss, ap50, self.best_ap50)

    def _checkpoint(self, seconds: float) -> Checkpoint:
        def on_cpu(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: value.detach().cpu() for name, value in values.items()}

        return Checkpoint(
            iteration=self.iteration,
            seen=self.iteration * self.options.batch,
            seconds=seconds,
            best_ap50=self.best_ap50,
            best_iteration=self.best_iteration,
            network=on_cpu(self.network.state_dict()),
            averaged=on_cpu(self.averaged.network.state_dict()),
            optimizer=self.optimizer.state_dict(),
            random_state=torch.get_rng_state(),
            options=asdict(self.options),
            classes=list(self.data_set.classes),
            cfg=self.network.cfg.to_text(),
            dataset_fingerprint=self.data_set.fingerprint,
        )

    def finish(self) -> TrainingSummary:
        """Writes the best averaged weights as Darknet's pair, and the curves."""
        best = read_checkpoint(self.best_path)
        network = self.averaged.network
        network.load_state_dict(best.averaged)
        network.save_weights(self.out / "model.weights", header=WeightsHeader(seen=best.seen))
        network.cfg.write(self.out / "model.cfg")
        write_curves(self.out / "curves.svg", self.history.rows)
        assert self.best_ap50 is not None
        seconds = self.history.rows[-1].seconds
        return TrainingSummary(self.best_ap50, self.iteration, self.loss, seconds)
