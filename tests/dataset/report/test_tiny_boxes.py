"""Tiny boxes by the size that the network sees: ignored with the reason, never deleted."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.report.tiny_boxes import REASON, TinyBoxPolicy
from traffic_yolo.errors import OptionsError


def frame(*boxes: Annotation) -> Frame:
    return Frame("r", "SCAN_00000", 1920, 1080, boxes, lambda: b"")


def box(width: float, height: float, **options: bool) -> Annotation:
    return Annotation("CAR", (5, 5, width, height), attributes={"track": 3}, **options)


def test_sizes_are_those_at_the_network_s_input() -> None:
    stretched = TinyBoxPolicy((416, 416), 4)
    assert stretched.network_size(box(48, 27), (1920, 1080)) == pytest.approx((10.4, 10.4))
    boxed = TinyBoxPolicy((416, 416), 4, "letterbox")
    assert boxed.network_size(box(48, 27), (1920, 1080)) == pytest.approx((10.4, 5.85))


def test_the_shorter_side_decides_and_the_limit_itself_counts() -> None:
    policy = TinyBoxPolicy((960, 540), 4)
    changed = policy.change(frame(box(8, 8), box(7.9, 100), box(100, 7.9), box(200, 200)))
    assert [a.ignore for a in changed.annotations] == [False, True, True, False]
    assert changed.annotations[1].attributes == {"track": 3, REASON: "tiny: 4.0x50.0 network pixels"}


def test_crowds_and_ignored_boxes_stay_as_they_are_and_an_untouched_frame_is_the_same() -> None:
    policy = TinyBoxPolicy((416, 416), 8)
    untouched = frame(box(4, 4, is_crowd=True), box(4, 4, ignore=True), box(400, 400))
    assert policy.change(untouched) is untouched


@given(st.lists(st.tuples(st.floats(0.1, 300), st.floats(0.1, 300)), max_size=8), st.floats(0.5, 40))
def test_no_box_is_lost_or_moved(sizes: list[tuple[float, float]], limit: float) -> None:
    before = frame(*(box(*size) for size in sizes))
    after = TinyBoxPolicy((416, 416), limit).change(before)
    restored = [
        dataclasses.replace(a, ignore=False, attributes={k: v for k, v in a.attributes.items() if k != REASON})
        for a in after.annotations
    ]
    assert tuple(restored) == before.annotations


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(((0, 416), 4), "network size"), (((416, 416), 0), "min_box_px"), (((416, 416), 4, "crop"), "resize_rule")],
)
def test_a_senseless_policy_is_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        TinyBoxPolicy(*arguments)  # type: ignore[arg-type]
