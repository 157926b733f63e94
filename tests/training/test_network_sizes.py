"""Network sizes that vary, against Darknet's rule worked out by hand (detector.c 197 to 235)."""

from typing import Any

import numpy as np
import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.training.network_sizes import NetworkSize, NetworkSizes

LONG = 50_000  # updates: 4,990 sizes are drawn between the first ten and the last hundred


def sizes_of(**changes: Any) -> NetworkSizes:
    values = {
        "width": 416,
        "height": 416,
        "batch": 64,
        "subdivisions": 8,
        "max_batches": LONG,
        "seed": 0,
        "factor": 1.4,
    }
    return NetworkSizes(**{**values, **changes})


def drawn(sizes: NetworkSizes) -> list[NetworkSize]:
    """The sizes of the groups of ten updates that are neither the first nor among the last."""
    return [sizes.at(iteration) for iteration in range(10, sizes.max_batches - 100, 10)]


def test_without_a_factor_every_update_has_the_size_of_the_cfg() -> None:
    sizes = sizes_of(factor=1.0, dynamic_minibatch=True, step=7)  # the step does not matter then
    assert {sizes.at(iteration) for iteration in range(0, LONG, 997)} == {NetworkSize(416, 416, 64)}
    assert (sizes.largest_wh, sizes.first_place(1000)) == ((416, 416), 64_000)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # 416 * v / 32 = 13 v, and a step: rounded, 13 / 1.4 + 1 = 10.3 to 13 * 1.4 + 1 = 19.2
        ({}, {(side, side) for side in range(320, 609, 32)}),
        # By 64, 6.5 / 1.4 + 1 = 5.6 to 6.5 * 1.4 + 1 = 10.1. Below v = 1 the 7 that is 448 is 416, above it 8 is the least
        ({"step": 64}, {(side, side) for side in (384, 416, 512, 576, 640)}),
        # 12 v + 1 by 6 v + 1, v from .833 to 1.2. Below 1: 11 by 6; 12 by 6; and 12 or 13 by 7, which is 384 x 192.
        # Above: 13 by 7 to v = 1.04, 14 by 7 to 1.083, 14 by 8 to 1.125, 15 by 8
        (
            {"width": 384, "height": 192, "factor": 1.2},
            {(352, 192), (384, 192), (416, 224), (448, 224), (448, 256), (480, 256)},
        ),
        # A side below a step: 3 v + 1 by .5 v + 1, which is 2 from v = 1 on, and the cfg's own below
        ({"width": 96, "height": 16}, {(96, 16), (128, 64), (160, 64)}),
    ],
    ids=["random=1", "resize_step=64", "random=1.2 at 384x192", "96x16"],
)
def test_sizes_are_those_that_darknets_rounding_can_give(
    changes: dict[str, Any], expected: set[tuple[int, int]]
) -> None:
    """Both sides come from one number."""
    assert {(size.width, size.height) for size in drawn(sizes_of(**changes))} == expected


def test_larger_and_smaller_sizes_come_as_often_and_in_the_shares_of_the_rule() -> None:
    """The factor v is even in 1 to 1.4, or its inverse as often.

    608 = 19 * 32 comes of 13 v + 1 >= 18.5, v >= 1.3462: .1346 of the larger half. 416 comes of 1 / v where 13 / v + 1
    >= 12.5, v <= 1.1304 (what would become 448 included): .3261 of the smaller half.
    """
    widths = np.array([size.width for size in drawn(sizes_of())])
    assert (widths > 416).mean() == pytest.approx(0.5, abs=0.02)
    assert (widths == 608).mean() == pytest.approx(0.1346 / 2, abs=0.01)
    assert (widths == 416).mean() == pytest.approx(0.3261 / 2, abs=0.015)


def test_a_size_lasts_ten_updates() -> None:
    sizes = sizes_of()
    widths = [sizes.at(iteration).width for iteration in range(1000)]
    assert all(len(set(widths[group : group + 10])) == 1 for group in range(0, 1000, 10))
    assert len(set(widths[::10])) > 5


