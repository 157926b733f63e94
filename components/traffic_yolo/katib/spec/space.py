"""The search space of an Experiment as numbers and lists, and the values of a grid, as Katib's services read them."""

import math
from dataclasses import dataclass
from typing import Any

from traffic_yolo.cluster.access import mapping_at, mappings_at, text_at, texts_at
from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.spec.constants import LIST_TYPES, NUMERIC_TYPES

MAX_GRID_VALUES = 1_000_000  # of one parameter: more could not be listed, let alone tried


@dataclass(frozen=True)
class Parameter:
    """One parameter. `least`, `most` and `step` are of numeric kinds (`step` None: none given), `choices` of lists."""

    name: str
    kind: str
    least: float = 0.0
    most: float = 0.0
    step: float | None = None
    distribution: str = "uniform"
    choices: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether it is an int or a double."""
        return self.kind in NUMERIC_TYPES


def read_space(spec: dict[str, Any]) -> tuple[Parameter, ...]:
    """The parameters of a spec that the checker found without errors; `OptionsError` for what is no parameter.

    What some of Katib's services take, and others do not, is brought into one form: ends in order, an int's ends whole
    and inside, a step above 0.
    """
    return tuple(_read(parameter) for _, parameter in mappings_at(spec, "parameters"))


def _read(parameter: dict[str, Any]) -> Parameter:
    name, kind = text_at(parameter, "name"), text_at(parameter, "parameterType")
    space = mapping_at(parameter, "feasibleSpace")
    if kind in LIST_TYPES:
        return Parameter(name, kind, choices=tuple(texts_at(space, "list")))
    numbers = {key: number(text_at(space, key), "double") for key in ("min", "max", "step")}
    if kind not in NUMERIC_TYPES or numbers["min"] is None or numbers["max"] is None:
        raise OptionsError(f"parameter {name!r}: expected a known type with min and max; `katib check` says more")
    least, most = sorted((numbers["min"], numbers["max"]))
    step = abs(numbers["step"]) if numbers["step"] else None
    if kind == "int":
        least, most = float(math.ceil(least)), float(math.floor(most))
        step = max(1.0, float(int(step))) if step else None
    return Parameter(name, kind, least, most, step, text_at(space, "distribution") or "uniform")


def number(text: str, kind: str) -> float | None:
    """A finite number as Katib's services read it (`int(…)` for int, `float(…)` for double), else None."""
    try:
        value = float(int(text)) if kind == "int" else float(text)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and "_" not in text else None


def grid_size(parameter: Parameter) -> int | None:
    """How many values the grid has for a parameter, without listing them; None for a double without a step."""
    if not parameter.is_numeric:
        return len(parameter.choices)
    step = parameter.step or (1.0 if parameter.kind == "int" else None)
    if step is None or step <= 0 or parameter.most < parameter.least:
        return None
    if (parameter.most - parameter.least) / step > MAX_GRID_VALUES:
        return int((parameter.most - parameter.least) / step) + 1
    return len(grid_values(parameter))


def grid_values(parameter: Parameter) -> list[int] | list[float] | list[str]:
    """The grid's values in order, as Katib makes them: `range` for an int, `numpy.arange` for a double.

    So a double's values carry arange's rounding (0.30000000000000004), and its last one may be missing or there by
    rounding. Raises `OptionsError` for a double without a step.
    """
    if not parameter.is_numeric:
        return list(parameter.choices)
    if parameter.kind == "int":
        return list(range(int(parameter.least), int(parameter.most) + 1, int(parameter.step or 1)))
    if not parameter.step:
        raise OptionsError(f"parameter {parameter.name!r}: a grid needs a step for a double")
    import numpy as np

    values = np.arange(parameter.least, parameter.most + parameter.step, parameter.step)
    if values[-1] > parameter.most:
        values = values[:-1]
    return [float(value) for value in values]
