"""The C++ parser on the pictures of bench_darknet_nms: 608 x 608, 22,743 boxes, 80 classes, threshold 0.001, one core."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_darknet_nms import SHARES, SIZE, THRESHOLD, logits_of
from darknet_models import yolov4_text
from harness import Row, interleaved

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.yolo import HeadSection
from traffic_yolo.export.onnx_heads import head_output_name

TOPIC = "parser"
GOAL_MS = 5
FUNCTIONS = {False: "NvDsInferParseYolo", True: "NvDsInferParseYoloMultiLabel"}


def rows() -> Iterator[Row]:
    """Raw heads by both functions, and rows of the ONNX file; milliseconds of the processor."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
    from parser_library import Layer, Parser, build, layer_of, missing_for_building

    if missing := missing_for_building():
        yield Row(TOPIC, f"not run: no {missing}", float("nan"), "ms")
        return
    sections = read_sections(Cfg.parse(yolov4_text(SIZE)))
    heads = [section.head for section in sections if isinstance(section, HeadSection)]
    thresholds = np.full(80, THRESHOLD, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        parser = Parser(build(Path(folder), "traffic_yolo_parser_flat", FLAT_ENTRY="ON"))
        for name, (share, classes) in SHARES.items():
            outputs = [np.ascontiguousarray(logits[0].numpy()) for logits in logits_of(heads, share, classes)]
            layers = [layer_of(head_output_name(head), values) for head, values in zip(heads, outputs, strict=True)]
            given = (Layer * len(layers))(*layers)
            for all_labels, function in FUNCTIONS.items():
                found = parser.count(given, (SIZE, SIZE), thresholds, int(all_labels))
                work = {"ours": lambda g=given, a=all_labels: parser.count(g, (SIZE, SIZE), thresholds, int(a))}
                yield _row(f"{function}, raw heads, {name} picture: {found:,} objects", work)
        generator = np.random.default_rng(0)
        table = np.ascontiguousarray(
            generator.random((22_743, 6), np.float32) * [SIZE, SIZE, SIZE, SIZE, 1, 80], np.float32
        )
        given = (Layer * 1)(layer_of("output", table))
        found = parser.count(given, (SIZE, SIZE), thresholds, 0)
        work = {"ours": lambda: parser.count(given, (SIZE, SIZE), thresholds, 0)}
        yield _row(f"{FUNCTIONS[False]}, 22,743 rows: {found:,} objects", work)


def _row(what: str, work: dict[str, object]) -> Row:
    milliseconds = interleaved(work, repeats=25, warm_up=3, clock=time.process_time)["ours"].median_s * 1e3  # type: ignore[arg-type]
    return Row(TOPIC, what, milliseconds, "ms", f"{GOAL_MS} ms on one core", milliseconds, f"at most {GOAL_MS}")
