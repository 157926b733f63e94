"""The card of a version as a page: numbers, what was decided and stated, limits, and every other value of the card."""

import contextlib
import datetime
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from traffic_yolo.html_report import (
    Cell,
    Html,
    badge,
    callout,
    details,
    page,
    paragraph,
    table,
    table_of_many_columns,
    tiles,
)
from traffic_yolo.model_folder import WEIGHTS_NAME
from traffic_yolo.page_origin import SHORT_HASH, About, Subject
from traffic_yolo.registry.card_parts import CardPart, CardTable, card_parts, text
from traffic_yolo.registry.card_view import card_view
from traffic_yolo.registry.gates.gate import FAILED, PASSED, SKIPPED, UNDECIDED
from traffic_yolo.registry.known_home import known_home
from traffic_yolo.registry.numbered_files import TIME_FORMAT
from traffic_yolo.registry.statement import NOT_STATED
from traffic_yolo.storage import AnyPath, output_path, write_text

VERDICT_KINDS = {PASSED: "good", FAILED: "error", UNDECIDED: "warning", SKIPPED: ""}  # of a gate -> of its badge
SHOWN_ABOVE = ("statement", "limits", "publication")  # parts that the page's head has
IN_SIGHT = ("data", "weights_have_seen", "lineage", "parity")  # parts that a reader need not unfold
MANY_COLUMNS = 12
_METRIC = re.compile(r"(ap|ar)[0-9]*|f1")
HEADLINE = ("ap", "ap50", "f1", "precision", "recall")


def write_card(file: AnyPath, zoo: AnyPath, name: str, version: str) -> None:
    """Writes the page of a version's card to `file`; raises `ModelError` for a damaged bundle, before it is written."""
    target = output_path(file)
    home = known_home(zoo, name)
    view = card_view(home, version)
    title = f"{name} {version}"
    subjects = (
        Subject("model", title),
        Subject("weights", str((view.get("sha256") or {}).get(WEIGHTS_NAME, ""))[:SHORT_HASH]),
        Subject("network", _network(view.get("network") or {})),
        Subject("classes", ", ".join(map(str, view.get("classes") or ()))),
    )
    about = About(tuple(subject for subject in subjects if subject.text), target.parent)
    write_text(target, card_html(title, view, about))


def card_html(title: str, view: Mapping[str, Any], about: About) -> str:
    """A `card_view` as one self-contained page; `title`: model and version."""
    evaluation = view.get("evaluation") or {}
    sections = [
        ("", _headline(view, evaluation)),
        ("What it does not say", _sentences(view.get("limits") or ())),
        ("What people state of it", _statement(view.get("statement") or {})),
        ("Gates", _gates(view.get("publication") or {})),
        *_parts(view),
    ]
    return page(f"Model card of {title}", [each for each in sections if each[1]], about=about)


def _network(network: Mapping[str, Any]) -> str:
    return f"{network['width']} x {network['height']}, {network['resize']}" if network else ""