@pytest.mark.parametrize(
    ("max_batches", "largest"),
    [
        # Darknet looks at every tenth update, whether more than max_batches - 100 are done: 900 are not more than that
        (1000, {0, *range(91, 100)}),
        (500, {0, *range(46, 50)}),  # of a short run the last tenth
    ],
)
def test_the_first_updates_and_the_last_are_of_the_largest_size(max_batches: int, largest: set[int]) -> None:
    always = set(range(max_batches // 10))
    for seed in range(8):
        sizes = sizes_of(max_batches=max_batches, seed=seed)
        assert sizes.largest_wh == (608, 608)
        always &= {number for number in range(max_batches // 10) if sizes.at(10 * number).width == 608}
    assert always == largest


def test_a_factor_below_one_begins_and_ends_with_its_smaller_size_as_in_darknet() -> None:
    """13 * 0.8 + 1 = 11.4; drawn are 13 * 0.8 to 13 / 0.8."""
    sizes = sizes_of(factor=0.8)
    assert sizes.at(0)[:2] == sizes.at(LONG - 1)[:2] == (352, 352)
    widths = {size.width for size in drawn(sizes)}
    assert (min(widths), max(widths)) == (352, 544)
    assert sizes.largest_wh == (544, 544)


@pytest.mark.parametrize(
    ("changes", "batches"),
    [
        # Eight pictures at 608 x 608. What the memory holds at a size, and .8 of it where that is still more than 8:
        # 320: 28, 22; 352: 23, 18; 384: 20, 16; 416: 17, 13; 448: 14, 11; 480: 12, 9; 512: 11, 8; 544: 9; 576: 8
        (
            {},
            {320: 176, 352: 144, 384: 128, 416: 104, 448: 88, 480: 72, 512: 88, 544: 72, 576: 64, 608: 64},
        ),
        # One picture a slice: 320: 3, 2; 352: 2, 1; 384: 2, 1; 416: 2, 1; 448: 1
        (
            {"batch": 4, "subdivisions": 4},
            {320: 8, 352: 8, 384: 8, 416: 8, 448: 4, 480: 4, 512: 4, 544: 4, 576: 4, 608: 4},
        ),
    ],
)
def test_dynamic_minibatch_takes_the_pictures_that_darknet_takes(
    changes: dict[str, Any], batches: dict[int, int]
) -> None:
    sizes = sizes_of(dynamic_minibatch=True, **changes)
    assert {size.width: size.batch for size in drawn(sizes)} == batches
    assert sizes.at(0).batch == changes.get("batch", 64)
    assert {size.batch for size in drawn(sizes_of(**changes))} == {changes.get("batch", 64)}


def test_a_size_that_is_above_the_first_one_still_has_a_picture() -> None:
    """random=0.5: Darknet's largest size is its smallest, 13 * .5 + 1 = 8 steps; 27 steps hold a twelfth of it."""
    sizes = sizes_of(factor=0.5, batch=4, subdivisions=4, dynamic_minibatch=True)
    assert min(size.batch for size in drawn(sizes)) == 4


@pytest.mark.parametrize("dynamic_minibatch", [False, True])
def test_the_samples_of_an_update_follow_those_of_the_updates_before(dynamic_minibatch: bool) -> None:
    sizes = sizes_of(max_batches=300, dynamic_minibatch=dynamic_minibatch)
    place = 0
    for iteration in range(300):
        assert sizes.first_place(iteration) == place
        place += sizes.at(iteration).batch
    assert (
        sizes.first_place(300)
        == sizes_of(max_batches=300, dynamic_minibatch=dynamic_minibatch).first_place(300)
        == place
    )
    assert (place > 300 * 64) == dynamic_minibatch


def test_a_size_depends_on_the_seed_and_the_update_alone() -> None:
    """A run that goes on, and every process of several, see the sizes of the undisturbed one."""
    whole = [sizes_of().at(iteration) for iteration in range(0, 1000, 10)]
    late = sizes_of()
    assert [late.at(iteration) for iteration in range(990, -1, -10)] == whole[::-1]
    assert [sizes_of(seed=1).at(iteration) for iteration in range(0, 1000, 10)] != whole


@pytest.mark.parametrize(
    ("step", "stride", "found"), [(16, 32, "multiple of 32"), (48, 32, "multiple of 32"), (32, 64, "multiple of 64")]
)
def test_a_step_that_does_not_fit_the_network_is_refused(step: int, stride: int, found: str) -> None:
    with pytest.raises(OptionsError, match=rf"resize_step: expected a {found}, the largest stride .*, found {step}; "):
        sizes_of(step=step, stride=stride)
    assert sizes_of(step=step, stride=16).largest_wh == (
        (592, 592) if step == 16 else (624, 624) if step == 48 else (608, 608)
    )
