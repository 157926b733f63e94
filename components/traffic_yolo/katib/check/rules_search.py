"""Rules about the objective, the algorithm and early stopping."""

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from traffic_yolo.cluster.access import at, list_at, mapping_at, mappings_at, text_at, texts_at, whole_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.spec.algorithms import ALGORITHMS, EARLY_STOPPING, Algorithm, Setting
from traffic_yolo.katib.spec.constants import LIST_TYPES, NUMERIC_TYPES, OBJECTIVE_TYPES, STRATEGIES


@rule("objective-missing", "error", "admission")
def objective_missing(subject: Subject) -> Iterator[Violation]:
    """There is an objective."""
    if subject.spec and not isinstance(at(subject.spec, "objective"), dict):
        yield Violation("spec.objective", "nothing to optimise", "type and objectiveMetricName", "nothing", "write it")


@rule("objective-type", "error", "admission")
def objective_type(subject: Subject) -> Iterator[Violation]:
    """The objective is to maximize or to minimize."""
    objective = at(subject.spec, "objective")
    if isinstance(objective, dict) and text_at(objective, "type") not in OBJECTIVE_TYPES:
        found = shown(objective.get("type"))
        yield Violation("spec.objective.type", "unknown direction", "maximize or minimize", found, "write one of them")


@rule("objective-metric", "error", "admission")
def objective_metric(subject: Subject) -> Iterator[Violation]:
    """The objective names a metric."""
    objective = at(subject.spec, "objective")
    if isinstance(objective, dict) and not text_at(objective, "objectiveMetricName"):
        found = shown(objective.get("objectiveMetricName"))
        yield Violation("spec.objective.objectiveMetricName", "no metric", "the name of a metric", found, "write it")


@rule("objective-repeated", "error", "admission")
def objective_repeated(subject: Subject) -> Iterator[Violation]:
    """AdditionalMetricNames does not hold the objective's metric."""
    name = text_at(subject.spec, "objective", "objectiveMetricName")
    for index, found in enumerate(list_at(subject.spec, "objective", "additionalMetricNames")):
        if name and found == name:
            path = f"spec.objective.additionalMetricNames[{index}]"
            yield Violation(path, "the objective stands there again", "other metrics", shown(found), "remove it")


@rule("metric-repeated", "warning", "nobody")
def metric_repeated(subject: Subject) -> Iterator[Violation]:
    """No additional metric stands there twice."""
    names = texts_at(subject.spec, "objective", "additionalMetricNames")
    for name in sorted({name for name in names if names.count(name) > 1}):
        path = "spec.objective.additionalMetricNames"
        yield Violation(path, "named twice", "each metric once", shown(name), "remove one")


@rule("metric-semicolon", "error", "later")
def metric_semicolon(subject: Subject) -> Iterator[Violation]:
    """No metric's name holds ';': the collector gets all names in one argument, parted by it."""
    for path, name in metric_names(subject.spec):
        if ";" in name:
            yield Violation(path, "the collector would see two names", "a name without ';'", shown(name), "rename it")


@rule("metric-strategy", "error", "later")
def metric_strategy(subject: Subject) -> Iterator[Violation]:
    """Every metric strategy is min, max or latest; with another, Katib never has a value for the metric."""
    for index, strategy in mappings_at(subject.spec, "objective", "metricStrategies"):
        if text_at(strategy, "value") not in STRATEGIES:
            path = f"spec.objective.metricStrategies[{index}].value"
            yield Violation(path, "unknown strategy", ", ".join(STRATEGIES), shown(strategy.get("value")), "take one")


@rule("metric-strategy-name", "warning", "nobody")
def metric_strategy_name(subject: Subject) -> Iterator[Violation]:
    """Every metric strategy is for a metric of the objective."""
    known = [name for _, name in metric_names(subject.spec)]
    for index, strategy in mappings_at(subject.document, "spec", "objective", "metricStrategies"):
        if text_at(strategy, "name") not in known:
            path = f"spec.objective.metricStrategies[{index}].name"
            expected = ", ".join(known) or "a metric"
            yield Violation(path, "no such metric", expected, shown(strategy.get("name")), "correct the name")


