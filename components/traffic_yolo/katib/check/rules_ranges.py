"""Rules about ranges, steps and distributions: each by what the algorithm's own service does with them.

Katib's webhook looks at none of it. The verdicts are those of the services of 0.19 and of the main branch, run over
every combination of range, step and distribution (goptuna's read from its sources).
"""

import math
from collections.abc import Iterator
from typing import Any

from traffic_yolo.cluster.access import mapping_at, text_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.check.rules_parameters import BOUNDS, numeric, parameters, spaces
from traffic_yolo.katib.check.rules_search import algorithm_of, settings_of
from traffic_yolo.katib.spec.constants import DISTRIBUTIONS, LEAST_LOGARITHMIC, NUMERIC_TYPES
from traffic_yolo.katib.spec.space import Parameter, number

LOGARITHMIC = ("logUniform", "logNormal")
NORMAL = ("normal", "logNormal")
READS_FRACTIONS = ("hyperopt", "pbt")  # of an int's min, max and step


@rule("distribution-refused", "error", "later")
def distribution_refused(subject: Subject) -> Iterator[Violation]:
    """Grid and multivariate-tpe have no normal and no logNormal: the service stops, or leaves the parameter out."""
    if _service(subject) != "optuna":
        return
    for path, parameter in numeric(subject):
        if parameter.distribution in NORMAL:
            where = f"{path}.feasibleSpace.distribution"
            message, expected = f"{_algorithm(subject)} cannot draw from it", "uniform, logUniform"
            yield Violation(where, message, expected, parameter.distribution, "take one of these, or random or tpe")


@rule("distribution-ignored", "warning", "nobody")
def distribution_ignored(subject: Subject) -> Iterator[Violation]:
    """A distribution is one that the algorithm's service honours."""
    algorithm = algorithm_of(subject)
    if algorithm is None or algorithm.searches_architectures:
        return
    for path, space in spaces(subject):
        found = text_at(space, "distribution")
        refused = algorithm.service == "optuna" and found in NORMAL
        if found in DISTRIBUTIONS[:4] and found not in algorithm.distributions and not refused:
            message = f"Katib's {algorithm.service} service does not draw from it"
            fix = "take random or tpe, or leave the distribution out"
            yield Violation(f"{path}.distribution", message, ", ".join(algorithm.distributions), found, fix)


@rule("logarithm-range", "error", "later")
def logarithm_range(subject: Subject) -> Iterator[Violation]:
    """A range whose logarithm is taken starts above 0 (bayesianoptimization takes it of every double)."""
    for path, parameter in numeric(subject):
        if not _takes_logarithm(subject, parameter):
            continue
        where, message = f"{path}.feasibleSpace.min", "no logarithm of this"
        if _algorithm(subject) == "multivariate-tpe":
            least = LEAST_LOGARITHMIC[parameter.kind]
            if parameter.most < least:
                where, found = f"{path}.feasibleSpace.max", f"{parameter.most:g}"
                yield Violation(where, message, f"at least {least:g}", found, "raise it")
        elif parameter.least <= 0:
            yield Violation(where, message, "a number above 0", f"{parameter.least:g}", "raise it")


@rule("logarithm-cut", "warning", "nobody")
def logarithm_cut(subject: Subject) -> Iterator[Violation]:
    """With multivariate-tpe, a logarithmic range starts at 1e-10 (an int's at 1) or above: it is cut off there."""
    if _algorithm(subject) != "multivariate-tpe":
        return
    for path, parameter in numeric(subject):
        least = LEAST_LOGARITHMIC[parameter.kind]
        if parameter.distribution == "logUniform" and parameter.least < least <= parameter.most:
            where, found = f"{path}.feasibleSpace.min", f"{parameter.least:g}"
            yield Violation(where, f"values start at {least:g}", f"at least {least:g}", found, f"write {least:g}")


@rule("range-number", "error", "later")
def range_number(subject: Subject) -> Iterator[Violation]:
    """min, max and step can be read as numbers; of an int, as whole ones (hyperopt and pbt read others too)."""
    reads_fractions = _service(subject) in READS_FRACTIONS
    for path, key, kind, text in _texts(subject):
        if number(text, "double" if reads_fractions else kind) is None:
            expected = "a whole number" if kind == "int" else "a number"
            yield Violation(f"{path}.feasibleSpace.{key}", "no number", expected, shown(text), "correct it")


@rule("range-fraction", "warning", "nobody")
def range_fraction(subject: Subject) -> Iterator[Violation]:
    """An int's min, max and step are whole numbers, also where the service would take others."""
    if _service(subject) in READS_FRACTIONS:
        for path, key, kind, text in _texts(subject):
            if kind == "int" and number(text, "int") is None and number(text, "double") is not None:
                where = f"{path}.feasibleSpace.{key}"
                yield Violation(where, "no whole number", "a whole number", shown(text), "correct it")


@rule("range-order", "error", "later")
def range_order(subject: Subject) -> Iterator[Violation]:
    """Min is below max, or equal where the service takes that (random, tpe, bayesianoptimization and cmaes do not)."""
    for path, parameter in numeric(subject):
        found, where = f"{parameter.least:g} to {parameter.most:g}", f"{path}.feasibleSpace.min"
        expected = f"less than {parameter.most:g}"
        if parameter.least > parameter.most and not _takes_reversed(subject, parameter):
            yield Violation(where, "min is above max", expected, found, "correct the range")
        elif parameter.least == parameter.most and _refuses_equal(subject, parameter):
            message = f"{_algorithm(subject)} takes no range of one value"
            yield Violation(where, message, expected, found, "widen it, or write the value into the template")


