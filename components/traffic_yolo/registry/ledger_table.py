"""The table of a ledger: comparable rows side by side, others in groups of their own that say what differs."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic_yolo.errors import EvaluationError, OptionsError, TrafficYoloError
from traffic_yolo.evaluation.compare import compare
from traffic_yolo.evaluation.provenance import MAY_HAVE_SEEN, NOT_SEEN, SEEN
from traffic_yolo.html_report import (
    Cell,
    Html,
    callout,
    format_cell,
    page,
    paragraph,
    table_of_many_columns,
)
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.registry.ledger import LedgerEntry, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import check_zoo, version_key
from traffic_yolo.registry.zoo_list import IN_USE, current_versions
from traffic_yolo.storage import AnyPath, exists

METRIC_COLUMNS = ("ap", "ap50", "ap75", "ar100")
POINT_COLUMNS = ("confidence_threshold", "iou_threshold", "precision", "recall", "f1")
COLUMNS = (
    "model",
    "version",
    "state",
    "added",
    "seen",
    *METRIC_COLUMNS,
    *POINT_COLUMNS,
    "agreement",
    "parity",
    "gates",
    "weights",
)
RANK = "ap"  # the column that a table is sorted by unless another is asked for
NUMBERS = (*METRIC_COLUMNS, *POINT_COLUMNS, "agreement")
NEWEST_FIRST = ("added", "state")
NOT_STATED = ("", "–")
# As `LedgerTable.sorted_by` does it
SORT_BY_CLICK = {
    name: "number descending"
    if name in NUMBERS
    else "version ascending"
    if name == "version"
    else f"text {'descending' if name in NEWEST_FIRST else 'ascending'}"
    for name in COLUMNS
}


@dataclass(frozen=True)
class LedgerTable:
    """The entries of a ledger; `problems`: a line for each object that is no record; `differences`: see `compared`.

    `in_use`: model -> the version that its zoo has in use; empty where no zoo was asked. `order`: the column that the
    rows of a group are sorted by. `place`: the location of the ledger.
    """

    entries: tuple[LedgerEntry, ...]
    problems: tuple[str, ...]
    differences: tuple[str, ...] = ()
    in_use: Mapping[str, str] = field(default_factory=dict)
    order: str = RANK
    place: str = ""

    @classmethod
    def read(cls, zoo: AnyPath, *, strict: bool = False) -> "LedgerTable":
        """All records of a zoo at a location; `StorageError` where the zoo itself is missing. `strict`: `of_ledger`."""
        check_zoo(zoo)
        ledger = ledger_of_zoo(zoo)
        found = cls.of_ledger(ledger, strict=strict) if exists(ledger) else cls((), ())  # nothing was published yet
        return dataclasses.replace(found, in_use=current_versions(zoo), place=str(ledger))

    @classmethod
    def of_ledger(cls, ledger: AnyPath, *, strict: bool = False) -> "LedgerTable":
        """All records at a location; with `strict`, `EvaluationError` for the first object that is none."""
        entries, problems = read_ledger(ledger)
        if strict and problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise EvaluationError(f"{ledger}: {problems[0]}{more}; remove it from the ledger, or read without --strict")
        return cls(tuple(sorted(_newest(entries), key=_rank)), tuple(problems), place=str(ledger))

    def sorted_by(self, column: str) -> "LedgerTable":
        """With the rows of each group in the order of a column; `OptionsError` for one that the table has not.

        Numbers come highest first, times newest first, what is in use first, and other texts by the alphabet; what a
        row does not state comes last. Ties stay in the order of AP.
        """
        if column not in COLUMNS:
            raise OptionsError(f"--sort {column!r}: expected one of {', '.join(COLUMNS)}")
        rows = [(self.row(entry)[column], entry) for entry in sorted(self.entries, key=_rank)]
        if column == "version":
            rows.sort(key=lambda row: version_key(str(row[0])))
        elif column in NUMBERS:
            rows.sort(key=lambda row: -row[0] if isinstance(row[0], int | float) else float("inf"))
        else:
            stated = [row for row in rows if row[0] not in NOT_STATED]
            stated.sort(key=lambda row: str(row[0]), reverse=column in NEWEST_FIRST)
            rows = [*stated, *(row for row in rows if row[0] in NOT_STATED)]
        return dataclasses.replace(self, entries=tuple(entry for _, entry in rows), order=column)

    def row(self, entry: LedgerEntry) -> dict[str, Cell]:
        """The columns of an entry."""
        return {
            "model": entry.name,
            "version": entry.version,
            "state": IN_USE if self.in_use.get(entry.name) == entry.version else "",
            "added": entry.added_at,
            "seen": _seen(entry),
            **{key: entry.record.metrics.get(key) for key in METRIC_COLUMNS},
            **{key: entry.point.get(key) for key in POINT_COLUMNS},
            "agreement": entry.parity.get("agreement"),
            "parity": ("passed" if entry.parity.get("passed") else "FAILED") if entry.parity else "–",
            "gates": _gates(entry),
            "weights": entry.weights_sha256[:12],
        }

    def groups(self) -> dict[str, list[LedgerEntry]]:
        """Protocol hash -> its entries, best AP first unless sorted otherwise; largest groups first."""
        groups: dict[str, list[LedgerEntry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.protocol_hash, []).append(entry)
        return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), min(item[1], key=_rank).name, item[0])))

    def compared(self, dataset: AnyPath) -> "LedgerTable":
        """With the paired difference of each row to the best of its group, where both evaluations are at hand."""
        lines = []
        for entries in self.groups().values():
            best = min((entry for entry in entries if _at_hand(entry)), key=_rank, default=None)
            for other in entries:
                if best is None or other is best or not _at_hand(other):
                    continue
                try:
                    text = compare(Path(best.evaluation), Path(other.evaluation), dataset).text.splitlines()[0]
                except TrafficYoloError as error:
                    text = f"not compared: {error}"
                lines.append(f"{other.name} {other.version} against {best.name} {best.version}: {text}")
        return dataclasses.replace(self, differences=tuple(lines))

    def markdown(self) -> str:
        """For each group a heading, what sets it apart, and a table; then differences and footnotes."""
        parts = []
        align = "|".join("---:" if name in NUMBERS else "---" for name in COLUMNS)
        for protocol_hash, entries in self.groups().items():
            lines = [f"| {' | '.join(COLUMNS)} |", f"|{align}|"]
            lines += [
                f"| {' | '.join(_markdown_cell(self.row(entry)[name]) for name in COLUMNS)} |" for entry in entries
            ]
            notes = "".join(f"{note}\n\n" for note in self._notes(protocol_hash, entries))
            parts.append(f"### {_title(protocol_hash, entries[0])}\n\n{notes}" + "\n".join(lines) + "\n")
        if not parts:
            parts.append("The ledger has no records yet.\n")
        parts += [f"- {line}" for line in self.differences]
        return "\n".join([*parts, *(f"**Left out**: {problem}\n" for problem in self.problems)])

    def html(self) -> str:
        """A self-contained page with the same content; a click on a header sorts by it."""
        sections: list[tuple[str, str]] = []
        for protocol_hash, entries in self.groups().items():
            notes = "".join(paragraph(note, quiet=True) for note in self._notes(protocol_hash, entries))
            rows = [[self.row(entry)[name] for name in COLUMNS] for entry in entries]
            sections.append(
                (
                    _title(protocol_hash, entries[0]),
                    Html(notes + table_of_many_columns(COLUMNS, rows, sort=SORT_BY_CLICK)),
                )
            )
        if not sections:
            sections.append(("", paragraph("The ledger has no records yet.")))
        if self.differences:
            sections.append(("Paired differences", "".join(map(paragraph, self.differences))))
        if self.problems:
            sections.append(("Left out", "".join(callout(problem, kind="warning") for problem in self.problems)))
        return page(
            "Models of the ledger", sections, about=About((Subject("ledger", self.place),) if self.place else ())
        )

    def csv(self) -> str:
        """One line for each entry, with the protocol's hash first; numbers in full. Footnotes are not part of it."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["protocol", *COLUMNS])
        for protocol_hash, entries in self.groups().items():
            for entry in entries:
                cells = self.row(entry)
                writer.writerow([protocol_hash, *("" if cells[name] is None else cells[name] for name in COLUMNS)])
        return out.getvalue()

    def values(self) -> dict[str, Any]:
        """The same content as values of JSON: groups with the hash of their protocol, rows, differences, footnotes."""
        groups = [
            {"protocol": protocol_hash, "rows": [self.row(entry) for entry in entries]}
            for protocol_hash, entries in self.groups().items()
        ]
        return {"groups": groups, "differences": list(self.differences), "left_out": list(self.problems)}

    def _sorted_as(self) -> str:
        return "Ranked by AP" if self.order == RANK else f"Sorted by {self.order}"

    def _notes(self, protocol_hash: str, entries: Sequence[LedgerEntry]) -> list[str]:
        notes = []
        reference = next(iter(self.groups().values()))[0]
        if protocol_hash != reference.protocol_hash:
            found = "; ".join(differing(reference.protocol, entries[0].protocol))
            notes.append(f"Not comparable with the first group, which has other settings: {found}.")
        thresholds = {entry.point["confidence_threshold"] for entry in entries}
        if len(thresholds) > 1:
            shown = ", ".join(f"{value:g}" for value in sorted(thresholds))
            notes.append(
                f"{self._sorted_as()}. Precision, recall and F1 stand at different confidence thresholds: {shown}."
            )
        for entry in entries:
            if entry.record.provenance["verdict"] in (SEEN, MAY_HAVE_SEEN):
                reasons = "; ".join(entry.record.provenance["reasons"])
                notes.append(f"{entry.name} {entry.version} {_seen(entry)} of the pictures: {reasons}.")
            if against := [gate.text for gate in entry.gates if gate.blocks]:
                notes.append(f"Gates were against {entry.name} {entry.version}: {'; '.join(against)}.")
        return notes