@rule("goal-number", "error", "later")
def goal_number(subject: Subject) -> Iterator[Violation]:
    """The goal is a number that a metric can reach."""
    goal = at(subject.spec, "objective", "goal")
    if goal is not None and (isinstance(goal, bool) or not isinstance(goal, int | float) or not math.isfinite(goal)):
        yield Violation("spec.objective.goal", "no number", "a number without quotes", shown(goal), "write a number")


@rule("algorithm-missing", "error", "admission")
def algorithm_missing(subject: Subject) -> Iterator[Violation]:
    """There is an algorithm with a name."""
    if subject.spec and not text_at(subject.spec, "algorithm", "algorithmName"):
        found = shown(at(subject.spec, "algorithm", "algorithmName"))
        yield Violation("spec.algorithm.algorithmName", "no algorithm", ", ".join(ALGORITHMS), found, "take one")


@rule("algorithm-unknown", "error", "admission")
def algorithm_unknown(subject: Subject) -> Iterator[Violation]:
    """The algorithm is one of those that Katib's configuration has by default."""
    name = text_at(subject.spec, "algorithm", "algorithmName")
    if name and name not in ALGORITHMS:
        near = nearest(name, ALGORITHMS)
        fix = f"write {near}" if near else "take one, or see that KatibConfig has yours"
        yield Violation("spec.algorithm.algorithmName", "unknown algorithm", ", ".join(ALGORITHMS), shown(name), fix)


@rule("algorithm-setting-unknown", "error", "later")
def algorithm_setting_unknown(subject: Subject) -> Iterator[Violation]:
    """The algorithm's service knows each of its settings, where it refuses others."""
    algorithm = algorithm_of(subject)
    if algorithm is not None and algorithm.checked:
        yield from _unknown_settings("spec.algorithm", subject.spec["algorithm"], algorithm.settings)


@rule("algorithm-setting-ignored", "warning", "nobody")
def algorithm_setting_ignored(subject: Subject) -> Iterator[Violation]:
    """The service reads each setting: cmaes, sobol, hyperband and pbt pass over others, darts' trial gets them."""
    algorithm = algorithm_of(subject)
    if algorithm is not None and not algorithm.checked:
        yield from _unknown_settings("spec.algorithm", subject.spec["algorithm"], algorithm.settings)


@rule("algorithm-setting-value", "error", "later")
def algorithm_setting_value(subject: Subject) -> Iterator[Violation]:
    """Each setting of the algorithm has a value that its service accepts."""
    algorithm = algorithm_of(subject)
    if algorithm is not None:
        yield from _wrong_values("spec.algorithm", subject.spec["algorithm"], algorithm.settings)


@rule("algorithm-setting-missing", "error", "later")
def algorithm_setting_missing(subject: Subject) -> Iterator[Violation]:
    """The settings that the algorithm cannot do without are there."""
    algorithm = algorithm_of(subject)
    if algorithm is None:
        return
    given = settings_of(subject.spec["algorithm"])
    for name, setting in algorithm.settings.items():
        if setting.required and name not in given:
            path = "spec.algorithm.algorithmSettings"
            yield Violation(path, f"{name} is missing", setting.expected, "nothing", f"write {name}")


@rule("algorithm-setting-pair", "error", "later")
def algorithm_setting_pair(subject: Subject) -> Iterator[Violation]:
    """With bayesianoptimization, acq_optimizer lbfgs goes with base_estimator GP alone: the others have no gradient."""
    given = settings_of(mapping_at(subject.spec, "algorithm"))
    estimator = given.get("base_estimator", "GP")
    if _name(subject) == "bayesianoptimization" and given.get("acq_optimizer") == "lbfgs" and estimator != "GP":
        path, message = "spec.algorithm.algorithmSettings", "acq_optimizer lbfgs needs a gradient"
        yield Violation(path, message, "base_estimator GP", shown(estimator), "take acq_optimizer auto or sampling")


