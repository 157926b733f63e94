"""Trains a network: from a data set folder and options to a run folder with checkpoints, history and best weights."""

import contextlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.open_network import choose_device
from traffic_yolo.errors import TrainingError
from traffic_yolo.pruned_from import PRUNED_NAME
from traffic_yolo.storage import AnyPath, existing_path, output_path, sha256_of_file, write_text
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn, picture_hashes
from traffic_yolo.training.checkpoint import LAST, PREVIOUS, differences, read_last
from traffic_yolo.training.distributed import Processes, process_group, requested
from traffic_yolo.training.event_log import LoggedRun
from traffic_yolo.training.event_logs import event_logs
from traffic_yolo.training.interrupts import watched
from traffic_yolo.training.log_to import check_log_to
from traffic_yolo.training.options import RESUME, TrainingOptions
from traffic_yolo.training.run import Run
from traffic_yolo.training.run_lock import is_unused, run_lock
from traffic_yolo.training.run_outputs import RunOutputs
from traffic_yolo.training.settings import resolved_options
from traffic_yolo.training.summary import FinishedTraining, TrainingSummary
from traffic_yolo.training.teacher_files import TeacherFiles

log = logging.getLogger(__name__)


def train(
    dataset: AnyPath,
    out: AnyPath,
    options: TrainingOptions,
    *,
    resume: str | bool = "no",
    tell: Callable[[str], None] = log.info,
) -> TrainingSummary:
    """Trains on split train, chooses by split val, and writes the run folder `out` (docs/architecture.md, Artifacts).

    `resume`: "no" wants a new or empty folder; "yes" goes on from its last checkpoint with the same options and then
    gives what the undisturbed run would have given (on a CPU, bit for bit); "auto" does whichever the folder asks for,
    so that one command serves a first start and a restart. Under torchrun, every process calls this alike and gets the
    first one's summary. `tell` is handed lines for the user: settings, device, the start's AP50. Raises
    `TrainingError` and the other errors of bad input, and `TrainingInterrupted` after SIGTERM or Ctrl-C; the run folder
    then keeps its last whole checkpoint.
    """
    resume = {True: "yes", False: "no"}[resume] if isinstance(resume, bool) else resume
    if resume not in RESUME:
        raise TrainingError(f"resume: expected {', '.join(RESUME)}, found {resume!r}")
    out = output_path(out)
    data_set = DataSet.open(dataset)
    processes = requested()
    device = _device(options, processes)
    check_log_to(options.log_to)
    _goes_on(out, options, resume)  # before anything is made
    with contextlib.ExitStack() as stack:
        if processes.is_first:
            stack.enter_context(run_lock(out))
        goes_on = _goes_on(out, options, resume)
        processes = stack.enter_context(process_group(device.type))
        # Layers draw first weights, and dropout its masks, from torch's own generator; the caller's stays as it was
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        torch.manual_seed(options.seed)
        interrupts = stack.enter_context(watched())
        run = Run(data_set, out, options, device, processes, tell=tell)
        # One process looks for all: the others might look when it has begun to write
        found = goes_on and any((run.checkpoints / name).exists() for name in (LAST, PREVIOUS))
        resumes = bool(processes.from_first(found))
        if resumes:
            _check_same_files(out, options)
            run.restore(read_last(run.checkpoints))
        if not processes.is_first:
            if not resumes:
                run.begin()
            run.go_on(interrupts)
            return cast(TrainingSummary, processes.from_first(None))
        options.write(out / "options.yaml")  # also of a run that goes on: a longer one is one from now on
        told = LoggedRun(out, asdict(resolved_options(options, run.settings)), resumed_after=run.iteration)
        outputs = RunOutputs(run, stack.enter_context(event_logs(options.log_to, told)))
        run.on_row, run.on_batch = outputs.row, outputs.batch
        if not resumes:
            _trained_on(run).write(out / TRAINED_ON_NAME)
            _keep_pruning(out, options)
            write_text(out / "classes.names", "".join(f"{name}\n" for name in data_set.classes))
            run.begin()
        outputs.begin()
        run.go_on(interrupts)
        summary = run.finish()
        outputs.finish(summary)
        FinishedTraining.of(summary).write(out)
        processes.from_first(summary)
        return summary


