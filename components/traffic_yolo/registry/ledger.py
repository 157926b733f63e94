"""The ledger: one object for each evaluated version, on a share or in object storage; nothing is ever overwritten.

An object is named by the time it was added and the hash of its content, and put only where nothing is: two writers
never lose a record, and adding the same one twice is harmless.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from traffic_yolo.errors import AlreadyExistsError, EvaluationError, StorageError, TrafficYoloError
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.messages import shown
from traffic_yolo.registry.gates.gate import Gate, gate_of
from traffic_yolo.storage import AnyPath, exists, join, json_value, list_files, put_new, read

SCHEMA_VERSION = 2
LEDGER_FOLDER = "ledger"  # below a zoo
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
OBJECT_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{16}\.json")
FIELDS = {"schema_version", "name", "version", "added_at", "point", "parity", "evaluation", "record"}
GATES = "gates"  # a field of records of published versions alone, and of no record of an older program
RATIOS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class LedgerEntry:
    """One version of a model and what was measured of it.

    `added_at`: UTC, as `TIME_FORMAT`. `point`: `confidence_threshold`, `iou_threshold` in use, and `precision`,
    `recall`, `f1` there on the evaluated split (None where not stated). `parity`: `passed`, `agreement`, or empty where
    the model was not validated. `evaluation`: the folder of the evaluation where its writer had it, "" where it is not
    kept. `gates`: what it was asked when it was published (`Gate`), empty where it was not.
    """

    name: str
    version: str
    added_at: str
    point: dict[str, Any]
    parity: dict[str, Any]
    evaluation: str
    record: EvaluationRecord
    gates: tuple[Gate, ...] = ()

    @classmethod
    def of_bundle(
        cls, name: str, version: str, card: dict[str, Any], record: EvaluationRecord, gates: Sequence[Gate] = ()
    ) -> "LedgerEntry":
        """The entry of a bundle with this card, evaluated as `record` says and held to `gates`, added now."""
        point = card["operating_point"]
        at_point = point.get(record.split) or {}
        return cls(
            name=name,
            version=version,
            added_at=_now(),
            point={
                **{key: point[key] for key in ("confidence_threshold", "iou_threshold")},
                **{key: at_point.get(key) for key in RATIOS},
            },
            parity={key: card["parity"][key] for key in ("passed", "agreement", "explained_agreement")},
            evaluation="",
            record=record,
            gates=tuple(gates),
        )

    @classmethod
    def of_record(cls, name: str, version: str, record: EvaluationRecord, *, evaluation: str = "") -> "LedgerEntry":
        """The entry of an evaluation at its own thresholds, added now."""
        thresholds = {key: record.nms[key] for key in ("confidence_threshold", "iou_threshold")}
        point = {**thresholds, **{key: record.metrics.get(key) for key in RATIOS}}
        return cls(name, version, _now(), point, {}, evaluation, record)

    @property
    def protocol(self) -> dict[str, Any]:
        """What must be equal for two rows to be comparable."""
        return comparable_protocol(self.record)

    @property
    def protocol_hash(self) -> str:
        """8 hexadecimal digits: rows with the same may be compared."""
        return _digest(self.protocol)[:8]

    @property
    def weights_sha256(self) -> str:
        """Of the weights file."""
        return str(self.record.protocol["weights_sha256"])

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the hash of the content, the time left out."""
        return _digest({key: value for key, value in self._content().items() if key != "added_at"})[:16]

    @property
    def object_name(self) -> str:
        """The object's name in a ledger."""
        return f"{self.added_at}-{self.digest}.json"

    def to_bytes(self) -> bytes:
        """The object's content."""
        return _canonical(self._content(), indent=1) + b"\n"

    @classmethod
    def parse(cls, object_name: str, data: bytes) -> "LedgerEntry":
        """Reads what `to_bytes` gave; `EvaluationError`, saying what is wrong, for anything else or changed content."""
        if not OBJECT_NAME.fullmatch(object_name):
            raise EvaluationError("foreign: not named as a record is (time, then hash)")
        try:
            content = json_value(data)
        except ValueError as error:
            raise EvaluationError(f"corrupt: not valid JSON ({error})") from error
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            raise EvaluationError(f"foreign: not a ledger record of schema version {SCHEMA_VERSION}")
        if set(content) - {GATES} != FIELDS or not all(isinstance(content[key], dict) for key in ("point", "parity")):
            raise EvaluationError("foreign: its fields are not those of a ledger record")
        if reason := _odd_value(content):
            raise EvaluationError(f"foreign: {reason}")
        record = EvaluationRecord.from_dict(content["record"], where="foreign: its record")
        gates = _gates(content.get(GATES, []))
        fields = {key: content[key] for key in FIELDS - {"schema_version"}}
        entry = cls(**{**fields, "record": record, "gates": gates})
        if entry.object_name != object_name:
            raise EvaluationError("corrupt: its content does not have the time and hash that it is named by")
        return entry

    def _content(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in FIELDS - {"schema_version", "record"}}
        gates = {GATES: [gate.document() for gate in self.gates]} if self.gates else {}
        return {"schema_version": SCHEMA_VERSION, **own, **gates, "record": self.record.as_dict()}


