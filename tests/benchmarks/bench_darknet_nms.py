"""Decoding and suppressing one 608 x 608 picture of 22,743 boxes and 80 classes at a threshold of 0.001, on one core.

Three pictures. "Quiet" and "busy" have the shares of boxes and classes above the threshold that Yolo-Fastest has on
Darknet's own pictures (one tenth and two fifths of the boxes, 1.5 and 2.2 classes a box), in clusters around objects.
"Worst" is against us: every box is above the threshold, and all are of one class.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from darknet_models import yolov4_text
from earlier_decode import earlier_detections
from harness import Row, Work, interleaved
from plain_nms import plain_nms
from torch import Tensor

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode_above
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.nms import NmsRule, darknet_nms
from traffic_yolo.darknet.picture_detections import PictureDetections, above_threshold
from traffic_yolo.darknet.sections.yolo import HeadSection

TOPIC = "darknet nms"
SIZE, THRESHOLD, IOU_THRESHOLD, OBJECTS = 608, 0.001, 0.45, 30
SHARES = {"quiet": (0.1, 1.5), "busy": (0.4, 2.2), "worst": (1.0, 1.0)}


def logits_of(heads: list[YoloHead], share: float, classes_per_box: float) -> list[Tensor]:
    """Logits (1, 255, h, w) whose boxes pass the threshold near objects; classes go with the object."""
    numbers = np.random.default_rng(0)
    centres = numbers.random((OBJECTS, 2))
    kinds = numbers.zipf(1.5, OBJECTS) % 80
    outputs = []
    for head in heads:
        cells = SIZE // head.stride
        rows, columns = (np.mgrid[:cells, :cells] + 0.5) / cells
        distance = np.hypot(rows[..., None] - centres[:, 0], columns[..., None] - centres[:, 1])
        nearest, kind = distance.min(axis=2), kinds[distance.argmin(axis=2)]
        x = numbers.normal(0, 0.4, (3, 85, cells, cells)).astype(np.float32)
        near = nearest <= np.quantile(nearest, share)
        x[:, 4] = np.where(near, -1 - 20 * nearest + x[:, 4], -12)
        x[:, 5:] -= 12
        for of_box in range(int(np.ceil(classes_per_box))):
            has = near & (numbers.random((cells, cells)) < classes_per_box - of_box)
            row, column = np.nonzero(has)
            x[:, 5 + (kind[row, column] + of_box) % 80, row, column] = 2 - of_box
        if share == 1:
            x[:, 4], x[:, 5:], x[:, 5] = 2, -12, numbers.normal(0, 1, (3, cells, cells))
        outputs.append(torch.from_numpy(x.reshape(1, 255, cells, cells)))
    return outputs


def rows() -> Iterator[Row]:
    """Our time on each picture; against plain loops on the busy one."""
    sections = read_sections(Cfg.parse(yolov4_text(SIZE)))
    heads = [section.head for section in sections if isinstance(section, HeadSection)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, (share, classes) in SHARES.items():
            yield from _rows_of(name, heads, logits_of(heads, share, classes))
    finally:
        torch.set_num_threads(threads)


def _rows_of(name: str, heads: list[YoloHead], logits: list[Tensor]) -> Iterator[Row]:
    def detections() -> PictureDetections:
        return above_threshold(decode_above(heads, logits, (SIZE, SIZE), THRESHOLD), 0, THRESHOLD)

    found = detections()
    passed = f"{len(found.objectness):,} of 22,743 boxes, {int((found.scores > 0).sum()):,} box-class pairs"
    for kind in ("default", "greedynms"):
        rule = NmsRule(kind, IOU_THRESHOLD)

        def ours(rule: NmsRule = rule) -> np.ndarray:
            return darknet_nms(*detections(), rule)

        timing = interleaved({"ours": ours}, repeats=3 if name == "worst" else 15)["ours"]
        what = f"decode + NMS ({kind}), {name} picture: {passed} above 0.001, {len(ours()):,} kept"
        goal = "" if name == "worst" else "at most 15"
        against = "" if name == "worst" else "15 ms on one core"
        milliseconds = timing.median_s * 1e3
        yield Row(TOPIC, what, milliseconds, "ms", against, milliseconds if goal else None, goal)
    if name == "busy":
        yield _against_earlier(heads, logits)
    if name != "quiet":
        return
    rivals: dict[str, Work] = {
        "ours": lambda: darknet_nms(*detections(), NmsRule("default", IOU_THRESHOLD)),
        "plain": lambda: plain_nms(*detections(), "default", IOU_THRESHOLD),
    }
    assert np.array_equal(rivals["ours"](), rivals["plain"]())
    times = interleaved(rivals, repeats=3)
    ours_s, plain_s = times["ours"].median_s, times["plain"].median_s
    peer = f"a plain Python loop over the classes: {plain_s:.2f} s"
    yield Row(TOPIC, f"the same, {name} picture", ours_s * 1e3, "ms", peer, plain_s / ours_s, "at least 20")


def _against_earlier(heads: list[YoloHead], logits: list[Tensor]) -> Row:
    """Decode and suppression of today, and as they were."""

    def ours() -> np.ndarray:
        decoded = decode_above(heads, logits, (SIZE, SIZE), THRESHOLD)
        return darknet_nms(*above_threshold(decoded, 0, THRESHOLD), NmsRule("default", IOU_THRESHOLD))

    rivals: dict[str, Work] = {
        "ours": ours,
        "earlier": lambda: earlier_detections(heads, logits, (SIZE, SIZE), THRESHOLD, IOU_THRESHOLD),
    }
    assert np.array_equal(rivals["ours"](), rivals["earlier"]())
    times = interleaved(rivals, repeats=15, clock=time.process_time)
    ours_s, earlier_s = times["ours"].median_s, times["earlier"].median_s
    peer = f"as it was until November 2026: {earlier_s * 1e3:.1f} ms"
    return Row(
        TOPIC, "decode + NMS (default), busy picture", ours_s * 1e3, "ms", peer, ours_s / earlier_s, "at most 0.6"
    )
