"""Rules about the search space."""

import re
from collections.abc import Iterator
from typing import Any

from traffic_yolo.cluster.access import at, list_at, mapping_at, mappings_at, text_at, texts_at, whole_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.spec.constants import (
    DISTRIBUTIONS,
    LIST_TYPES,
    NUMERIC_TYPES,
    PARAMETER_TYPES,
)
from traffic_yolo.katib.spec.space import Parameter, grid_size, number

BOUNDS = ("min", "max")
PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@rule("space-missing", "error", "admission")
def space_missing(subject: Subject) -> Iterator[Violation]:
    """There are parameters or a nasConfig."""
    if subject.spec and not at(subject.spec, "parameters") and at(subject.spec, "nasConfig") is None:
        yield Violation("spec.parameters", "nothing to search in", "parameters or nasConfig", "neither", "write one")


@rule("space-both", "error", "admission")
def space_both(subject: Subject) -> Iterator[Violation]:
    """There are parameters or a nasConfig, not both."""
    if at(subject.spec, "parameters") and at(subject.spec, "nasConfig") is not None:
        yield Violation("spec.nasConfig", "two search spaces", "parameters or nasConfig", "both", "remove one")


@rule("parameter-name", "error", "later")
def parameter_name(subject: Subject) -> Iterator[Violation]:
    """Every parameter has a name."""
    for path, parameter in parameters(subject):
        if not text_at(parameter, "name"):
            yield Violation(f"{path}.name", "no name", "a text", shown(parameter.get("name")), "name it")


@rule("parameter-repeated", "error", "later")
def parameter_repeated(subject: Subject) -> Iterator[Violation]:
    """No two parameters have one name."""
    seen: set[str] = set()
    for path, parameter in parameters(subject):
        name = text_at(parameter, "name")
        if name and name in seen:
            yield Violation(f"{path}.name", "named twice", "another name", shown(name), "rename or remove it")
        seen.add(name)


@rule("parameter-type", "error", "admission")
def parameter_type(subject: Subject) -> Iterator[Violation]:
    """Every parameter is an int, a double, discrete or categorical."""
    for path, parameter in parameters(subject):
        if text_at(parameter, "parameterType") not in PARAMETER_TYPES:
            found = shown(parameter.get("parameterType"))
            yield Violation(f"{path}.parameterType", "unknown type", ", ".join(PARAMETER_TYPES[:4]), found, "take one")


@rule("parameter-type-unknown", "error", "later")
def parameter_type_unknown(subject: Subject) -> Iterator[Violation]:
    """No parameter has the type `unknown`: Katib's webhook takes the word, no service can sample it."""
    for path, parameter in parameters(subject):
        if text_at(parameter, "parameterType") == "unknown":
            yield Violation(f"{path}.parameterType", "no type", ", ".join(PARAMETER_TYPES[:4]), "unknown", "take one")


@rule("distribution", "error", "admission")
def distribution(subject: Subject) -> Iterator[Violation]:
    """A distribution is one of Katib's."""
    for path, space in spaces(subject):
        found = space.get("distribution")
        if found not in (None, "", *DISTRIBUTIONS):
            where = f"{path}.distribution"
            yield Violation(where, "unknown distribution", ", ".join(DISTRIBUTIONS[:4]), shown(found), "take one")


@rule("feasible-space", "error", "admission")
def feasible_space(subject: Subject) -> Iterator[Violation]:
    """Every parameter has a feasibleSpace."""
    for path, parameter in parameters(subject):
        if not any(value not in (None, "", []) for value in mapping_at(parameter, "feasibleSpace").values()):
            found = shown(parameter.get("feasibleSpace"))
            yield Violation(
                f"{path}.feasibleSpace", "nothing to choose from", "min and max, or list", found, "write it"
            )


@rule("range-list", "error", "admission")
def range_list(subject: Subject) -> Iterator[Violation]:
    """An int or a double has no list."""
    for path, parameter in parameters(subject, NUMERIC_TYPES):
        if list_at(parameter, "feasibleSpace", "list"):
            where = f"{path}.feasibleSpace.list"
            yield Violation(where, "not for a number", "min and max", "a list", "take discrete, or min and max")


@rule("range-bounds", "error", "admission")
def range_bounds(subject: Subject) -> Iterator[Violation]:
    """An int or a double has min and max, both."""
    for path, parameter in parameters(subject, NUMERIC_TYPES):
        if mapping_at(parameter, "feasibleSpace"):
            for key in BOUNDS:
                if not at(parameter, "feasibleSpace", key):
                    where = f"{path}.feasibleSpace.{key}"
                    yield Violation(where, f"{key} is missing", "a number as a text", "nothing", f'write {key}: "…"')


@rule("list-range", "error", "admission")
def list_range(subject: Subject) -> Iterator[Violation]:
    """A categorical or discrete parameter has no min, max or step."""
    for path, parameter in parameters(subject, LIST_TYPES):
        for key in (*BOUNDS, "step"):
            if at(parameter, "feasibleSpace", key):
                where = f"{path}.feasibleSpace.{key}"
                yield Violation(
                    where, "not for a list", "list alone", shown(parameter["feasibleSpace"][key]), "remove it"
                )


