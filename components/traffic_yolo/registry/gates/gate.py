"""The outcome of one gate, and the rules that are nothing but numbers: minimums, recordings, comparisons.

A gate is one line: what was measured, what was wanted, and what is said of it. Nothing here reads a file.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from traffic_yolo.messages import shown
from traffic_yolo.metrics.bootstrap import CONFIDENCE, LEAST_GROUPS, Interval
from traffic_yolo.registry.gates.rules import LIMITS

Verdict = Literal["passed", "failed", "undecided", "skipped"]
PASSED: Verdict = "passed"
FAILED: Verdict = "failed"
UNDECIDED: Verdict = "undecided"
SKIPPED: Verdict = "skipped"
VERDICTS = (PASSED, FAILED, UNDECIDED, SKIPPED)

LEAST_BOXES = 50  # true boxes of a class, from which on its AP50 says more of the model than of the few boxes
_FIELDS = {"name", "verdict", "measured", "limit", "sentence"}
GUARD_ERROR = 1 - CONFIDENCE  # the chance that any of the guards of classes fails by luck alone


@dataclass(frozen=True)
class Gate:
    """One gate's outcome. `measured`: the number it is about; `limit`: what that was held against, in words.

    Numbers are shares or AP in [0, 1], changes in [-1, 1], or counts (int); None where there is none.
    """

    name: str
    verdict: Verdict
    measured: float | int | None
    limit: str
    sentence: str

    @property
    def blocks(self) -> bool:
        """Whether it speaks against using the version."""
        return self.verdict in (FAILED, UNDECIDED)

    @property
    def text(self) -> str:
        """One line."""
        found = "" if self.measured is None else f"{number(self.measured)} "
        wanted = f"(limit {self.limit}) " if self.limit else ""
        verdict = self.verdict.upper() if self.blocks else self.verdict
        return f"{self.name}: {verdict} {found}{wanted}{self.sentence}".rstrip()

    def document(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Change:
    """A candidate's number less another version's on the same pictures, with its interval.

    `groups`: how many groups (`of`: "site", "recording" or "picture") were resampled, both alike; `pictures` in all.
    """

    other: float
    candidate: float
    difference: Interval
    groups: int
    of: str
    pictures: int
    confidence: float = CONFIDENCE

    @property
    def text(self) -> str:
        """As "0.671 instead of 0.655: +0.016, 95 % interval -0.004 to +0.036 over 12 recordings"."""
        value, low, high = (signed(each) for each in dataclasses.astuple(self.difference))
        share = f"{100 * self.confidence:.4g} %"
        moved = f"{value}, {share} interval {low} to {high} over {counted(self.groups, self.of)}"
        return f"{number(self.candidate)} instead of {number(self.other)}: {moved}"


def comparison(name: str, change: Change, *, gate: str, against: str) -> Gate:
    """The headline: the whole interval lies above the limit of `gate` (passed), at or below it (failed), or neither."""
    limit = LIMITS[gate]
    low, high = change.difference.low, change.difference.high
    verdict = PASSED if low > limit else FAILED if high <= limit else UNDECIDED
    sentence = f"{change.text}, against {against}"
    if verdict == UNDECIDED:
        sentence += f". {what_would_decide(change, limit)}"
    return Gate(name, verdict, change.difference.value, f"above {limit:g}", sentence)


def guard(name: str, change: Change, *, gate: str, against: str) -> Gate:
    """Of one class: failed where the whole interval lies below the limit of `gate`, so that a loss is shown.

    Only the headline must be shown to hold. Were that asked of every class too, a good version would hardly ever pass:
    classes have wide intervals, and there are many of them.
    """
    limit = LIMITS[gate]
    verdict = FAILED if change.difference.high < limit else PASSED
    found = "a loss is shown" if verdict == FAILED else "no loss is shown"
    wanted = f"not all below {limit:g}"
    return Gate(name, verdict, change.difference.value, wanted, f"{found}: {change.text}, against {against}")


def guard_confidence(guards: int) -> float:
    """The confidence of each of so many guards' intervals: that any of them fails by luck stays at `GUARD_ERROR`.

    Bonferroni's: each gets its part of the chance. An interval has two ends and only the upper one fails a guard, so
    the chance is half of that again.
    """
    return 1 - GUARD_ERROR / max(guards, 1)


def needed_groups(change: Change, limit: float) -> int | None:
    """How many groups would decide, if the change stays what it is; None where no number would.

    An interval's width falls with one over the root of the number of groups n. What lies between the change d and the
    end that has to cross the limit L is w, and may be |d - L|; so it takes n · (w / |d - L|)² groups. Of d above L that
    is the lower end, else the upper one.
    """
    found = change.difference
    room = found.value - limit
    if room == 0:
        return None
    width = found.value - found.low if room > 0 else found.high - found.value
    return max(math.ceil(change.groups * (width / room) ** 2), change.groups + 1)


def what_would_decide(change: Change, limit: float) -> str:
    """A sentence on the labelled pictures that would decide."""
    needed = needed_groups(change, limit)
    if needed is None:
        return (
            "The interval is too wide to say, and no number of pictures would decide if the change stays at the limit"
        )
    groups = counted(needed, change.of)
    pictures = math.ceil(needed * change.pictures / max(change.groups, 1))
    of_them = "" if change.of == "picture" else f", about {pictures:,} pictures"
    way = "for it" if change.difference.value > limit else "against it"
    return (
        f"The interval is too wide to say: about {groups}{of_them}, labelled, would decide {way}, if the change stays"
    )


def minimum(name: str, measured: float | None, least: float | None) -> Gate:
    """At least `least`, or above 0 with None."""
    limit = "above 0" if least is None else f"at least {least:g}"
    if measured is None:
        return Gate(
            name, UNDECIDED, None, limit, "it is not stated, because the split has no true boxes or was not judged"
        )
    passed = measured > 0 if least is None else measured >= least
    sentence = "" if passed else "it finds nothing" if least is None else "too low"
    return Gate(name, PASSED if passed else FAILED, measured, limit, sentence)


def recordings(found: int, *, split: str, accept_few: bool, least: int = LEAST_GROUPS) -> Gate:
    """Whether the split holds enough recordings for its numbers to say something of others; or few were accepted."""
    limit = f"at least {least}"
    if found >= least:
        return Gate("recordings", PASSED, found, limit, f"in split {split}")
    what = f"split {split} has {counted(found, 'recording')}" if found else f"the labels of split {split} name none"
    if accept_few:
        return Gate("recordings", PASSED, found, limit, f"{what}; accepted (accept_few)")
    sentence = f"{what}: its numbers say little of others. Label more, or accept it (accept_few)"
    return Gate("recordings", FAILED, found, limit, sentence)


def parity(passed: bool, agreement: float | None, problems: Sequence[str]) -> Gate:
    """What validation says of the deployed model."""
    sentence = "of the boxes agree under nvinfer's rules" if passed else "; ".join(problems) or "it failed"
    return Gate("parity", PASSED if passed else FAILED, agreement, "", sentence)


def training(worse: Sequence[str] | None) -> Gate:
    """What the training says of its result against its start; None where no training of ours made it."""
    if worse is None:
        return Gate("training", SKIPPED, None, "", "no training of ours says whether it made the weights better")
    sentence = "; ".join(worse) or "it found its result no worse than its start"
    return Gate("training", FAILED if worse else PASSED, len(worse), "", sentence)


def gate_of(content: Any) -> Gate:
    """The gate of `Gate.document`'s values. Raises `ValueError` saying what is wrong."""
    is_one = isinstance(content, Mapping) and set(content) == _FIELDS and content["verdict"] in VERDICTS
    if not is_one or not all(isinstance(content[key], str) for key in _FIELDS - {"measured"}):
        raise ValueError(f"expected a gate, found {shown(content)}")
    measured = content["measured"]
    if isinstance(measured, bool) or not isinstance(measured, int | float | None):
        raise ValueError(f"expected a number or nothing for what a gate measured, found {shown(measured)}")
    return Gate(content["name"], content["verdict"], measured, content["limit"], content["sentence"])


def number(value: float | int) -> str:
    """A share with three digits; a count (int) as it is."""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def signed(value: float) -> str:
    """A change with three digits and its sign."""
    return f"{value:+.3f}"


def counted(count: int, of: str) -> str:
    """As "1 recording", "1,200 recordings"."""
    return f"{count:,} {of}{'' if count == 1 else 's'}"