@rule("algorithm-setting-repeated", "warning", "nobody")
def algorithm_setting_repeated(subject: Subject) -> Iterator[Violation]:
    """No setting stands there twice: the last one would count."""
    for part in ("algorithm", "earlyStopping"):
        names = [text_at(item, "name") for _, item in mappings_at(subject.spec, part, "algorithmSettings")]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Violation(f"spec.{part}.algorithmSettings", "set twice", "each name once", shown(name), "remove one")


@rule("architecture-search", "error", "later")
def architecture_search(subject: Subject) -> Iterator[Violation]:
    """Enas and darts search in nasConfig, all others in parameters."""
    algorithm = algorithm_of(subject)
    if algorithm is None:
        return
    wanted, other = ("nasConfig", "parameters") if algorithm.searches_architectures else ("parameters", "nasConfig")
    if not at(subject.spec, wanted) and at(subject.spec, other):
        message = f"{subject.spec['algorithm']['algorithmName']} cannot search in {other}"
        yield Violation(f"spec.{other}", message, wanted, other, f"write {wanted}, or take another algorithm")


@rule("nas-graph", "error", "later")
def nas_graph(subject: Subject) -> Iterator[Violation]:
    """For enas, nasConfig.graphConfig has numLayers, inputSizes and outputSizes."""
    if _name(subject) != "enas" or not mapping_at(subject.spec, "nasConfig"):
        return
    for key in ("numLayers", "inputSizes", "outputSizes"):
        if not at(subject.spec, "nasConfig", "graphConfig", key):
            path = f"spec.nasConfig.graphConfig.{key}"
            found = shown(at(subject.spec, "nasConfig", "graphConfig", key))
            yield Violation(path, f"{key} is missing", "a number above 0, or a list of them", found, "write it")


@rule("nas-operation", "error", "later")
def nas_operation(subject: Subject) -> Iterator[Violation]:
    """For enas and darts, every operation has a type and parameters: a list, or a range (a double's with a step)."""
    algorithm = algorithm_of(subject)
    if algorithm is None or not algorithm.searches_architectures:
        return
    for number, operation in mappings_at(subject.spec, "nasConfig", "operations"):
        path = f"spec.nasConfig.operations[{number}]"
        if not text_at(operation, "operationType"):
            yield Violation(f"{path}.operationType", "no type", "a text", "nothing", "name it")
        if not list_at(operation, "parameters"):
            yield Violation(f"{path}.parameters", "no parameters", "one or more", "nothing", "write one")
        for index, parameter in mappings_at(operation, "parameters"):
            yield from _operation_parameter(f"{path}.parameters[{index}]", parameter)


def _operation_parameter(path: str, parameter: Mapping[str, Any]) -> Iterator[Violation]:
    kind, space = text_at(parameter, "parameterType"), mapping_at(parameter, "feasibleSpace")
    if not text_at(parameter, "name"):
        yield Violation(f"{path}.name", "no name", "a text", shown(parameter.get("name")), "name it")
    if kind in LIST_TYPES and not list_at(space, "list"):
        yield Violation(f"{path}.feasibleSpace.list", "nothing to choose from", "a list", "nothing", "write it")
    elif kind in NUMERIC_TYPES and not (space.get("min") or space.get("max")):
        yield Violation(f"{path}.feasibleSpace", "no range", "min and max", "neither", "write both")
    elif kind == "double" and not _above_zero(text_at(space, "step")):
        found = shown(text_at(space, "step"))
        yield Violation(f"{path}.feasibleSpace.step", "a double needs a step", "a number above 0", found, "write it")
    elif kind not in (*LIST_TYPES, *NUMERIC_TYPES):
        expected = ", ".join((*NUMERIC_TYPES, *LIST_TYPES))
        yield Violation(f"{path}.parameterType", "unknown type", expected, shown(kind), "take one")


