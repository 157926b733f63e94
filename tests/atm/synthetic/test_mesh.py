"""The geometry of rendered objects."""

import numpy as np

from traffic_yolo.atm.synthetic.mesh import cross


def test_cross_product_is_numpys_to_the_bit() -> None:
    generator = np.random.default_rng(0)
    for first, second in generator.normal(size=(1000, 2, 3)):
        assert np.array_equal(cross(first, second), np.cross(first, second))
    assert np.array_equal(cross(first, (0.3, 0.5, 0.81)), np.cross(first, (0.3, 0.5, 0.81)))