def differing(reference: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One "setting: other instead of reference" for each in which two protocols differ."""
    found = []
    for name in sorted({*reference, *other}):
        one, two = reference.get(name), other.get(name)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            found += differing(one, two, f"{prefix}{name}.")
        elif one != two:
            found.append(f"{prefix}{name} {_short(two)} instead of {_short(one)}")
    return found


def _seen(entry: LedgerEntry) -> str:
    found = entry.record.provenance
    if found["verdict"] in (SEEN, MAY_HAVE_SEEN):
        return f"{found['verdict'].upper()} {found['pictures']} of {found['of']}"
    return "no" if found["verdict"] == NOT_SEEN else "unknown"


def _gates(entry: LedgerEntry) -> str:
    """How many gates were against a version when it was published last; a dash where nobody asked them."""
    against = sum(gate.blocks for gate in entry.gates)
    return f"{against} AGAINST" if against else "passed" if entry.gates else "–"


def _newest(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Of records that say the same of a version and differ in its gates alone, the newest: gates are asked again."""
    last: dict[str, LedgerEntry] = {}
    for entry in sorted(entries, key=lambda entry: entry.added_at):
        last[dataclasses.replace(entry, gates=()).digest] = entry
    return list(last.values())


def _at_hand(entry: LedgerEntry) -> bool:
    return bool(entry.evaluation) and (Path(entry.evaluation) / "record.json").is_file()


def _rank(entry: LedgerEntry) -> tuple[float, str, tuple[float, str]]:
    ap = entry.record.metrics.get(RANK)
    return (-ap if isinstance(ap, int | float) else 1.0, entry.name, version_key(entry.version))


def _title(protocol_hash: str, entry: LedgerEntry) -> str:
    protocol = entry.protocol
    height, width = protocol["network_hw"]
    return (
        f"Split {protocol['split']} of data {protocol['data_fingerprint'][:12]}, network {width} x {height} "
        f"({protocol['resize']}), {protocol['runtime']} {protocol['precision']}, protocol {protocol_hash}"
    )


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _markdown_cell(value: Cell) -> str:
    return format_cell(value).replace("|", "\\|")