def _above_zero(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


@rule("cmaes-dimensions", "error", "later")
def cmaes_dimensions(subject: Subject) -> Iterator[Violation]:
    """Cmaes has two numeric parameters or more."""
    if _name(subject) == "cmaes" and (count := len(_of_types(subject, NUMERIC_TYPES))) < 2:
        expected = "two int or double parameters or more"
        yield Violation("spec.parameters", "cmaes needs a space to turn in", expected, str(count), "take tpe or random")


@rule("numeric-only", "warning", "nobody")
def numeric_only(subject: Subject) -> Iterator[Violation]:
    """Cmaes and sobol have numeric parameters only: what they cannot order is drawn at random."""
    if _name(subject) in ("cmaes", "sobol") and (listed := _of_types(subject, LIST_TYPES)):
        message = f"{_name(subject)} draws {', '.join(map(shown, listed))} at random"
        yield Violation("spec.parameters", message, "int and double", "categorical or discrete", "take tpe")


@rule("hyperband-resource", "error", "later")
def hyperband_resource(subject: Subject) -> Iterator[Violation]:
    """Hyperband's resource_name is a parameter."""
    resource = settings_of(mapping_at(subject.spec, "algorithm")).get("resource_name")
    names = [text_at(parameter, "name") for _, parameter in mappings_at(subject.spec, "parameters")]
    if _name(subject) == "hyperband" and resource is not None and resource not in names:
        path = "spec.algorithm.algorithmSettings"
        yield Violation(path, "resource_name is no parameter", ", ".join(names), shown(resource), "name a parameter")


@rule("hyperband-parallel", "error", "later")
def hyperband_parallel(subject: Subject) -> Iterator[Violation]:
    """Hyperband runs its first bracket at once: parallelTrialCount is at least eta to the power of s_max."""
    needed, parallel = hyperband_width(subject.spec), whole_at(subject.spec, "parallelTrialCount")
    if _name(subject) == "hyperband" and needed is not None and parallel is not None and parallel < needed:
        path = "spec.parallelTrialCount"
        yield Violation(path, "the first bracket does not fit", f"at least {needed}", str(parallel), f"write {needed}")


@rule("pbt-step", "error", "later")
def pbt_step(subject: Subject) -> Iterator[Violation]:
    """Pbt has a step for every double: it chooses from a list of values."""
    if _name(subject) != "pbt":
        return
    for index, parameter in mappings_at(subject.spec, "parameters"):
        if text_at(parameter, "parameterType") == "double" and not text_at(parameter, "feasibleSpace", "step"):
            path = f"spec.parameters[{index}].feasibleSpace.step"
            yield Violation(path, "pbt needs a step", "a number above 0", "nothing", "write it")


@rule("pbt-claim", "info", "nobody")
def pbt_claim(subject: Subject) -> Iterator[Violation]:
    """Pbt shares checkpoints on a claim that many pods can write (Katib asks for 5 Gi)."""
    if _name(subject) == "pbt":
        path = "spec.algorithm"
        yield Violation(
            path, "pbt shares a volume", "a ReadWriteMany StorageClass", "not visible from here", "ask for one"
        )


@rule("early-stopping-name", "error", "admission")
def early_stopping_name(subject: Subject) -> Iterator[Violation]:
    """Early stopping names its algorithm."""
    part = at(subject.spec, "earlyStopping")
    if isinstance(part, dict) and not text_at(part, "algorithmName"):
        path = "spec.earlyStopping.algorithmName"
        yield Violation(path, "no algorithm", ", ".join(EARLY_STOPPING), shown(part.get("algorithmName")), "write it")


@rule("early-stopping-unknown", "error", "admission")
def early_stopping_unknown(subject: Subject) -> Iterator[Violation]:
    """The early stopping algorithm is medianstop; Katib has no other."""
    name = text_at(subject.spec, "earlyStopping", "algorithmName")
    if name and name not in EARLY_STOPPING:
        path = "spec.earlyStopping.algorithmName"
        yield Violation(path, "unknown algorithm", ", ".join(EARLY_STOPPING), shown(name), "write medianstop")


@rule("early-stopping-setting", "error", "later")
def early_stopping_setting(subject: Subject) -> Iterator[Violation]:
    """Medianstop knows min_trials_required and start_step, whole numbers of at least 1."""
    part = mapping_at(subject.spec, "earlyStopping")
    known = EARLY_STOPPING.get(text_at(part, "algorithmName"))
    if known is not None:
        yield from _unknown_settings("spec.earlyStopping", part, known)
        yield from _wrong_values("spec.earlyStopping", part, known)


@rule("early-stopping-collector", "warning", "nobody")
def early_stopping_collector(subject: Subject) -> Iterator[Violation]:
    """Early stopping goes with the collectors that read while the trial runs: StdOut and File."""
    kind = text_at(subject.spec, "metricsCollectorSpec", "collector", "kind")
    if mapping_at(subject.spec, "earlyStopping") and kind not in ("StdOut", "File", ""):
        path = "spec.earlyStopping"
        yield Violation(
            path, "nobody would stop a trial", "collector StdOut or File", shown(kind), "change the collector"
        )


@rule("early-stopping-retain", "warning", "nobody")
def early_stopping_retain(subject: Subject) -> Iterator[Violation]:
    """With early stopping, retain is true: Katib may delete a stopped trial before it has read its metrics."""
    template = mapping_at(subject.spec, "trialTemplate")
    if mapping_at(subject.spec, "earlyStopping") and template and template.get("retain") is not True:
        path, message = "spec.trialTemplate.retain", "a stopped trial may lose its metrics; the search waits for them"
        yield Violation(path, message, "true", "false", "write retain: true")


def metric_names(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(path, name) of the objective and the additional metrics, the objective first."""
    objective = text_at(spec, "objective", "objectiveMetricName")
    names = [("spec.objective.objectiveMetricName", objective)] if objective else []
    for index, name in enumerate(list_at(spec, "objective", "additionalMetricNames")):
        if isinstance(name, str):
            names.append((f"spec.objective.additionalMetricNames[{index}]", name))
    return names


def algorithm_of(subject: Subject) -> Algorithm | None:
    """Katib's algorithm of that name."""
    return ALGORITHMS.get(_name(subject))


def settings_of(part: Mapping[str, Any]) -> dict[str, str]:
    """The settings of an algorithm or of early stopping, name -> text; the last of a repeated name."""
    return {text_at(item, "name"): text_at(item, "value") for _, item in mappings_at(part, "algorithmSettings")}


def hyperband_width(spec: Mapping[str, Any]) -> int | None:
    """Trials of hyperband's first bracket, eta ** floor(log(r_l) / log(eta)); None where a setting is no number."""
    given = settings_of(mapping_at(spec, "algorithm"))
    try:
        r_l, eta = float(given["r_l"]), float(int(float(given.get("eta", "3"))))
        eta = 3.0 if eta <= 0 else eta
        if not (0 < r_l < math.inf and 2 <= eta < math.inf):
            return None
        return math.ceil(eta ** int(math.log(r_l) / math.log(eta)))
    except (KeyError, ValueError, OverflowError):
        return None


def nearest(name: str, known: Any) -> str:
    """The known name that is most like `name`, "" where none is."""
    return next(iter(difflib.get_close_matches(name, list(known), 1)), "")


def _name(subject: Subject) -> str:
    return text_at(subject.spec, "algorithm", "algorithmName")


def _of_types(subject: Subject, kinds: tuple[str, ...]) -> list[str]:
    found = mappings_at(subject.spec, "parameters")
    return [text_at(parameter, "name") for _, parameter in found if text_at(parameter, "parameterType") in kinds]


def _unknown_settings(path: str, part: Mapping[str, Any], known: Mapping[str, Setting]) -> Iterator[Violation]:
    for index, item in mappings_at(part, "algorithmSettings"):
        name = text_at(item, "name")
        if name not in known:
            near = nearest(name, known)
            fix = f"write {near}" if near else "remove it"
            expected = ", ".join(known) or "no settings"
            yield Violation(f"{path}.algorithmSettings[{index}].name", "unknown setting", expected, shown(name), fix)


def _wrong_values(path: str, part: Mapping[str, Any], known: Mapping[str, Setting]) -> Iterator[Violation]:
    for index, item in mappings_at(part, "algorithmSettings"):
        name, value = text_at(item, "name"), item.get("value")
        setting = known.get(name)
        if setting is not None and not (isinstance(value, str) and setting.accepts(value)):
            where = f"{path}.algorithmSettings[{index}].value"
            yield Violation(where, f"{name} has a wrong value", setting.expected, shown(value), "correct it (a text)")
