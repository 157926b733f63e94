"""What was measured beside what was published, as a table that says where the two may not be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from measured import WHOLE

from traffic_yolo.evaluation.provenance import NOT_SEEN, UNKNOWN
from traffic_yolo.published_weights import PublishedModel, PublishedNumbers

HEADERS = ("model", "network", "AP", "AP50", "published AP", "AP50", "on", "AP50 difference", "seen by the weights")


@dataclass(frozen=True)
class Line:
    """One model. `published`: None where nothing is known, or only of another network size; `note` says which."""

    model: str
    network_wh: tuple[int, int]
    ap: float | None
    ap50: float | None
    published: PublishedNumbers | None
    note: str
    seen: str

    @property
    def difference(self) -> float | None:
        """Measured AP50 less the published one; None where either is missing."""
        stated = self.published.ap50 if self.published else None
        return None if stated is None or self.ap50 is None else self.ap50 - stated

    @property
    def is_contaminated(self) -> bool:
        """Whether the weights have seen, or may have seen, pictures that they are judged on."""
        return self.seen.startswith("yes") or self.seen.startswith("may")


def line_of(name: str, record: Any, weights_sha256: str, models: Mapping[str, PublishedModel]) -> Line:
    """The line of an evaluation record. The model is known by the content of its weights, else by its name."""
    by_content = next(
        (each for each in models.values() if weights_sha256 and each.weights.sha256 == weights_sha256), None
    )
    known = by_content or models.get(name)
    height, width = record.protocol["network_hw"]
    published, note = known.published if known else None, "" if known else "not in the catalogue"
    if known and by_content is None:
        note = "by its name alone" if not known.weights.sha256 else "other weights than the published ones"
        published = published if not known.weights.sha256 else None
    if published and published.network_wh != (width, height):
        stated_width, stated_height = published.network_wh
        published, note = None, f"published at {stated_width} x {stated_height}"
    found = record.provenance
    seen = {NOT_SEEN: "no", UNKNOWN: "not known"}.get(found["verdict"], "")
    if not seen:
        seen = f"{'yes' if found['verdict'] == 'seen' else 'may be'}, {found['pictures']} of {found['of']}"
    return Line(name, (width, height), record.metrics["ap"], record.metrics["ap50"], published, note, seen)


def markdown(lines: Sequence[Line], *, pictures: int, failed: Mapping[str, str]) -> str:
    """The table, and below it all that limits it."""
    rows = [
        (
            f"{each.model} *" if each.is_contaminated else each.model,
            f"{each.network_wh[0]} x {each.network_wh[1]}",
            _shown(each.ap),
            _shown(each.ap50),
            _shown(each.published.ap if each.published else None),
            _shown(each.published.ap50 if each.published else None),
            each.published.pictures if each.published else each.note or "–",
            "–" if each.difference is None else f"{each.difference:+.3f}",
            each.seen,
        )
        for each in lines
    ]
    table = [f"| {' | '.join(row)} |" for row in (HEADERS, ["---"] * len(HEADERS), *rows)]
    return "\n".join([*table, "", *_notes(lines, pictures), *(f"- {name}: {why}" for name, why in failed.items())])


def _notes(lines: Sequence[Line], pictures: int) -> list[str]:
    notes = [f"- Measured on {pictures:,} pictures of val2017, NMS as `detector valid` (IoU {0.6:g}, the cfg's kind)."]
    if pictures < WHOLE:
        notes.append(
            f"- **A part of val2017**: {pictures:,} of {WHOLE:,} pictures. A difference from the published numbers says "
            f"nothing about the model or this program."
        )
    if any(each.is_contaminated for each in lines):
        notes.append(
            "- \\* The weights were trained on COCO and may have seen these pictures: Darknet's lists of 2014 hold a part of "
            "val2017. Their numbers flatter, and are no measure of another training."
        )
    if any(each.published and "test-dev" in each.published.pictures for each in lines):
        notes.append("- test-dev2017 has other pictures than val2017, whose labels are not public.")
    notes += [f"- {each.model}: {each.note}" for each in lines if each.published and each.note]
    return notes


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
