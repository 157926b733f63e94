"""The ledger: one JSON file for each evaluated version, and the table that compares them.

A file is named by the hash of its content, so two writers never overwrite each other and repeating is harmless.
"""

import csv
import hashlib
import io
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.html_report import Cell, format_cell, page, paragraph, table
from traffic_yolo.storage import existing_path, local_path, read_json, write_bytes

SCHEMA_VERSION = 1
LEDGER_FOLDER = "ledger"
METRIC_COLUMNS = ("ap", "ap50", "ap75", "ar100")
POINT_COLUMNS = ("confidence_threshold", "iou_threshold", "precision", "recall", "f1")
COLUMNS = ("model", "version", *METRIC_COLUMNS, *POINT_COLUMNS, "agreement", "parity", "weights")
NUMBERS = (*METRIC_COLUMNS, *POINT_COLUMNS, "agreement")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerEntry:
    """One version and what was measured of it.

    `metrics`: those of the evaluation record. `point`: `confidence_threshold`, `iou_threshold` in use, and `precision`,
    `recall`, `f1` there on the evaluated split (None where not stated). `parity`: `passed`, `agreement`. `protocol`:
    everything that must be equal for two rows to be comparable. `training`: options, where known.
    """

    name: str
    version: str
    weights_sha256: str
    metrics: dict[str, Any]
    point: dict[str, Any]
    parity: dict[str, Any]
    protocol: dict[str, Any]
    training: dict[str, Any] | None

    @classmethod
    def of_bundle(cls, name: str, version: str, card: dict[str, Any], record: EvaluationRecord) -> "LedgerEntry":
        """The entry of a bundle with this card, evaluated as `record` says."""
        point = card["operating_point"]
        at_point = point.get(record.split) or {}
        return cls(
            name=name,
            version=version,
            weights_sha256=record.protocol["weights_sha256"],
            metrics=record.metrics,
            point={
                **{key: point[key] for key in ("confidence_threshold", "iou_threshold")},
                **{key: at_point.get(key) for key in ("precision", "recall", "f1")},
            },
            parity={key: card["parity"][key] for key in ("passed", "agreement", "explained_agreement")},
            protocol=comparable_protocol(record),
            training=card["training"],
        )

    @property
    def protocol_hash(self) -> str:
        """8 hexadecimal digits: rows with the same may be compared."""
        return _digest(self.protocol)[:8]

    def write(self, zoo: Path) -> Path:
        """Writes the entry below the zoo's folder and returns its file."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        path = zoo / LEDGER_FOLDER / f"{_digest(content)}.json"
        write_bytes(path, _canonical(content, indent=1) + b"\n")
        return path

    @classmethod
    def read(cls, path: Path) -> "LedgerEntry":
        """Reads what `write` wrote; raises `StorageError` or `ValueError` for anything else, or changed content."""
        content = read_json(path, what="ledger record")
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"not a ledger record of schema version {SCHEMA_VERSION}")
        if _digest(content) != path.stem:
            raise ValueError("its content does not have the hash that it is named by; it was changed")
        return cls(**{key: value for key, value in content.items() if key != "schema_version"})

    def row(self) -> dict[str, Cell]:
        """The columns of the table."""
        return {
            "model": self.name,
            "version": self.version,
            **{key: self.metrics.get(key) for key in METRIC_COLUMNS},
            **{key: self.point.get(key) for key in POINT_COLUMNS},
            "agreement": self.parity.get("agreement"),
            "parity": "passed" if self.parity.get("passed") else "FAILED",
            "weights": self.weights_sha256[:12],
        }


def comparable_protocol(record: EvaluationRecord) -> dict[str, Any]:
    """What decides whether the numbers of two records can stand in one column (the model itself aside)."""
    protocol = record.protocol
    return {
        "data_fingerprint": record.data["fingerprint"],
        "ground_truth_sha256": record.data["ground_truth_sha256"],
        "split": record.split,
        "classes": list(record.classes),
        "network_hw": list(protocol["network_hw"]),
        **{key: protocol[key] for key in ("resize", "confidence_floor", "runtime", "precision")},
        # The confidence threshold of the record moves no AP, and the table shows precision at the chosen point.
        "nms": {key: value for key, value in record.nms.items() if key != "confidence_threshold"},
        "matching": record.matching,
    }


@dataclass(frozen=True)
class LedgerTable:
    """The entries of a zoo, and one warning for each record that cannot be read."""

    entries: tuple[LedgerEntry, ...]
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, zoo: str) -> "LedgerTable":
        """All records of a zoo (path, file:// or nas://); `StorageError` where the zoo itself is missing.

        A record that cannot be read becomes a warning: one damaged file must not hide the others.
        """
        existing_path(zoo, what="model zoo")
        entries, warnings = [], []
        for path in sorted((local_path(zoo) / LEDGER_FOLDER).glob("*.json")):
            try:
                entries.append(LedgerEntry.read(path))
            except (TrafficYoloError, ValueError, TypeError) as error:
                warnings.append(f"ledger record {path} was left out: {error}")
                _log.warning(warnings[-1])
        entries.sort(key=_rank)
        return cls(tuple(entries), tuple(warnings))

    def groups(self) -> dict[str, list[LedgerEntry]]:
        """Protocol hash -> its entries, best AP first; groups in the order of their best entry's model."""
        groups: dict[str, list[LedgerEntry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.protocol_hash, []).append(entry)
        return dict(sorted(groups.items(), key=lambda item: (item[1][0].name, item[0])))

    def markdown(self) -> str:
        """A heading and a table for each group, then the warnings."""
        parts = []
        for protocol_hash, entries in self.groups().items():
            align = "|".join("---:" if name in NUMBERS else "---" for name in COLUMNS)
            lines = [f"| {' | '.join(COLUMNS)} |", f"|{align}|"]
            lines += [f"| {' | '.join(_markdown_cell(entry.row()[name]) for name in COLUMNS)} |" for entry in entries]
            parts.append(f"### {_group_title(protocol_hash, entries[0])}\n\n" + "\n".join(lines) + "\n")
        if not parts:
            parts.append("The ledger has no records yet.\n")
        return "\n".join([*parts, *(f"**Warning**: {warning}\n" for warning in self.warnings)])

    def html(self) -> str:
        """A self-contained page with the same content."""
        sections = []
        for protocol_hash, entries in self.groups().items():
            rows = [[entry.row()[name] for name in COLUMNS] for entry in entries]
            sections.append((_group_title(protocol_hash, entries[0]), str(table(COLUMNS, rows))))
        if not sections:
            sections.append(("", str(paragraph("The ledger has no records yet."))))
        if self.warnings:
            sections.append(("Warnings", "".join(paragraph(warning) for warning in self.warnings)))
        return page("Models of the zoo", sections)

    def csv(self) -> str:
        """One line for each entry, with the protocol's hash first; numbers in full."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["protocol", *COLUMNS])
        for protocol_hash, entries in self.groups().items():
            for entry in entries:
                row = entry.row()
                writer.writerow([protocol_hash, *("" if row[name] is None else row[name] for name in COLUMNS)])
        return out.getvalue()


def _rank(entry: LedgerEntry) -> tuple[float, str, str]:
    ap = entry.metrics.get("ap")
    return (-ap if isinstance(ap, int | float) else 1.0, entry.name, entry.version)


def _group_title(protocol_hash: str, entry: LedgerEntry) -> str:
    protocol = entry.protocol
    height, width = protocol["network_hw"]
    return (
        f"Split {protocol['split']} of data {protocol['data_fingerprint'][:12]}, network {width} x {height} "
        f"({protocol['resize']}), {protocol['runtime']} {protocol['precision']}, protocol {protocol_hash}"
    )


def _markdown_cell(value: Cell) -> str:
    return format_cell(value).replace("|", "\\|")


def _canonical(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=indent).encode()


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()