def ledger_of_zoo(zoo: AnyPath) -> str:
    """The location of a zoo's ledger."""
    return join(zoo, LEDGER_FOLDER)


def add_entry(ledger: AnyPath, entry: LedgerEntry) -> tuple[str, bool]:
    """Puts an entry into the ledger at a location (path, file://, nas:// or s3://).

    Returns the object's name, and whether it is new: the same content is kept once, under its first time, unless two
    writers add it in the same moment; the table then shows it once.
    """
    there = (file.name for file in list_files(ledger).files)
    if (before := next((name for name in there if name.endswith(f"-{entry.digest}.json")), None)) is not None:
        return before, False
    try:
        put_new(join(ledger, entry.object_name), entry.to_bytes())
    except AlreadyExistsError:  # another writer, the same second, the same content
        return entry.object_name, False
    return entry.object_name, True


def read_ledger(ledger: AnyPath) -> tuple[list[LedgerEntry], list[str]]:
    """Every entry, and a line for each object that is none; `StorageError` where the ledger's location is missing.

    One damaged object must not hide the others. The same content twice is given once, with its first time.
    """
    if not exists(ledger):
        raise StorageError(f"ledger not found: {ledger}; check the location, or add a record first")
    entries: dict[str, LedgerEntry] = {}
    listing = list_files(ledger)
    problems = [f"{each.name}: {each.reason}" for each in listing.skipped]
    for file in listing.files:
        try:
            entry = LedgerEntry.parse(file.name, read(join(ledger, file.name)))
        except (TrafficYoloError, TypeError) as error:
            problems.append(f"{file.name}: {error}")
        else:
            entries.setdefault(entry.digest, entry)
    return list(entries.values()), problems


def comparable_protocol(record: EvaluationRecord) -> dict[str, Any]:
    """What decides whether the numbers of two records can stand in one column (the model itself aside)."""
    protocol = record.protocol
    return {
        "data_fingerprint": record.data["fingerprint"],
        "ground_truth_sha256": record.data["ground_truth_sha256"],
        "split": record.split,
        "classes": sorted(record.classes),
        "network_hw": list(protocol["network_hw"]),
        **{key: protocol[key] for key in ("resize", "confidence_floor", "runtime", "precision")},
        # The confidence threshold moves no AP, by which rows are ranked; the table says where it differs.
        "nms": {key: value for key, value in record.nms.items() if key != "confidence_threshold"},
        "matching": record.matching,
    }


def _odd_value(content: Mapping[str, Any]) -> str:
    """Which of a record's own values is of a kind that the table cannot show; "" where all are right."""
    for key in ("name", "version", "added_at", "evaluation"):
        if not isinstance(content[key], str):
            return f"its {key} must be a text; found {shown(content[key])}"
    for key in ("confidence_threshold", "iou_threshold", *RATIOS):
        value = content["point"].get(key)
        may_lack = value is None and key in RATIOS
        if not may_lack and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"point.{key} must be a number; found {shown(value)}"
    return ""


def _gates(content: Any) -> tuple[Gate, ...]:
    try:
        return tuple(gate_of(gate) for gate in content)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"foreign: gates: {error}") from error


def _now() -> str:
    return datetime.now(UTC).strftime(TIME_FORMAT)


def _canonical(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=indent).encode()


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()
