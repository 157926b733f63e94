"""NMS: Darknet's own survivors, invariants, refusals."""

from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.boxes import cxcywh_to_xyxy, pairwise_iou
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.nms_kernels import box_overlap
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError

PROTOCOL = Protocol("c" * 64, "w" * 64, (320, 320), "stretch", "f" * 64 + "/test")


def raw_detections(pictures: list[tuple[np.ndarray, np.ndarray]], classes: int) -> RawDetections:
    """Raw detections of pictures given as (boxes (n, 4), class scores (n, C)); ids 10, 11, ..."""
    boxes = [np.asarray(b, np.float32).reshape(-1, 4) for b, _ in pictures]
    scores = [np.asarray(s, np.float32).reshape(-1, classes) for _, s in pictures]
    all_scores = np.concatenate(scores)
    return RawDetections.from_dense(
        image_ids=np.arange(10, 10 + len(pictures)),
        image_hw=np.full((len(pictures), 2), 100, np.int32),
        offsets=np.concatenate([[0], np.cumsum([len(b) for b in boxes])]).astype(np.int64),
        boxes_xyxy=np.concatenate(boxes),
        objectness=all_scores.max(axis=1, initial=0),
        class_scores=all_scores,
        classes=tuple("abcdefgh"[:classes]) if classes <= 8 else tuple(f"c{i}" for i in range(classes)),
        protocol=PROTOCOL,
    )


GOLDEN = (
    "yolo-fastest-1.1-dog",
    "yolo-fastest-1.1-person",
    "yolo-fastest-1.1-dog-letter",
    "MobileNetV2-YOLOv3-Nano-coco-dog",
)


@pytest.mark.reference
@pytest.mark.parametrize("name", GOLDEN)
def test_survivors_are_those_of_darknet(reference: Path, name: str) -> None:
    with np.load(reference / "golden" / "real" / f"{name}.npz") as golden:
        compared = 0
        for key in golden.files:
            if not key.startswith("nms_") or "_obj_" in key:
                continue
            _, threshold, overlap, kind, unit = key.split("_")
            before = f"det_{threshold}_{unit}"
            expected = golden[key]
            cxcywh = golden[f"{before}_box"][:, :4]
            raw = raw_detections([(cxcywh_to_xyxy(cxcywh), golden[f"{before}_prob"])], 80)
            options = NmsOptions(float(threshold[1:]), float(overlap[1:]), kind, max_detections=10_000)
            found = non_maximum_suppression(raw, options)
            assert sorted(zip(found.class_ids.tolist(), found.scores.tolist(), strict=True)) == sorted(
                (int(row[5]), float(row[6])) for row in expected
            ), key
            compared += 1
    assert compared >= 12


@pytest.mark.reference
def test_a_higher_threshold_on_the_lower_floor_gives_the_same_survivors(reference: Path) -> None:
    with np.load(reference / "golden" / "real" / "yolo-fastest-1.1-person.npz") as golden:
        boxes = cxcywh_to_xyxy(golden["det_t0.001_pix_box"][:, :4])
        raw = raw_detections([(boxes, golden["det_t0.001_pix_prob"])], 80)
        expected = golden["nms_t0.25_n0.45_greedynms_pix"]
    found = non_maximum_suppression(raw, NmsOptions(0.25, 0.45, "greedynms"))
    assert found.scores.tolist() == sorted((float(row[6]) for row in expected), reverse=True)


def test_the_weaker_of_two_overlapping_boxes_goes_only_in_its_class() -> None:
    boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]]
    scores = [[0.9, 0.3], [0.8, 0.5], [0.7, 0.0]]
    found = non_maximum_suppression(raw_detections([(boxes, scores)], 2), NmsOptions(0.25, 0.45))
    kept = list(zip(found.class_ids.tolist(), np.round(found.scores.astype(float), 3).tolist(), strict=True))
    assert kept == [(0, 0.9), (0, 0.7), (1, 0.5)]
    assert found.image_ids.tolist() == [10, 10, 10]


def test_an_overlap_equal_to_the_threshold_is_kept() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5]]  # IoU exactly 0.5
    raw = raw_detections([(boxes, [[0.9], [0.8]])], 1)
    assert len(non_maximum_suppression(raw, NmsOptions(0.25, 0.5))) == 2
    assert len(non_maximum_suppression(raw, NmsOptions(0.25, 0.49))) == 1


def test_a_score_equal_to_the_threshold_is_dropped() -> None:
    raw = raw_detections([([[0, 0, 10, 10], [50, 50, 60, 60]], [[0.25], [0.5]])], 1)
    assert non_maximum_suppression(raw, NmsOptions(0.25, 0.5)).scores.tolist() == [0.5]


