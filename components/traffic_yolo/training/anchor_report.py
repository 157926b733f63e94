"""How well a network's anchors fit the boxes that it is trained on, at its size, and others that fit better.

Anchors that do not fit cost little where a network learns from nothing, and heads that know other anchors must be
trained anew: so others are proposed, and never taken by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_shape_iou
from traffic_yolo.darknet.surgery_anchors import anchors_from_sizes, average_iou, network_box_sizes
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.dataset.report.anchor_fit import FIGURE_TICKS, best_ious
from traffic_yolo.html_report import Html, figure_svg, log_scale, paragraph, table

GOOD_IOU = 0.5  # of a box with its best anchor; Darknet's own recall of calc_anchors counts from here
WORTH_GAIN = 0.05  # in average IoU: less is within what another seed or data set of the same roads gives
MOST_BOXES = 20_000  # that k-means looks at, spread evenly: enough for a second decimal, in a second
SHOWN_BOXES = 1000

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class AnchorFit:
    """Fit of anchors (k, 2) to boxes, all in network pixels; both averages are the mean IoU with the best anchor.

    `sizes_wh` (n, 2): a sample of the boxes. `proposal` (k, 2): as many anchors that fit better, by rising area, None
    where the boxes have fewer different sizes than there are anchors. `good_share`: of the boxes, those with an anchor
    of IoU 0.5 or more.
    """

    network_wh: tuple[int, int]
    boxes: int
    anchors: FloatArray
    sizes_wh: FloatArray
    average_iou: float
    good_share: float
    proposal: FloatArray | None
    proposed_iou: float

    @property
    def is_worth_changing(self) -> bool:
        """Whether the proposal fits better by more than chance does."""
        return self.proposal is not None and self.proposed_iou - self.average_iou >= WORTH_GAIN

    @property
    def text(self) -> str:
        """One line, with the command that takes the proposal where it is worth it."""
        width, height = self.network_wh
        said = (
            f"anchors: average IoU {self.average_iou:.2f} with {self.boxes:,} boxes at {width}x{height}, "
            f"{self.good_share:.0%} of them at {GOOD_IOU} or more"
        )
        if self.proposal is None or not self.is_worth_changing:
            return f"{said}; they fit about as well as others would"
        numbers = ", ".join(f"{round(w)},{round(h)}" for w, h in self.proposal.tolist())
        return f"{said}; {numbers} would reach {self.proposed_iou:.2f} (traffic-yolo darknet anchors)"


def fit_anchors(
    images: Sequence[LabelledImage],
    anchors_wh: FloatArray,
    network_wh: tuple[int, int],
    *,
    letterbox: bool,
    seed: int = 0,
) -> AnchorFit | None:
    """The fit of a network's anchors (`dataset.anchor_fit.anchors_of(cfg)`) to pictures' boxes that count.

    None without boxes or anchors. Boxes are taken as the network gets whole pictures, before any augmentation.
    """
    kept = [image.boxes_xyxy[~(image.ignore | image.is_crowd)] for image in images]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *kept]).astype(np.float64)
    images_wh = np.repeat([(image.width, image.height) for image in images], [len(each) for each in kept], axis=0)
    sides = boxes[:, 2:] - boxes[:, :2]
    is_box = (sides > 0).all(axis=1)
    if not is_box.any() or not len(anchors_wh):
        return None
    sizes = network_box_sizes(sides[is_box], images_wh[is_box], network_wh, letterbox=letterbox)
    ious = best_ious(sizes, anchors_wh)
    sample = sizes[:: -(-len(sizes) // MOST_BOXES)]
    proposal = None
    if len(np.unique(sample, axis=0)) >= len(anchors_wh):
        proposal = anchors_from_sizes(sample, len(anchors_wh), seed=seed)
    return AnchorFit(
        network_wh=network_wh,
        boxes=len(sizes),
        anchors=anchors_wh,
        sizes_wh=sizes[:: -(-len(sizes) // SHOWN_BOXES)],
        average_iou=float(ious.mean()),
        good_share=float((ious >= GOOD_IOU).mean()),
        proposal=proposal,
        proposed_iou=average_iou(sizes, proposal) if proposal is not None else 0.0,
    )


def anchor_section(fit: AnchorFit) -> Html:
    """The line, a picture of sizes and anchors, and a table of both sets."""
    figure = Figure(figsize=(5, 3.6))
    figure.subplots_adjust(left=0.14, right=0.97, bottom=0.14, top=0.97)
    axes = figure.subplots()
    axes.scatter(fit.sizes_wh[:, 0], fit.sizes_wh[:, 1], s=6, color="#56b4e9", linewidths=0, alpha=0.6, label="boxes")
    axes.scatter(fit.anchors[:, 0], fit.anchors[:, 1], marker="+", s=60, color="#d55e00", label="anchors")
    if fit.proposal is not None:
        axes.scatter(fit.proposal[:, 0], fit.proposal[:, 1], marker="x", s=40, color="#009e73", label="proposal")
    log_scale(axes.xaxis, FIGURE_TICKS)
    log_scale(axes.yaxis, FIGURE_TICKS)
    axes.set_xlabel("width, network pixels")
    axes.set_ylabel("height")
    axes.legend(fontsize="small")
    nearest = np.bincount(pairwise_shape_iou(fit.sizes_wh, fit.anchors).argmax(axis=1), minlength=len(fit.anchors))
    others = [None] * len(fit.anchors) if fit.proposal is None else fit.proposal.tolist()
    rows = [
        (_size(anchor), f"{count / len(fit.sizes_wh):.0%}", _size(other) if other else "–")
        for anchor, count, other in zip(fit.anchors.tolist(), nearest.tolist(), others, strict=True)
    ]
    shown = figure_svg(figure, title="Box sizes and anchors")
    return Html(paragraph(fit.text) + shown + table(["anchor", "nearest of boxes", "proposal"], rows))


def _size(wh: Sequence[float]) -> str:
    return f"{wh[0]:.0f} x {wh[1]:.0f}"
