"""The command `detect`: one inference over a split into a file, whole or in shards, by processes or pods."""

import dataclasses
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import detect
from traffic_yolo.detection.detect_options import DetectOptions, parse_shard
from traffic_yolo.detection.merge import merge_detections
from traffic_yolo.detection.protocol import check_same_classes, protocol_of
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.model_folder import ModelFolder


def detect_file(
    model: Path, dataset: Path, split: str, out: Path, options: DetectOptions, runtime: RuntimeOptions | None = None
) -> RawDetections:
    """Writes the raw detections of a split, or of a shard of it, to `out`, and returns them.

    Raises `EvaluationError` for a model whose classes are not the data set's, or a split without pictures.
    """
    found = _shared(model, dataset, split, options, runtime or RuntimeOptions())
    found.save(out)
    return found


def _shared(model: Path, dataset: Path, split: str, options: DetectOptions, runtime: RuntimeOptions) -> RawDetections:
    """The detections by one process or several."""
    if runtime.runtime == "auto" and (options.shard or options.processes > 1):
        raise OptionsError("runtime auto could choose differently for each shard, and they would not merge; name one")
    if options.processes == 1:
        return _detect(model, dataset, split, options, runtime)
    if options.shard:
        raise OptionsError("shard and processes exclude each other: a shard is the work of one process")
    count = options.processes
    one_each = [dataclasses.replace(options, shard=f"{part}/{count}", processes=1) for part in range(1, count + 1)]
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(threads,),
        ) as pool,
    ):
        paths = [Path(folder) / f"{part}.npz" for part in range(count)]
        jobs = [
            pool.submit(_detect_to, path, model, dataset, split, shard, runtime)
            for path, shard in zip(paths, one_each, strict=True)
        ]
        for job in jobs:
            job.result()
        return merge_detections(paths, Path(folder) / "merged.npz")


def _detect_to(
    out: Path, model: Path, dataset: Path, split: str, options: DetectOptions, runtime: RuntimeOptions
) -> None:
    if parse_shard(options.shard)[0] > 1:
        os.environ["TRAFFIC_YOLO_PROGRESS"] = "0"  # one bar is enough: all parts are as long
    _detect(model, dataset, split, options, runtime).save(out)


def _detect(model: Path, dataset: Path, split: str, options: DetectOptions, runtime: RuntimeOptions) -> RawDetections:
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    check_same_classes(folder.classes, data.classes)
    images = data.split(split)
    if not images:
        raise EvaluationError(f"{dataset}: split {split!r} has no pictures to detect on; {data.filled_splits}")
    part, count = parse_shard(options.shard)
    mine = images[len(images) * (part - 1) // count : len(images) * part // count]
    network = Network.read(folder.cfg_path, folder.weights_path)
    network.to(_device(options.device))
    protocol = dataclasses.replace(protocol_of(folder, data, split), confidence_floor=options.confidence_floor)
    found = detect(network, mine, classes=folder.classes, protocol=protocol, batch=options.batch, runtime=runtime)
    return dataclasses.replace(found, shard=options.shard)


def _device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionsError("device is cuda, but PyTorch sees no GPU; use cpu or auto")
    return torch.device(device)