def _headline(view: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Html:
    metrics, point = evaluation.get("metrics") or {}, view.get("operating_point") or {}
    at_point: Mapping[str, Any] = point.get(evaluation.get("split", "")) or {}
    numbers = [(_label(name), at_point.get(name, metrics.get(name))) for name in HEADLINE]
    thresholds = [(_label(name), point.get(name)) for name in ("confidence_threshold", "iou_threshold")]
    words = f"On the split {evaluation['split']}" if evaluation.get("split") else ""
    words += ", at the thresholds that are deployed." if words and at_point else "." if words else ""
    return Html(
        _decision(view.get("publication"))
        + (tiles([*numbers, *thresholds]) if metrics else "")
        + (paragraph(words) if words else "")
    )


def _decision(publication: Mapping[str, Any] | None) -> Html:
    """What was decided about the version; a bundle of an older program has no record of that."""
    if publication is None:
        return callout("Nothing is recorded of how it was decided whether to use this version.")
    words = [f"published by {publication['by']}"] if publication.get("by") else []
    words += [_date(str(publication["at"]))] if publication.get("at") else []
    words += [str(publication["reason"])] if publication.get("reason") else []
    origin = f" ({', '.join(words)})" if words else ""
    if publication.get("forced"):
        return callout(f"It was brought into use by force, in spite of its gates{origin}.", kind="warning")
    if publication.get("made_current"):
        return callout(f"Its gates let it into use{origin}.", kind="good")
    return callout(f"Its gates kept it out of use{origin}.", kind="warning")


def _date(at: str) -> str:
    """As people read it; as it stands where it is no date of ours."""
    with contextlib.suppress(ValueError):
        return f"{datetime.datetime.strptime(at, TIME_FORMAT):%Y-%m-%d %H:%M} UTC"
    return at


def _sentences(sentences: Sequence[str]) -> Html:
    return Html(
        "<ul>" + "".join(f"<li>{html.escape(text(one))}</li>" for one in sentences) + "</ul>" if sentences else ""
    )


def _statement(statement: Mapping[str, str]) -> Html:
    said = [(name.replace("_", " "), value) for name, value in statement.items() if value != NOT_STATED]
    unsaid = [name.replace("_", " ") for name, value in statement.items() if value == NOT_STATED]
    body = table(["what", "stated"], said) if said else Html("")
    return Html(body + (paragraph(f"Not stated: {', '.join(unsaid)}.", quiet=True) if unsaid else ""))


def _gates(publication: Mapping[str, Any]) -> Html:
    rows: list[list[Cell]] = [
        [gate["name"], badge(gate["verdict"], VERDICT_KINDS.get(gate["verdict"], "")), gate["measured"], gate["limit"],
         gate["sentence"]]
        for gate in publication.get("gates") or ()
    ]  # fmt: skip
    rule = ", ".join(
        f"{name.replace('_', ' ')}: {text(value)}" for name, value in (publication.get("rules") or {}).items()
    )
    body = table(["gate", "verdict", "measured", "limit", "what it says"], rows) if rows else Html("")
    return Html(body + (paragraph(f"Rules: {rule}.", quiet=True) if rule else ""))


def _parts(view: Mapping[str, Any]) -> Iterator[tuple[str, Html]]:
    """Every part with all of its values; those that people look up are folded, in a section of their own at the end."""
    folded = []
    for part in card_parts(view):
        if part.name in SHOWN_ABOVE:
            continue
        tables = "".join(_table(found, _caption(part, found)) for found in part.tables)
        if part.name in IN_SIGHT:
            yield part.heading, Html(_values(part) + tables)
            continue
        if tables:
            yield part.heading, Html(tables)
        folded.append(details(f"{part.heading or 'Card'}: {len(part.values)} values", _values(part)))
    published = next((part for part in card_parts(view) if part.name == "publication"), None)
    if published is not None:
        folded.insert(0, details(f"{published.heading}: {len(published.values)} values", _values(published)))
    yield "To look up", Html("".join(folded))


def _values(part: CardPart) -> Html:
    return table(["name", "value"], [(name, text(value)) for name, value in part.values]) if part.values else Html("")


def _caption(part: CardPart, found: CardTable) -> str:
    """What a reader must know of the numbers of a table, in the words of the part's own values."""
    values = dict(part.values)
    if part.name == "data":
        return "Pictures and boxes of the data set, and who labelled them."
    nms = "nms." if part.name == "evaluation" else ""
    points = [values.get(f"{nms}{name}") for name in ("confidence_threshold", "iou_threshold")]
    if found.name != "per_class" or None in points:
        return ""
    return f"Precision, recall and F1 at confidence {text(points[0])} and NMS IoU {text(points[1])}."


def _table(found: CardTable, caption: str) -> Html:
    """Cells that are values by name, such as counts by split, become a column for each name."""
    flat = [dict(_flattened(zip(found.columns, row, strict=True))) for row in found.rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    make = table_of_many_columns if len(columns) > MANY_COLUMNS else table
    rows = [[_cell(row.get(name)) for name in columns] for row in flat]
    return make([_label(name) for name in columns], rows, caption=caption)


def _flattened(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in values:
        if isinstance(value, Mapping):
            yield from ((f"{name}_{key}", each) for key, each in value.items())
        else:
            yield name, value


def _cell(value: Any) -> Cell:
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else text(value)


def _label(name: str) -> str:
    """`ap_small` as people write it: AP small."""
    words = (word.upper() if _METRIC.fullmatch(word) else word for word in name.split("_"))
    return " ".join(words).replace("iou ", "IoU ")
