"""Who drew a box: the one rule by which all readers tell a human's truth from a model's guess.

A box with a score, or with a machine's mark, is a model's (or the device's, where the file says so), even where its
file calls it human. Only the user can say that a human has corrected it (`--label-source human`, `as_human`): a guess
that slips into the test split as truth makes every figure that is measured there worthless.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from traffic_yolo.dataset.formats.fields import CONFIDENCE, IGNORE, IS_CROWD, LABEL_SOURCE, is_flag, is_plain
from traffic_yolo.dataset.records import LABEL_SOURCES, Annotation
from traffic_yolo.errors import LabelError

SCORE = "score"  # attribute of a box whose detector wrote a number that is no probability (KITTI: often a logit)
SOURCE = "source"  # CVAT's attribute of a shape
MARKS = frozenset({CONFIDENCE, SCORE, SOURCE})  # attributes that may show a machine
MACHINE_WORDS = frozenset({"auto", "automatic", "semi-auto", "semi-automatic", "machine", "model", "prediction"})


class Drawn(NamedTuple):
    """What `drawn_by` decides; `confidence` in [0, 1], None where it is not known."""

    label_source: str
    confidence: float | None
    attributes: Mapping[str, Any]


def drawn_by(
    stated: str,
    attributes: Mapping[str, Any],
    *,
    confidence: float | None = None,
    score: float | None = None,
    machine: bool = False,
) -> Drawn:
    """Who drew a box with these marks.

    `stated` is the source that the file names, "" for none. `confidence` is a probability by its name, `score` any
    number of a detector; where neither is given, `attributes` of these names that are numbers stand for them (words
    such as "high" are somebody's own and mean nothing here). A score outside [0, 1] becomes the attribute `score`.
    `machine`: the format's own mark of a machine; the attribute `source` may hold one too. A decided box is decided the
    same again. Raises `LabelError` for another source, a confidence outside [0, 1], or a score that is not finite.
    """
    if stated not in ("", *LABEL_SOURCES):
        raise LabelError(f"label_source: expected one of {', '.join(LABEL_SOURCES)}, found {stated!r:.60}")
    if confidence is not None and not 0 <= confidence <= 1:
        raise LabelError(f"confidence: expected a number in [0, 1], found {confidence}")
    numbers = {key: found for key in (CONFIDENCE, SCORE) if (found := _number(attributes.get(key), key)) is not None}
    scored = confidence is not None or score is not None or bool(numbers)
    kept = dict(attributes) if scored else attributes
    if confidence is None and scored:
        assert isinstance(kept, dict)
        if score is None:
            key = next(iter(numbers))
            score = numbers[key]
            del kept[key]
        if not math.isfinite(score):
            raise LabelError(f"score must be a finite number; found {score}")
        if 0 <= score <= 1:
            confidence = score
        else:
            kept[SCORE] = score
    if scored or machine or _is_machine(attributes.get(SOURCE)):
        return Drawn(stated if stated not in ("", "human") else "model", confidence, kept)
    return Drawn(stated or "human", None, kept)


def record_fields(
    attributes: Mapping[str, Any], *, score: float | None = None, machine: bool = False
) -> dict[str, Any]:
    """Keyword arguments of `Annotation` from free attributes, in which our writers carry what a record says.

    Words that are not ours (an attribute `ignore` of "maybe") stay attributes. Raises what `drawn_by` raises.
    """
    kept, flags = dict(attributes), {}
    for name, keyword in ((IGNORE, "ignore"), (IS_CROWD, "is_crowd")):
        if name in kept and (value := is_flag(kept[name])) is not None:
            flags[keyword] = value
            del kept[name]
    stated = str(kept.pop(LABEL_SOURCE, ""))
    if kept.get(CONFIDENCE) == "":  # the declared default of a box that a human drew
        del kept[CONFIDENCE]
    return {**flags, **drawn_by(stated, kept, score=score, machine=machine)._asdict()}


def judged(annotation: Annotation) -> Annotation:
    """An annotation of a file of ours, under the rule like any other."""
    drawn = drawn_by(annotation.label_source, annotation.attributes, confidence=annotation.confidence)
    same = drawn == (annotation.label_source, annotation.confidence, annotation.attributes)
    return annotation if same else replace(annotation, **drawn._asdict())


def as_human(annotation: Annotation) -> Annotation:
    """The annotation once a human has corrected it: the machine's marks are gone with its doubts."""
    attributes = annotation.attributes
    marks = [key for key in (CONFIDENCE, SCORE) if _number(attributes.get(key), key) is not None]
    marks += [SOURCE] if _is_machine(attributes.get(SOURCE)) else []
    if annotation.label_source == "human" and annotation.confidence is None and not marks:
        return annotation
    kept = {key: value for key, value in attributes.items() if key not in marks} if marks else attributes
    return replace(annotation, label_source="human", confidence=None, attributes=kept)


def _number(value: Any, key: str) -> float | None:
    """The number that an attribute is; None for a word. `LabelError` for one that is not finite."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not is_plain(value):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(found):
        raise LabelError(f"{key} must be a finite number; found {value!r:.60}")
    return found


def _is_machine(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in MACHINE_WORDS
