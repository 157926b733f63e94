"""The metrics of a trial: their names, and the lines by which Katib's collector reads them."""

import math
import re
from collections.abc import Mapping

from traffic_yolo.errors import OptionsError

# metric -> its name in an evaluation record; the first is the objective. Katib's names: letters, digits, '_' and '-'.
METRICS = {"f1": "f1", "precision": "precision", "recall": "recall", "map": "ap", "map50": "ap50"}
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def metric_lines(metrics: Mapping[str, float]) -> list[str]:
    """`name=value` for each metric, as Katib's collector reads it from the log.

    Raises `OptionsError` for a name that its expression cannot read, or a value that is no finite number: Katib would
    count the whole trial as one without metrics.
    """
    for name, value in metrics.items():
        if not METRIC_NAME.fullmatch(name):
            raise OptionsError(f"metric {name!r}: Katib reads letters, digits, '_' and '-' only")
        if not math.isfinite(value):
            raise OptionsError(f"metric {name}: {value} is no finite number; Katib could not read it")
    return [f"{name}={value:.6f}" for name, value in metrics.items()]
