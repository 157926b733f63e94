"""What one processor does of each step, for docs/scaling.md: its own seconds, so that other programs do not matter much.

One process, one thread. Pictures: the reference's traffic cameras (960 x 540, 131 kB); without the reference folder there
are no rows. Figures are for information: there is no peer, and no target.
"""

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_convert import POLICY, write_share
from bench_training import batch_of, package_cfg, updates_of
from darknet_models import darknet_pair
from harness import Row, peak_memory_mib
from training_data import BATCH, REFERENCE, reference_cfg

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.pictures.decode import decode_file
from traffic_yolo.detection.detect import detect
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.merge import merge_detections
from traffic_yolo.detection.open_network import open_network
from traffic_yolo.detection.protocol import detections_name, protocol_of
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.evaluation.evaluate import EvaluationInputs, evaluate
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pretrained.import_model import import_model
from traffic_yolo.pretrained.options import ModelChoice
from traffic_yolo.training.start import cfg_for_classes

TOPIC = "capacity"
TRAFFIC = REFERENCE / "traffic"
SEEDS = "bike=bicycle"  # of COCO's classes; bus, car and truck are called so there too
GROWN = (1000, 4000)  # frames: what a step costs beside each of them is the difference
COPIES = 20  # of the detections, so that a merge is worth its time


def rows() -> Iterator[Row]:
    """Every step's seconds of a processor for each picture."""
    if not TRAFFIC.is_dir():
        return
    os.environ["TRAFFIC_YOLO_PROGRESS"] = "0"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bench-capacity-") as folder:
        root = Path(folder)
        data, grown = yield from _converted(root)
        model = yield from _detected(root, data)
        raw = yield from _evaluated(root, model, data)
        yield from _evaluated_more(root, raw, grown)
    yield from _trained()


def _seconds(work: Callable[[], Any], *, repeats: int = 3) -> float:
    """The least of a few runs' seconds of this process's processors."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def _converted(root: Path) -> Iterator[Row]:
    """What a frame more costs: the report's figures are drawn once, however many there are."""
    folders, seconds = {}, {}
    for frames in GROWN:
        share, folders[frames] = root / f"share{frames}", root / f"grown{frames}"
        write_share(share, frames)
        options = ConvertOptions(
            str(share / "recordings"), labels=str(share / "labels.json"), splits="test", policy=POLICY
        )

        def work(options: ConvertOptions = options, out: Path = folders[frames]) -> None:
            shutil.rmtree(out, ignore_errors=True)
            convert(options, out, processes=1)

        seconds[frames] = _seconds(work, repeats=2)
    each = 1e3 * (seconds[GROWN[1]] - seconds[GROWN[0]]) / (GROWN[1] - GROWN[0])
    yield Row(
        TOPIC,
        "convert: a frame more",
        each,
        "ms",
        f"{1e3 / each:.0f} a second; {seconds[GROWN[1]]:.1f} s for {GROWN[1]}",
    )
    pictures = sorted((TRAFFIC / "images").glob("*.jpg"))
    looked = 1e3 * _seconds(lambda: [decode_file(path) for path in pictures]) / len(pictures)
    yield Row(
        TOPIC, "decode 960 x 540, as the look for leaks does: a picture", looked, "ms", f"{1e3 / looked:.0f} a second"
    )
    options = ConvertOptions(str(TRAFFIC / "data.yaml"), splits="test", policy=POLICY)
    convert(options, root / "data", processes=1)
    return root / "data", folders


def _detected(root: Path, dataset: Path) -> Iterator[Row]:
    data = DataSet.open(dataset)
    fastest = REFERENCE / "weights"
    choice = ModelChoice(
        cfg=str(fastest / "yolo-fastest-1.1.cfg"),
        weights=str(fastest / "yolo-fastest-1.1.weights"),
        weights_names=str(fastest / "coco.names"),
        class_seeds=SEEDS,
    )
    import_model(choice, root / "fastest", dataset=dataset)
    yield from _rows_of_model("Yolo-Fastest 1.1", ModelFolder.open(root / "fastest"), data)
    for name in ("yolov4-tiny", "yolov4"):  # random weights: their boxes are nobody's, what the layers cost is the same
        network = Network.read(*darknet_pair(name, 416)).eval()
        picture = np.random.default_rng(0).random((1, 3, 416, 416), dtype=np.float32)
        for runtime in ("pytorch", "onnxruntime"):
            opened = open_runtime(network, RuntimeOptions(runtime=runtime), input_hw=(416, 416), pictures=1)
            opened(picture)
            each = 1e3 * _seconds(lambda: opened(picture))  # noqa: B023
            yield Row(TOPIC, f"forward, {name} at 416, {runtime}: a picture", each, "ms", f"{1e3 / each:.1f} a second")
    return root / "fastest"


def _rows_of_model(name: str, model: ModelFolder, data: DataSet) -> Iterator[Row]:
    pictures = data.split("test")
    protocol = protocol_of(model, data, "test")
    for runtime in ("pytorch", "onnxruntime"):
        options = InferenceOptions(runtime=runtime, device="cpu")
        network = open_network(model, options)

        def work(shown: Any = pictures, network: Any = network, options: InferenceOptions = options) -> None:
            detect(network, shown, classes=model.classes, protocol=protocol, options=options)

        work(pictures[:1])
        # What opening the runtime costs is no picture's
        one, every = _seconds(lambda: work(pictures[:1])), _seconds(work, repeats=2)
        each = 1e3 * (every - one) / (len(pictures) - 1)
        yield Row(TOPIC, f"detect, {name}, {runtime}: a picture", each, "ms", f"{1e3 / each:.0f} pictures a second")


