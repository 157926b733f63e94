"""Who stands in front of whom."""

import numpy as np

from traffic_yolo.atm.synthetic.occlusion import Footprint, is_in_front, painting_order

EVERYWHERE = (0.0, 0.0, 100.0, 100.0)
ALONG_Y, ALONG_X = (0.0, 1.0), (1.0, 0.0)


def test_a_long_vehicle_is_behind_the_small_one_beside_its_near_end() -> None:
    bus = Footprint((0.0, 30.0), ALONG_Y, (5.5, 1.25), EVERYWHERE)  # from 24.5 m to 35.5 m
    right_of_it = Footprint((2.5, 34.0), ALONG_Y, (0.9, 0.4), EVERYWHERE)  # farther away by its middle
    assert not is_in_front(right_of_it, bus)  # seen from the left of it, the bus stands before it
    assert is_in_front(bus, right_of_it)
    from_the_right = Footprint((-7.5, 30.0), ALONG_Y, (5.5, 1.25), EVERYWHERE)
    nearer_lane = Footprint((-4.0, 34.0), ALONG_Y, (0.9, 0.4), EVERYWHERE)
    assert is_in_front(nearer_lane, from_the_right)  # though its middle is farther away along the road
    assert nearer_lane.middle[1] > from_the_right.middle[1]


def test_order_is_back_to_front_and_complete() -> None:
    rng = np.random.default_rng(0)
    ys = rng.permutation(np.arange(20, 60, 4.0))
    footprints = [Footprint((0.0, float(y)), ALONG_X, (1.0, 1.0), EVERYWHERE) for y in ys]
    order = painting_order(footprints)
    assert [ys[index] for index in order] == sorted(ys, reverse=True)


def test_things_that_do_not_overlap_in_the_picture_do_not_constrain_each_other() -> None:
    left = Footprint((-5.0, 30.0), ALONG_Y, (1.0, 1.0), (0, 0, 10, 10))
    right = Footprint((5.0, 31.0), ALONG_Y, (1.0, 1.0), (50, 0, 60, 10))
    assert sorted(painting_order([left, right])) == [0, 1]