@rule("range-reversed", "warning", "nobody")
def range_reversed(subject: Subject) -> Iterator[Violation]:
    """Min is not above max, also where the service draws from such a range."""
    for path, parameter in numeric(subject):
        if parameter.least > parameter.most and _takes_reversed(subject, parameter):
            found = f"{parameter.least:g} to {parameter.most:g}"
            where, message = f"{path}.feasibleSpace.min", "min is above max"
            yield Violation(where, message, f"at most {parameter.most:g}", found, "exchange the two")


@rule("range-step", "error", "later")
def range_step(subject: Subject) -> Iterator[Violation]:
    """A step that the service looks at is above 0 (hyperopt takes one below 0 for its amount)."""
    for path, parameter, step in _steps(subject):
        if step == 0 or (step < 0 and not _takes_negative(subject, parameter)):
            where = f"{path}.feasibleSpace.step"
            yield Violation(where, "no step", "a number above 0", f"{step:g}", "correct it")


@rule("step-fit", "warning", "nobody")
def step_fit(subject: Subject) -> Iterator[Violation]:
    """A step is above 0 and not larger than the range: else one value is drawn, or one outside of it."""
    for path, parameter, step in _steps(subject):
        width = max(parameter.most - parameter.least, 0)
        too_wide = width > 0 and step > width * (1 + 1e-9)  # 0.6 - 0.05 < 0.55 in floats
        if too_wide or (step < 0 and _takes_negative(subject, parameter)):
            where, expected = f"{path}.feasibleSpace.step", f"above 0, at most {width:g}"
            yield Violation(where, "the step does not fit", expected, f"{step:g}", "correct it")


@rule("step-ignored", "warning", "nobody")
def step_ignored(subject: Subject) -> Iterator[Violation]:
    """A step is one that the service looks at: bayesianoptimization and hyperband do not, nor is one on a logarithm."""
    for path, parameter in parameters(subject, NUMERIC_TYPES):
        space = mapping_at(parameter, "feasibleSpace")
        if text_at(space, "step") and not _looks_at_step(subject, text_at(space, "distribution")):
            message = f"{_algorithm(subject)} draws from the whole range"
            yield Violation(f"{path}.feasibleSpace.step", message, "no step", shown(space["step"]), "take tpe or grid")


def _algorithm(subject: Subject) -> str:
    return text_at(subject.spec, "algorithm", "algorithmName")


def _service(subject: Subject) -> str:
    """The program that would draw the values, "" for an algorithm that is not known here."""
    algorithm = algorithm_of(subject)
    return algorithm.service if algorithm is not None else ""


def _takes_logarithm(subject: Subject, parameter: Parameter) -> bool:
    service = _service(subject)
    if service == "skopt":
        return parameter.kind == "double"
    logarithmic = parameter.distribution in LOGARITHMIC
    if service == "optuna":
        return parameter.distribution == "logUniform"
    return logarithmic and service in ("hyperopt", "")


def _takes_reversed(subject: Subject, parameter: Parameter) -> bool:
    """Hyperband draws between two ends in any order, and so does hyperopt between two logarithms; pbt by its steps."""
    service = _service(subject)
    if service == "pbt":
        return _has_steps(parameter)
    return service == "hyperband" or (service == "hyperopt" and parameter.distribution == "logUniform")


def _takes_negative(subject: Subject, parameter: Parameter) -> bool:
    service = _service(subject)
    return service == "hyperopt" or (service == "pbt" and _has_steps(parameter))


def _has_steps(parameter: Parameter) -> bool:
    """Whether pbt's list of values, numpy.arange(min, max + step / 2, step), has one."""
    step = parameter.step if parameter.step is not None else 1.0
    return step != 0 and math.ceil((parameter.most + step / 2 - parameter.least) / step) > 0


def _refuses_equal(subject: Subject, parameter: Parameter) -> bool:
    service = _service(subject)
    if service == "hyperopt":
        return parameter.distribution not in (*LOGARITHMIC, *NORMAL)
    if _algorithm(subject) == "cmaes":  # without a sigma of its own it takes a sixth of the narrowest range
        sigma = number(settings_of(mapping_at(subject.spec, "algorithm")).get("sigma", "0"), "double")
        return sigma is None or sigma <= 0
    return service == "skopt"


def _looks_at_step(subject: Subject, distribution: str) -> bool:
    if _algorithm(subject) == "multivariate-tpe" and distribution == "logUniform":
        return False
    return _service(subject) not in ("skopt", "hyperband")


def _texts(subject: Subject) -> Iterator[tuple[str, str, str, str]]:
    """(path, key, kind, text) of every end and step of a range that the service reads."""
    for path, parameter in parameters(subject, NUMERIC_TYPES):
        space: dict[str, Any] = mapping_at(parameter, "feasibleSpace")
        keys = (*BOUNDS, "step") if _looks_at_step(subject, text_at(space, "distribution")) else BOUNDS
        for key in keys:
            if text_at(space, key):
                yield path, key, text_at(parameter, "parameterType"), text_at(space, key)


def _steps(subject: Subject) -> Iterator[tuple[str, Parameter, float]]:
    """(path, parameter, its step) of every step that the service looks at."""
    for path, parameter in numeric(subject):
        if parameter.step is not None and _looks_at_step(subject, parameter.distribution):
            yield path, parameter, parameter.step