def test_max_detections_keeps_the_best_of_each_picture() -> None:
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(4)]
    raw = raw_detections([(boxes, [[0.5], [0.9], [0.7], [0.6]]), (boxes[:1], [[0.3]])], 1)
    found = non_maximum_suppression(raw, NmsOptions(0.25, 0.5, max_detections=2))
    assert found.image_ids.tolist() == [10, 10, 11]
    assert np.round(found.scores.astype(float), 3).tolist() == [0.9, 0.7, 0.3]


def test_boxes_compete_whole_and_are_reported_inside_the_picture() -> None:
    # Whole, the two overlap by 1/3; inside the picture (100 wide) they are the same.
    raw = raw_detections([([[90, 0, 130, 10], [90, 0, 210, 10]], [[0.9], [0.8]])], 1)
    found = non_maximum_suppression(raw, NmsOptions(0.25, 0.4))
    assert found.boxes_xyxy.tolist() == [[90, 0, 100, 10], [90, 0, 100, 10]]


def test_pictures_without_boxes_give_none() -> None:
    raw = raw_detections([(np.zeros((0, 4)), np.zeros((0, 2))), (np.zeros((0, 4)), np.zeros((0, 2)))], 2)
    assert len(non_maximum_suppression(raw, NmsOptions())) == 0


def test_a_suppressed_box_suppresses_nobody() -> None:
    boxes = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]  # each overlaps its neighbour by 3 / 7
    found = non_maximum_suppression(raw_detections([(boxes, [[0.9], [0.8], [0.7]])], 1), NmsOptions(0.25, 0.4))
    assert found.boxes_xyxy[:, 0].tolist() == [0, 8]


def test_distance_kinds_keep_neighbours_that_iou_would_remove() -> None:
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10]], np.float32)
    iou = box_overlap(boxes, 0, 1, 0.0)
    assert iou == pytest.approx(7 / 13, rel=1e-6)
    # centres 3 apart; the box around both is 13 x 10
    assert box_overlap(boxes, 0, 1, 0.6) == pytest.approx(iou - (9 / (13**2 + 10**2)) ** 0.6, rel=1e-6)
    assert box_overlap(boxes, 0, 1, 1.0) == pytest.approx(iou - 9 / 269, rel=1e-6)


def plain_nms(raw: RawDetections, options: NmsOptions) -> list[tuple[int, int, float, list[float]]]:
    """The definition, picture by picture and class by class on whole tables: (image id, class id, score, box) rows."""
    rows = []
    for picture, image_id in enumerate(raw.image_ids.tolist()):
        boxes, scores = raw.boxes_xyxy[raw.boxes_of(picture)], raw.class_scores_of(raw.boxes_of(picture))
        overlaps = pairwise_iou(boxes, boxes)
        if options.kind != "default":
            overlaps = overlaps - centre_penalty(boxes, 0.6 if options.kind == "greedynms" else options.beta)
        kept = []
        for class_id in range(scores.shape[1]):
            alive = list(np.argsort(-scores[:, class_id], kind="stable"))
            alive = [box for box in alive if scores[box, class_id] > np.float32(options.confidence_threshold)]
            while alive:
                best, *rest = alive
                kept.append((-scores[best, class_id], int(best), class_id))
                alive = [box for box in rest if overlaps[best, box] <= np.float32(options.iou_threshold)]
        for negative, box, class_id in sorted(kept)[: options.max_detections]:
            rows.append((image_id, class_id, float(-negative), np.clip(boxes[box], 0, 100).tolist()))
    return rows


