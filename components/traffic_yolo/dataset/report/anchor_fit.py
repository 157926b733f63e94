"""How well a network's anchors fit the boxes of a data set: IoU of each box with its best anchor, on one corner.

Sizes are taken in network pixels, as the network will see them. Memory does not grow with boxes: they are counted on a
logarithmic grid of widths and heights whose cells are 2 % wide.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_shape_iou
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.policy import DataPolicy
from traffic_yolo.dataset.records import ALL, Frame
from traffic_yolo.dataset.report.report import BOXES_AT_ONCE
from traffic_yolo.html_report import Html, figure_svg, log_scale, paragraph, table
from traffic_yolo.storage import existing_path

DEFAULT_CFG = Path(__file__).parents[2] / "training" / "cfg" / "traffic-small.cfg"  # what `train` takes by default
GRID_BINS = 400
GRID_EDGES = np.geomspace(0.5, 2048, GRID_BINS + 1)  # network pixels
FIGURE_TICKS = (1, 3, 10, 30, 100, 300, 1000)
RECALL_AT = (0.5, 0.25)
HEAD_NAMES = ("yolo", "Gaussian_yolo")

FloatArray = NDArray[np.float64]


def anchors_of(cfg: Cfg) -> FloatArray:
    """(k, 2) widths and heights in network pixels that the cfg's heads use, each once, by rising area."""
    found: set[tuple[float, float]] = set()
    for section in cfg.layers:
        if section.name not in HEAD_NAMES:
            continue
        numbers = section.get_floats("anchors", last_comma=True)
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
        mask = section.get_ints("mask", tuple(range(len(pairs))))
        found |= {pairs[index] for index in mask if index < len(pairs)}
    return np.array(sorted(found, key=lambda pair: pair[0] * pair[1]), np.float64).reshape(-1, 2)


def best_ious(sizes_wh: FloatArray, anchors_wh: FloatArray) -> FloatArray:
    """(n,) the IoU of each size (n, 2) with its best anchor (k, 2)."""
    return np.asarray(pairwise_shape_iou(sizes_wh, anchors_wh).max(axis=1))


class AnchorObserver:
    """Observer of a conversion. The network's size is the policy's, else the cfg's."""

    name = "anchors"
    needs: frozenset[str] = frozenset()

    def __init__(self, policy: DataPolicy) -> None:
        path = existing_path(policy.report_cfg, what="report_cfg") if policy.report_cfg else DEFAULT_CFG
        cfg = Cfg.read(path)
        self._cfg_name = path.name
        self._anchors = anchors_of(cfg)
        cfg_wh = (cfg.net.get_int("width", 416), cfg.net.get_int("height", 416))
        self._network_wh = (policy.network_width or cfg_wh[0], policy.network_height or cfg_wh[1])
        self._letterbox = policy.resize_rule == "letterbox"
        self._grid = np.zeros((GRID_BINS, GRID_BINS), np.int64)  # width, height
        self._waiting: list[tuple[float, float]] = []  # sizes in network pixels

    def measure(self, frame: Frame, split: str, picture: bytes) -> None:
        """Nothing: boxes are enough."""
        del frame, split, picture

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Counts the boxes of a frame that is for training, or in no split: anchors are to fit what is trained on."""
        del measured
        if split not in ("train", ALL):
            return
        across, down = self._network_wh[0] / frame.width, self._network_wh[1] / frame.height
        if self._letterbox:
            across = down = min(across, down)
        self._waiting += [(a.xywh[2] * across, a.xywh[3] * down) for a in frame.annotations if a.counts]
        if len(self._waiting) >= BOXES_AT_ONCE:
            self._add_waiting()

    def _add_waiting(self) -> None:
        if self._waiting:
            sizes = np.array(self._waiting, np.float64)
            cells = np.clip(np.searchsorted(GRID_EDGES, sizes, side="right") - 1, 0, GRID_BINS - 1)
            np.add.at(self._grid, (cells[:, 0], cells[:, 1]), 1)
            self._waiting.clear()

    def finish(self, folder: Path) -> ObserverOutcome:
        """Average IoU and recall, a table of anchors and a picture of sizes."""
        del folder
        self._add_waiting()
        total = int(self._grid.sum())
        if not total or not len(self._anchors):
            return ObserverOutcome()
        centres = np.sqrt(GRID_EDGES[:-1] * GRID_EDGES[1:])
        columns, rows = np.nonzero(self._grid)
        counts = self._grid[columns, rows]
        sizes = np.stack([centres[columns], centres[rows]], axis=1)
        ious = best_ious(sizes, self._anchors)
        average = float((ious * counts).sum() / total)
        recall = {str(limit): round(float(counts[ious >= limit].sum() / total), 4) for limit in RECALL_AT}
        report = {
            "cfg": self._cfg_name,
            "network_wh": list(self._network_wh),
            "boxes": total,
            "average_iou": round(average, 4),
            "recall_at_iou": recall,
            "anchors": self._anchors.tolist(),
        }
        notes = []
        if average < 0.55:
            notes.append(f"the anchors of {self._cfg_name} fit badly (average IoU {average:.2f}): compute others")
        return ObserverOutcome(
            notes, report=report, sections=[("Fit of anchors", self._section(sizes, counts, report))]
        )

    def _section(self, sizes: FloatArray, counts: NDArray[np.int64], report: dict[str, Any]) -> Html:
        width, height = self._network_wh
        shares = ", ".join(f"{share:.1%} of them at IoU {limit}" for limit, share in report["recall_at_iou"].items())
        head = paragraph(
            f"{report['boxes']:,} boxes for training at {width}x{height} against the anchors of {self._cfg_name}: "
            f"average IoU with the best anchor {report['average_iou']:.3f}; an anchor for {shares}."
        )
        nearest = pairwise_shape_iou(sizes, self._anchors).argmax(axis=1)
        rows = [
            (f"{anchor[0]:g} x {anchor[1]:g}", int(counts[nearest == index].sum()))
            for index, anchor in enumerate(self._anchors.tolist())
        ]
        return Html(head + self._drawn() + table(["anchor", "boxes nearest"], rows))

    def _drawn(self) -> Html:
        figure = Figure(figsize=(5, 3.6))
        figure.subplots_adjust(left=0.14, right=0.97, bottom=0.14, top=0.97)
        axis = figure.subplots()
        step = 8  # cells of 17 %: what the eye can tell apart
        coarse = self._grid.reshape(GRID_BINS // step, step, GRID_BINS // step, step).sum(axis=(1, 3))
        columns, rows = np.nonzero(coarse)
        centres = np.sqrt(GRID_EDGES[:-1:step] * GRID_EDGES[step::step])
        area = 60 * coarse[columns, rows] / coarse.max() + 2
        axis.scatter(centres[columns], centres[rows], s=area, color="#56b4e9", linewidths=0, label="boxes")
        axis.scatter(self._anchors[:, 0], self._anchors[:, 1], marker="+", s=50, color="#d55e00", label="anchors")
        log_scale(axis.xaxis, FIGURE_TICKS)
        log_scale(axis.yaxis, FIGURE_TICKS)
        axis.set_xlabel("width, network pixels")
        axis.set_ylabel("height")
        axis.legend(fontsize="small")
        return figure_svg(figure, title="Box sizes and anchors")