def _evaluated(root: Path, model: Path, dataset: Path) -> Iterator[Row]:
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    raw = detect_split(folder, data, "test")
    raw.save(root / detections_name("test"))
    pictures = len(raw)
    size = (root / detections_name("test")).stat().st_size / pictures
    yield Row(
        TOPIC, "raw detections, Yolo-Fastest 1.1: a picture", size / 1000, "kB", f"{len(raw.boxes_xyxy)} boxes in all"
    )
    inputs = EvaluationInputs(detections=root)

    def work() -> None:
        shutil.rmtree(root / "evaluation", ignore_errors=True)
        evaluate(model, dataset, root / "evaluation", inputs=inputs)

    work()
    seconds = _seconds(work)
    yield Row(TOPIC, f"evaluate {pictures} pictures from raw detections", seconds, "s", "the report's figures included")
    summary = evaluate(model, dataset, root / "again", inputs=inputs).record
    yield Row(
        TOPIC, "AP50 of Yolo-Fastest 1.1 on them", summary.metrics["ap50"] or 0.0, "", "COCO's weights, no training"
    )

    shards = []
    for number in range(COPIES):
        ids = (raw.image_ids + number * (int(raw.image_ids.max()) + 1)).astype(np.int64)
        shards.append(root / f"{number}.npz")
        dataclasses.replace(raw, image_ids=ids, shard=f"{number + 1}/{COPIES}").save(shards[-1])
    seconds = _seconds(lambda: merge_detections(shards, root / "merged.npz"))
    merged = len(RawDetections.load(root / "merged.npz"))
    yield Row(TOPIC, "merge shards: a picture", 1e3 * seconds / merged, "ms", f"{merged} pictures, {COPIES} shards")
    return raw


def _evaluated_more(root: Path, raw: RawDetections, grown: Mapping[int, Path]) -> Iterator[Row]:
    """What a picture more costs to evaluate, with as many boxes as a real model finds in one."""
    seconds = {}
    for count, dataset in grown.items():
        data = DataSet.open(dataset)
        folder = root / f"model{count}"
        folder.mkdir()
        network = Network.from_cfg(cfg_for_classes(package_cfg(), len(data.classes)), seed=1)
        network.cfg.write(folder / "model.cfg")
        network.save_weights(folder / "model.weights")
        (folder / "classes.names").write_text("".join(f"{name}\n" for name in data.classes))
        whole = RawDetections.concatenate(
            [dataclasses.replace(raw, image_ids=raw.image_ids + 1000 * turn) for turn in range(-(-count // len(raw)))]
        )
        boxes, scores = int(whole.offsets[count]), int(whole.score_offsets[whole.offsets[count]])
        many = dataclasses.replace(
            whole,
            image_ids=np.array([image.image_id for image in data.split("test")]),
            image_hw=whole.image_hw[:count],
            offsets=whole.offsets[: count + 1],
            boxes_xyxy=whole.boxes_xyxy[:boxes],
            objectness=whole.objectness[:boxes],
            score_offsets=whole.score_offsets[: boxes + 1],
            score_class_ids=whole.score_class_ids[:scores],
            scores=whole.scores[:scores],
            classes=data.classes,
            protocol=protocol_of(ModelFolder.open(folder), data, "test"),
        )
        many.save(folder / detections_name("test"))
        inputs = EvaluationInputs(detections=folder)

        def work(model: Path = folder, dataset: Path = dataset, inputs: EvaluationInputs = inputs) -> None:
            shutil.rmtree(root / "evaluation", ignore_errors=True)
            evaluate(model, dataset, root / "evaluation", inputs=inputs)

        seconds[count] = _seconds(work, repeats=2)
        if count == GROWN[1]:
            parsed = 1e3 * _seconds(lambda: data.split("test"), repeats=2) / count  # noqa: B023
            yield Row(TOPIC, "read the labels of a split, as every shard does: a picture", parsed, "ms")
            peak = peak_memory_mib(work)
            yield Row(
                TOPIC,
                f"evaluate {count} pictures: peak memory",
                peak,
                "MiB",
                f"{1024 * peak / count:.0f} KiB a picture",
            )
    each = 1e3 * (seconds[GROWN[1]] - seconds[GROWN[0]]) / (GROWN[1] - GROWN[0])
    yield Row(
        TOPIC,
        "evaluate: a picture more",
        each,
        "ms",
        f"{1e3 / each:.0f} a second; {seconds[GROWN[1]]:.1f} s for {GROWN[1]}",
    )


def _trained() -> Iterator[Row]:
    cfgs = {
        "traffic-small": package_cfg(),
        "Yolo-Fastest at 320": reference_cfg("weights/yolo-fastest-1.1.cfg", size=320),
    }
    cfgs["yolov4-tiny at 416"] = reference_cfg("cfg/yolov4-tiny.cfg")
    for name, cfg in cfgs.items():
        if cfg is None:
            continue
        updates = updates_of(cfg)
        batch = batch_of(updates.network)
        updates.network.train()
        updates.update(batch, 10)
        each = 1e3 * _seconds(lambda: updates.update(batch, 10), repeats=2) / BATCH  # noqa: B023
        yield Row(
            TOPIC, f"train {name}: a picture's part of an update", each, "ms", f"{1e3 / each:.1f} pictures a second"
        )
