"""Asks every gate about a new version, in the order in which people read them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from traffic_yolo.messages import shown_names
from traffic_yolo.registry.bundle import Bundle
from traffic_yolo.registry.gates import gate as gates
from traffic_yolo.registry.gates.gate import SKIPPED, UNDECIDED, Gate
from traffic_yolo.registry.gates.judge import Compared, Judge
from traffic_yolo.registry.gates.opponents import Opponents
from traffic_yolo.registry.gates.rules import ANY, FINDS_NOTHING, METRICS, GateRules
from traffic_yolo.storage import AnyPath
from traffic_yolo.verdict_file import TrainingVerdict

IN_USE, BEST = "in_use", "best"  # what names of gates begin with


@dataclass(frozen=True)
class Answers:
    """What the gates say of a version; `own` and `others` (version -> …): the numbers, on the same pictures."""

    gates: tuple[Gate, ...]
    own: Mapping[str, float]
    others: Mapping[str, Mapping[str, float]]


def ask(
    bundle: Bundle,
    verdict: TrainingVerdict | None,
    rules: GateRules,
    judge: Judge,
    opponents: Opponents,
    bundle_of: Callable[[str], AnyPath],
) -> Answers:
    """The answers of all gates. Takes as long as the inference of the opponents whose detections are not at hand."""
    found = bundle.card["parity"]
    first = [
        gates.parity(found["passed"], found["agreement"], found["problems"] or ()),
        gates.training(None if verdict is None else verdict.worse),
        *_minimums(bundle, rules),
    ]
    if rules.gate == ANY:
        nothing = f"the rule is {ANY}: nothing is compared"
        last = [Gate(name, SKIPPED, None, "", nothing) for name in ("recordings", f"{IN_USE}_{rules.metric}")]
        return Answers((*first, *last), {}, {})
    first.append(gates.recordings(judge.recordings, split=judge.split, accept_few=rules.accept_few))
    compared = judge.compare(opponents.in_use, opponents.others, bundle_of)
    return Answers(
        (*first, *_comparisons(compared, opponents, rules)),
        compared.candidate.values,
        {version: numbers.values for version, numbers in compared.numbers.items()},
    )


def _minimums(bundle: Bundle, rules: GateRules) -> Iterator[Gate]:
    """What the version's own evaluation and tuning state, against the least that was asked for."""
    at_point: Mapping[str, Any] = bundle.card["operating_point"].get(bundle.record.split) or {}
    metrics: Mapping[str, Any] = bundle.record.metrics
    for metric in dict.fromkeys((FINDS_NOTHING, *rules.minimum)):
        name = METRICS.get(metric, metric)
        # F1, precision and recall at the thresholds that the model is deployed with, AP of all detections
        measured = metrics.get(name) if metric in ("map", "map50") else at_point.get(name)
        yield gates.minimum(f"minimum_{metric}", measured, rules.minimum.get(metric))


def _comparisons(compared: Compared, opponents: Opponents, rules: GateRules) -> Iterator[Gate]:
    in_use = opponents.in_use
    ranked = {
        version: numbers.values[rules.metric]
        for version, numbers in compared.numbers.items()
        if rules.metric in numbers.values
    }
    best = max(ranked, key=lambda version: ranked[version], default=None)  # of equals the one in use, which is first
    headline = f"{IN_USE}_{rules.metric}"
    if in_use is None:
        yield Gate(headline, SKIPPED, None, "", "no version is in use: there is nothing to compare with")
    else:
        yield _headline(headline, in_use, f"{in_use} (in use)", compared, rules)
    yield _best(best, compared, opponents, rules)
    yield from _guards({IN_USE: in_use, BEST: best if best != in_use else None}, compared, rules)


def _headline(name: str, version: str, against: str, compared: Compared, rules: GateRules) -> Gate:
    if version in compared.unusable:
        sentence = f"{against} cannot be compared: {compared.unusable[version]}"
        return Gate(name, UNDECIDED, None, "", sentence)
    change = compared.change(version, rules.metric)
    if change is None:
        return Gate(name, UNDECIDED, None, "", f"{rules.metric} is not defined: the split has no true boxes")
    found = gates.comparison(name, change, gate=rules.gate, against=against)
    notes = [f"classes of one alone do not count: {', '.join(compared.left_out)}"] if compared.left_out else []
    notes += [compared.groups.note] if compared.groups.note else []
    sentence = ". ".join([found.sentence, *(note.rstrip(".") for note in notes)])
    return Gate(found.name, found.verdict, found.measured, found.limit, sentence)


def _best(best: str | None, compared: Compared, opponents: Opponents, rules: GateRules) -> Gate:
    """The comparison with the best version ever in use, where that is another one than the version in use."""
    name = f"{BEST}_{rules.metric}"
    notes = []
    if opponents.waiting:
        notes.append(f"{opponents.waiting} more that were in use were not measured yet")
    if opponents.gone:
        notes.append(f"not in the zoo any more: {shown_names(opponents.gone)}")
    left_out = {version: why for version, why in compared.unusable.items() if version != opponents.in_use}
    notes += [f"{version} was left out: {why}" for version, why in left_out.items()]
    if best is None or best == opponents.in_use:
        asked = opponents.in_use is not None or opponents.others
        none = "none could be measured" if asked else "nothing was ever in use"
        said = none if best is None else f"{best}, in use, is the best that ever was"
        return Gate(name, SKIPPED, None, "", ". ".join([said, *notes]))
    found = _headline(name, best, f"{best} (the best ever in use)", compared, rules)
    return Gate(name, found.verdict, found.measured, found.limit, ". ".join([found.sentence, *notes]))


def _guards(against: Mapping[str, str | None], compared: Compared, rules: GateRules) -> Iterator[Gate]:
    """AP50 of each class with enough true boxes, against both; all of them share one chance to fail by luck."""
    pairs = [
        (role, version, name)
        for role, version in against.items()
        if version is not None and version in compared.numbers
        for name in compared.guarded
    ]
    confidence = gates.guard_confidence(len(pairs))
    for role, version, name in pairs:
        change = compared.class_change(version, name, confidence=confidence)
        words = f"{version} ({'in use' if role == IN_USE else 'the best ever in use'})"
        yield gates.guard(f"{role}_ap50_{name}", change, gate=rules.gate, against=words)
    if compared.few and compared.numbers:
        few = ", ".join(f"{name} ({count})" for name, count in compared.few.items())
        yield Gate(
            f"{IN_USE}_ap50_others", SKIPPED, None, "", f"classes with fewer than {gates.LEAST_BOXES} true boxes: {few}"
        )