@rule("list-missing", "error", "later")
def list_missing(subject: Subject) -> Iterator[Violation]:
    """A categorical or discrete parameter has a list with something in it."""
    for path, parameter in parameters(subject, LIST_TYPES):
        if mapping_at(parameter, "feasibleSpace") and not list_at(parameter, "feasibleSpace", "list"):
            yield Violation(
                f"{path}.feasibleSpace.list", "nothing to choose from", "a list of texts", "nothing", "write it"
            )


@rule("list-repeated", "warning", "nobody")
def list_repeated(subject: Subject) -> Iterator[Violation]:
    """A list holds each value once: the services try one that stands there twice the more often."""
    for path, parameter in parameters(subject, LIST_TYPES):
        values = texts_at(parameter, "feasibleSpace", "list")
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield Violation(
                f"{path}.feasibleSpace.list", "stands there twice", "each value once", shown(value), "remove one"
            )


@rule("discrete-number", "warning", "nobody")
def discrete_number(subject: Subject) -> Iterator[Violation]:
    """A discrete parameter's list holds numbers: the services take any text, as for a categorical one."""
    if text_at(subject.spec, "algorithm", "algorithmName") == "hyperband":
        return  # `hyperband-discrete` has more to say
    for path, parameter in parameters(subject, ("discrete",)):
        for index, value in enumerate(texts_at(parameter, "feasibleSpace", "list")):
            if not PLAIN_NUMBER.fullmatch(value):
                where = f"{path}.feasibleSpace.list[{index}]"
                yield Violation(where, "no number", "a number", shown(value), "take categorical, or a number")


@rule("hyperband-discrete", "error", "later")
def hyperband_discrete(subject: Subject) -> Iterator[Violation]:
    """With hyperband, a discrete parameter's list holds whole numbers: its service reads them as such."""
    if text_at(subject.spec, "algorithm", "algorithmName") != "hyperband":
        return
    for path, parameter in parameters(subject, ("discrete",)):
        for index, value in enumerate(texts_at(parameter, "feasibleSpace", "list")):
            if number(value, "int") is None:
                where = f"{path}.feasibleSpace.list[{index}]"
                yield Violation(where, "no whole number", "a whole number", shown(value), "take categorical")


@rule("grid-step", "error", "later")
def grid_step(subject: Subject) -> Iterator[Violation]:
    """With grid, every double has a step."""
    if text_at(subject.spec, "algorithm", "algorithmName") != "grid":
        return
    for path, parameter in parameters(subject, ("double",)):
        if mapping_at(parameter, "feasibleSpace") and not text_at(parameter, "feasibleSpace", "step"):
            yield Violation(
                f"{path}.feasibleSpace.step", "a grid needs a step", "a number above 0", "nothing", "write it"
            )


@rule("grid-size", "error", "later")
def grid_size_rule(subject: Subject) -> Iterator[Violation]:
    """With grid, maxTrialCount is not above the number of combinations."""
    most = whole_at(subject.spec, "maxTrialCount")
    if text_at(subject.spec, "algorithm", "algorithmName") != "grid" or most is None:
        return
    combinations = 1
    for _, parameter in parameters(subject):
        size = _size(parameter)
        if size is None:
            return
        combinations *= size
    if 0 < combinations < most:
        message = "more trials than combinations"
        yield Violation("spec.maxTrialCount", message, f"at most {combinations}", str(most), f"write {combinations}")


def parameters(subject: Subject, kinds: tuple[str, ...] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, parameter) of all parameters, or of those of some types."""
    for index, parameter in mappings_at(subject.spec, "parameters"):
        if kinds is None or text_at(parameter, "parameterType") in kinds:
            yield f"spec.parameters[{index}]", parameter


def spaces(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, feasibleSpace) of all parameters that have one."""
    for path, parameter in parameters(subject):
        space = mapping_at(parameter, "feasibleSpace")
        if space:
            yield f"{path}.feasibleSpace", space


def numeric(subject: Subject) -> Iterator[tuple[str, Parameter]]:
    """(path, parameter) of the ints and doubles whose numbers can all be read."""
    for path, parameter in parameters(subject, NUMERIC_TYPES):
        read = _numeric(parameter)
        if read is not None:
            yield path, read


def _numeric(parameter: dict[str, Any]) -> Parameter | None:
    kind, space = text_at(parameter, "parameterType"), mapping_at(parameter, "feasibleSpace")
    least, most = (number(text_at(space, key), kind) for key in BOUNDS)
    step = number(text_at(space, "step"), kind)
    if least is None or most is None or (text_at(space, "step") and step is None):
        return None
    distribution = text_at(space, "distribution") or "uniform"
    return Parameter(text_at(parameter, "name"), kind, least, most, step, distribution)


def _size(parameter: dict[str, Any]) -> int | None:
    """The grid's values of a parameter, None where other rules have something to say first."""
    kind = text_at(parameter, "parameterType")
    if kind in LIST_TYPES:
        return len(texts_at(parameter, "feasibleSpace", "list"))
    read = _numeric(parameter) if kind in NUMERIC_TYPES else None
    return grid_size(read) if read is not None and (read.step is None or read.step > 0) else None
