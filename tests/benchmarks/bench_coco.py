"""COCO's evaluation against pycocotools, faster-coco-eval and hotcoco, with per-class numbers, slices and curves.

5,000 pictures, 80 classes, about 37,000 true boxes, 500,000 detections (TRAFFIC_YOLO_BENCH_PICTURES: other sizes). All
numbers are compared as well: a fast wrong one would be no rival. The rivals read what they read best (pycocotools its
dictionaries, the others a file of results); only evaluating and accumulating is timed.
"""

import contextlib
import functools
import importlib.util
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from coco_data import detections_of, truth_of
from harness import Row, interleaved

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import ap_of_resamples, groups_of, resample_weights
from traffic_yolo.metrics.coco import coco_metrics, settings_up_to
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.metrics.pycocotools_engine import accumulate_with_pycocotools

TOPIC = "coco"
PICTURES = int(os.environ.get("TRAFFIC_YOLO_BENCH_PICTURES", "5000"))
SLICES = 8
SETTINGS = settings_up_to(100)


def rows() -> Iterator[Row]:
    """The rows of this benchmark."""
    truth = truth_of(PICTURES)
    found = detections_of(truth)
    masks = [np.random.default_rng(index).random(PICTURES) < 0.25 for index in range(SLICES)]
    stats: dict[str, list[float]] = {}

    def ours() -> None:
        table = match_table(found, truth, SETTINGS)
        stats["ours"] = _numbers(table.accumulate(), truth)
        for mask in masks:
            coco_metrics(table.accumulate(mask), truth.classes, SETTINGS)

    def oracle() -> None:
        stats["pycocotools"] = _numbers(accumulate_with_pycocotools(truth, found, SETTINGS), truth)

    slow = interleaved({"ours": ours, "pycocotools": oracle}, repeats=1, warm_up=0)  # the first run of ours compiles
    pycocotools_s = slow["pycocotools"].median_s
    fast: dict[str, Callable[[], Any]] = {
        "ours": ours,
        "alone": lambda: match_table(found, truth, SETTINGS).accumulate(),
    }
    fast |= _rivals(truth, found, stats)
    timings = interleaved(fast, repeats=5)
    equal = all(np.array_equal(stats["ours"], other) for other in stats.values())
    size = f"{PICTURES:,} pictures, {len(found):,} detections"
    against = f"pycocotools {pycocotools_s:.1f} s"
    ours_s = timings["ours"].median_s
    target = "at most 0.05"
    what = f"{size}: twelve numbers, classes, curves, {SLICES} slices"
    yield Row(TOPIC, what, ours_s, "s", against, ours_s / pycocotools_s, target)
    alone_s = timings["alone"].median_s
    yield Row(TOPIC, f"{size}: the same without slices", alone_s, "s", against, alone_s / pycocotools_s)
    for name in fast.keys() - {"ours", "alone"}:
        rival_s = timings[name].median_s
        yield Row(TOPIC, "without slices, against", alone_s, "s", f"{name} {rival_s:.2f} s", alone_s / rival_s)
    yield Row(TOPIC, f"all twelve numbers of {len(stats)} engines equal to the last bit", float(equal), "(1 = yes)")
    yield from _slope()
    table = match_table(found, truth, SETTINGS)
    weights = resample_weights(
        groups_of([str(index // 50) for index in range(PICTURES)], of="recording"), resamples=200
    )
    resampled = interleaved({"ours": lambda: ap_of_resamples(table, weights)}, repeats=3)["ours"].median_s
    yield Row(TOPIC, "one bootstrap resample of AP and AP50", 1000 * resampled / 200, "ms")


def _slope() -> Iterator[Row]:
    """Time for ten times the pictures: 10 is linear."""
    seconds = {}
    for pictures in (500, 5000):
        truth = truth_of(pictures)
        found = detections_of(truth)

        def work(truth: GroundTruth = truth, found: Detections = found) -> None:
            match_table(found, truth, SETTINGS).accumulate()

        seconds[pictures] = interleaved({"ours": work}, repeats=5)["ours"].median_s
    slope = seconds[5000] / seconds[500]
    yield Row(TOPIC, "slope: 5,000 pictures against 500", slope, "times", "10 is linear", slope, "at most 15")


def _numbers(accumulated: Any, truth: GroundTruth) -> list[float]:
    twelve = coco_metrics(accumulated, truth.classes, SETTINGS).twelve()
    return [-1.0 if value is None else value for value in twelve.values()]


def _rivals(truth: GroundTruth, found: Detections, stats: dict[str, list[float]]) -> dict[str, Callable[[], Any]]:
    """Evaluations by the other libraries, where they are installed."""
    folder = Path(tempfile.mkdtemp())
    annotations = [
        {
            "id": row + 1,
            "image_id": int(truth.image_ids[truth.truth_pictures[row]]),
            "category_id": int(truth.class_ids[row]) + 1,
            "bbox": truth.boxes_xywh[row].tolist(),
            "area": float(truth.areas[row]),
            "iscrowd": int(truth.ignore[row]),
        }
        for row in range(len(truth.class_ids))
    ]
    images = [{"id": image_id, "width": 640, "height": 640, "file_name": ""} for image_id in truth.image_ids.tolist()]
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(truth.classes)]
    (folder / "truth.json").write_text(
        json.dumps({"info": {}, "images": images, "categories": categories, "annotations": annotations})
    )
    xyxy = found.boxes_xyxy.astype(np.float64)
    xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    columns = (found.image_ids, found.class_ids + 1, xywh, found.scores.astype(np.float64))
    results = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, box, score in zip(*(column.tolist() for column in columns), strict=True)
    ]
    (folder / "results.json").write_text(json.dumps(results))
    rivals: dict[str, Callable[[], Any]] = {}
    for name, library, evaluator in (
        ("hotcoco", "hotcoco", "COCOeval"),
        ("faster-coco-eval", "faster_coco_eval", "COCOeval_faster"),
    ):
        if importlib.util.find_spec(library) is None:
            continue
        module = importlib.import_module(library)
        with contextlib.redirect_stdout(io.StringIO()):
            coco = module.COCO(str(folder / "truth.json"))
            detected = coco.loadRes(str(folder / "results.json"))

        rivals[name] = functools.partial(_evaluate, getattr(module, evaluator), coco, detected, stats, name)
    return rivals


def _evaluate(make: Any, coco: Any, detected: Any, stats: dict[str, list[float]], name: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        run = make(coco, detected, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    stats[name] = [float(number) for number in run.stats[:12]]
