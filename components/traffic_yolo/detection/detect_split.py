"""One inference of a model folder over a split, or a part of it, by one process or several."""

import dataclasses
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import detect
from traffic_yolo.detection.detect_options import DetectOptions, parse_shard
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.merge import merge_detections
from traffic_yolo.detection.open_network import open_network
from traffic_yolo.detection.protocol import detections_name, protocol_of, read_detections
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.processors import processors
from traffic_yolo.storage import AnyPath, input_path

MADE, REUSED = "made", "reused"


def detect_split(
    model: ModelFolder,
    data: DataSet,
    split: str,
    inference: InferenceOptions | None = None,
    *,
    options: DetectOptions | None = None,
) -> RawDetections:
    """The raw detections of a split, or of the shard of it that `options` name; none for a split without pictures.

    Raises `OptionsError` for what this machine or such a cut cannot do, `DatasetError` for pictures that cannot be
    read.
    """
    inference, options = inference or InferenceOptions(), options or DetectOptions()
    if options.shard:
        check_shardable(inference)
    if inference.processes == 1:
        return _detect(model, data, split, inference, options)
    return _by_processes(model, data, split, inference, options)


def check_shardable(inference: InferenceOptions) -> None:
    """Raises `OptionsError` for an inference that cannot be cut into shards which merge."""
    if inference.runtime == "auto":
        raise OptionsError("runtime auto could choose differently for each shard, and they would not merge; name one")
    if inference.processes > 1:
        raise OptionsError("shard and processes exclude each other: a shard is the work of one process")


def read_or_detect(
    location: AnyPath | None, model: ModelFolder, data: DataSet, splits: Sequence[str], inference: InferenceOptions
) -> tuple[dict[str, RawDetections], dict[str, str]]:
    """The raw detections of each split: those that lie at `location` (`read_detections`), the others made now.

    Also which were `REUSED` and which `MADE`. Raises `EvaluationError` for a folder that holds none of them, and for
    detections made under another protocol: those are never silently made again.
    """
    folder = None if location is None else input_path(location, what="raw detections")
    there = [split for split in splits if folder is not None and (folder / detections_name(split)).is_file()]
    if folder is not None and not there:
        expected = " or ".join(detections_name(split) for split in splits)
        raise EvaluationError(f"{folder}: holds no raw detections of the splits asked for; expected {expected}")
    reused = {split: read_detections(folder, model, data, split) for split in there if folder is not None}
    found: dict[str, RawDetections] = {}
    for split in splits:
        if split in reused:
            found[split] = reused[split]
            continue
        found[split] = detect_split(model, data, split, inference)
        if inference.runtime == "auto":  # chosen once: the splits of one evaluation are of one runtime
            inference = dataclasses.replace(inference, runtime=found[split].protocol.runtime)
    return found, {split: REUSED if split in reused else MADE for split in splits}


def _by_processes(
    model: ModelFolder, data: DataSet, split: str, inference: InferenceOptions, options: DetectOptions
) -> RawDetections:
    count, alone = inference.processes, dataclasses.replace(inference, processes=1, device="cpu")
    threads = max(1, processors() // count)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(threads,),
        ) as pool,
    ):
        paths = [Path(folder) / f"{part}.npz" for part in range(1, count + 1)]
        jobs = [
            pool.submit(
                _detect_to,
                path,
                model.path,
                data.root,
                split,
                alone,
                dataclasses.replace(options, shard=f"{part}/{count}"),
            )
            for part, path in enumerate(paths, start=1)
        ]
        for job in jobs:
            job.result()
        return merge_detections(paths, Path(folder) / "merged.npz")


def _detect_to(
    out: Path, model: Path, dataset: Path, split: str, inference: InferenceOptions, options: DetectOptions
) -> None:
    if parse_shard(options.shard)[0] > 1:
        os.environ["TRAFFIC_YOLO_PROGRESS"] = "0"  # one bar is enough: all parts are as long
    _detect(ModelFolder.open(model), DataSet.open(dataset), split, inference, options).save(out)


def _detect(
    model: ModelFolder, data: DataSet, split: str, inference: InferenceOptions, options: DetectOptions
) -> RawDetections:
    network = open_network(model, inference)
    images = data.split(split)
    part, count = parse_shard(options.shard)
    mine = images[len(images) * (part - 1) // count : len(images) * part // count]
    protocol = dataclasses.replace(protocol_of(model, data, split), confidence_floor=options.confidence_floor)
    found = detect(network, mine, classes=model.classes, protocol=protocol, options=inference)
    return dataclasses.replace(found, shard=options.shard)