def _device(options: TrainingOptions, processes: Processes) -> torch.device:
    """The device of this process: of several GPUs, the one of its number on the machine."""
    device = choose_device(options.device)
    if device.type != "cuda" or processes.world_size == 1:
        return device
    count = torch.cuda.device_count()
    if processes.local_rank >= count:
        raise TrainingError(
            f"process {processes.local_rank} of this machine has no GPU of its own: PyTorch sees {count}; start at "
            f"most {count} processes (torchrun --nproc-per-node), or train on --device cpu"
        )
    return torch.device("cuda", processes.local_rank)


def _trained_on(run: Run) -> TrainedOn:
    """What the weights will have seen when the training is done; a picture that is not there is not seen."""
    data_set, weights = run.data_set, run.options.weights
    start = existing_path(weights, what="weights") if weights else None
    trained_on = TrainedOn(
        data_fingerprint=data_set.fingerprint,
        pictures=picture_hashes(data_set.root, data_set.manifest, run.pictures.there),
        chosen_on=picture_hashes(
            data_set.root, data_set.manifest, [image.file_name for image in run.validation.images]
        ),
        start_weights=start.name if start else "",
        start_weights_sha256=sha256_of_file(start) if start else "",
    )
    if run.beside.teacher is None:
        return trained_on
    files = run.beside.teacher.files
    return trained_on.taught_by(files.trained_on, weights=files.weights)


def _keep_pruning(out: Path, options: TrainingOptions) -> None:
    """Copies the record of a pruning that lies beside the start weights: the model goes on to be a pruned one."""
    beside = existing_path(options.weights, what="weights").parent / PRUNED_NAME if options.weights else None
    if beside is not None and beside.is_file():
        shutil.copyfile(beside, out / PRUNED_NAME)


def _check_same_files(out: Path, options: TrainingOptions) -> None:
    """Raises `TrainingError` where the start weights or the teacher's are not those of the interrupted run.

    Verdicts compare with the start weights, and layers that were never trained have their values.
    """
    if not options.weights and not options.teacher:
        return
    stated = TrainedOn.read(out / TRAINED_ON_NAME)
    if options.weights:
        weights = existing_path(options.weights, what="weights")
        _check_same_file(weights, stated.start_weights_sha256, "the file that the run started from")
    if options.teacher:
        taught_by = TeacherFiles.find(options.teacher).weights
        _check_same_file(taught_by, stated.teacher_weights_sha256, "the teacher that the run began with")


def _check_same_file(path: Path, expected: str, what: str) -> None:
    found = sha256_of_file(path)
    if found != expected:
        raise TrainingError(
            f"resume: {path} is not {what}: expected SHA-256 {expected[:12]}…, found {found[:12]}…; put that file "
            f"back, or train into a new folder"
        )


def _goes_on(out: Path, options: TrainingOptions, resume: str) -> bool:
    """Whether there is a run to go on with; `TrainingError` where the folder is not what `resume` says of it."""
    is_there = (out / "options.yaml").is_file()
    if resume == "yes" and not is_there:
        raise TrainingError(f"nothing to resume: {out} holds no training run; start it without --resume")
    if resume == "no" or not is_there:
        if out.exists() and not (out.is_dir() and is_unused(out)):
            raise TrainingError(
                f"training run exists already: {out}; resume it (--resume), remove it, or choose another folder"
            )
        return False
    _, refused = differences(vars(TrainingOptions.read(out / "options.yaml")), vars(options))
    if refused:
        raise TrainingError(
            f"resume: the options differ from {out / 'options.yaml'}: {refused[0]}; train into a new folder"
        )
    return True