def centre_penalty(boxes: np.ndarray, exponent: float) -> np.ndarray:
    """(squared centre distance / squared diagonal of the box around both) ** exponent for every pair."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = ((centres[:, None] - centres[None]) ** 2).sum(axis=2)
    around = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.minimum(boxes[:, None, :2], boxes[None, :, :2])
    diagonal = (around**2).sum(axis=2)
    ratio = np.divide(distance, diagonal, out=np.zeros_like(distance), where=diagonal > 0)
    return (ratio.astype(np.float64) ** exponent).astype(np.float32)


BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))


@st.composite
def pictures(draw: st.DrawFn) -> RawDetections:
    """Up to three pictures of up to twelve boxes on a coarse grid of places and scores, so that ties happen."""
    drawn = []
    for _ in range(draw(st.integers(1, 3))):
        boxes = draw(st.lists(BOX, max_size=12))
        scores = [draw(st.lists(st.integers(0, 10), min_size=3, max_size=3)) for _ in boxes]
        xyxy = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float32)
        drawn.append((xyxy, np.array(scores, np.float32) / 10))
    return raw_detections(drawn, 3)


@examples(150)
@given(
    raw=pictures(),
    options=st.builds(
        NmsOptions,
        st.sampled_from([0.05, 0.1, 0.25, 0.5]),
        st.sampled_from([0.1, 0.3, 0.5, 0.9]),
        kind=st.sampled_from(["default", "greedynms", "diounms"]),
        beta=st.sampled_from([0.6, 1.5]),
        max_detections=st.sampled_from([1, 3, 300]),
    ),
)
def test_survivors_are_those_of_the_definition(raw: RawDetections, options: NmsOptions) -> None:
    found = non_maximum_suppression(raw, options)
    columns = (found.image_ids, found.class_ids, found.scores, found.boxes_xyxy)
    assert [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)] == plain_nms(raw, options)


def test_many_pictures_in_threads_give_what_one_at_a_time_gives() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 70, (400, 12, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 30, (400, 12, 2))], axis=2)
    scores = rng.integers(0, 20, (400, 12, 3)) / 20
    raw = raw_detections(list(zip(boxes, scores, strict=True)), 3)
    found = non_maximum_suppression(raw, NmsOptions(0.1, 0.4))
    columns = (found.image_ids, found.class_ids, found.scores, found.boxes_xyxy)
    rows = [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    assert rows == plain_nms(raw, NmsOptions(0.1, 0.4))


@examples(150)
@given(raw=pictures(), threshold=st.sampled_from([0.1, 0.25, 0.5]), overlap=st.sampled_from([0.3, 0.5, 0.9]))
def test_what_nms_promises(raw: RawDetections, threshold: float, overlap: float) -> None:
    options = NmsOptions(threshold, overlap)
    found = non_maximum_suppression(raw, options)
    assert (found.scores > np.float32(threshold)).all()
    for picture, image_id in enumerate(raw.image_ids):
        mine = found.select(found.image_ids == image_id)
        assert (np.diff(mine.scores) <= 0).all()
        boxes, scores = raw.boxes_xyxy[raw.boxes_of(picture)], raw.class_scores_of(slice(None))[raw.boxes_of(picture)]
        for class_id in range(3):
            kept = mine.select(mine.class_ids == class_id)
            between = pairwise_iou(kept.boxes_xyxy, kept.boxes_xyxy)
            assert (between[~np.eye(len(kept), dtype=bool)] <= np.float32(overlap)).all()
            # Every candidate is kept, or overlaps something kept that is at least as good.
            for box, score in zip(boxes, scores[:, class_id], strict=True):
                if score > np.float32(threshold):
                    iou = pairwise_iou(box[None], kept.boxes_xyxy)[0]
                    same = (kept.boxes_xyxy == box).all(axis=1) & (kept.scores == score)
                    assert same.any() or (iou[kept.scores >= score] > np.float32(overlap)).any()


@examples(60)
@given(raw=pictures(), low=st.sampled_from([0.05, 0.2]), high=st.sampled_from([0.3, 0.6]))
def test_a_higher_threshold_only_drops_the_tail(raw: RawDetections, low: float, high: float) -> None:
    lower = non_maximum_suppression(raw, NmsOptions(low, 0.5))
    higher = non_maximum_suppression(raw, NmsOptions(high, 0.5))
    tail = lower.select(lower.scores > np.float32(high))
    for name in ("image_ids", "boxes_xyxy", "scores", "class_ids"):
        np.testing.assert_array_equal(getattr(tail, name), getattr(higher, name))


def test_suppressing_again_changes_nothing_for_a_wider_threshold() -> None:
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 80, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (60, 2))], axis=1)
    raw = raw_detections([(boxes, rng.uniform(0.01, 1, (60, 1)))], 1)
    once = non_maximum_suppression(raw, NmsOptions(0.05, 0.4))
    again = non_maximum_suppression(raw_detections([(once.boxes_xyxy, once.scores[:, None])], 1), NmsOptions(0.05, 0.4))
    np.testing.assert_array_equal(once.boxes_xyxy, again.boxes_xyxy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence_threshold": 1.0}, r"confidence_threshold: expected a number in \[0, 1\), found 1.0"),
        ({"confidence_threshold": float("nan")}, "confidence_threshold: expected a finite number, found nan"),
        ({"iou_threshold": 0.0}, r"iou_threshold: expected a number in \(0, 1\], found 0.0"),
        ({"kind": "soft"}, "kind: expected one of default, greedynms, diounms, found 'soft'"),
        ({"beta": 0.0}, r"beta: expected a number in \(0, 10\], found 0.0"),
        ({"max_detections": 0}, "max_detections: expected at least 1, found 0"),
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        NmsOptions(**change)


def test_a_threshold_below_the_floor_is_refused() -> None:
    raw = raw_detections([([[0, 0, 1, 1]], [[0.5]])], 1)
    with pytest.raises(EvaluationError, match=r"confidence_threshold 0\.0001 is below 0.001, the floor"):
        non_maximum_suppression(raw, NmsOptions(0.0001, 0.5))


def test_detections_with_nan_scores_are_refused() -> None:
    ids = np.zeros(1, np.int64)
    with pytest.raises(EvaluationError, match="scores holds NaN"):
        Detections(ids, np.zeros((1, 4), np.float32), np.array([np.nan], np.float32), ids)
