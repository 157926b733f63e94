"""How far away a labelled object is, where its box says so: under which names attributes hold a distance.

Labels, the device's own boxes and the radar use different words; whoever asks for a distance asks here.
"""

import math
from collections.abc import Mapping
from typing import Any

DISTANCE = "distance_m"  # metres along the ground from the radar, as our files say it
# Where a distance in metres may stand: a number of its own, or two coordinates on the road
DISTANCE_KEYS = (DISTANCE, "distance")
POSITION_KEYS = (("posx", "posy"), ("xpos", "ypos"))


def stated_distance(attributes: Mapping[str, Any]) -> float:
    """Metres from the radar, which stands at the origin of its own coordinates; NaN where a box does not say it."""
    for key in DISTANCE_KEYS:
        if (value := _number(attributes.get(key))) is not None:
            return value
    for keys in POSITION_KEYS:
        position = [_number(attributes.get(key)) for key in keys]
        if None not in position and any(position):  # radar and camera not matched: both 0
            return math.hypot(*(value for value in position if value is not None))
    return math.nan


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None
