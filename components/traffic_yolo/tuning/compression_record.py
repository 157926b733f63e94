"""What a trial of the compression leaves in the store: what was done, what came of it, and what it was judged by."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from traffic_yolo.compression.options import CHANNELS
from traffic_yolo.errors import OptionsError
from traffic_yolo.storage import AnyPath, existing_path, output_path, read_json, write_json
from traffic_yolo.tuning.metrics import COMPRESSION_METRICS
from traffic_yolo.tuning.shared_store import key_of
from traffic_yolo.typed_values import wrong_field

SCHEMA_VERSION = 1
RECORDS_NAME = "trials"
WHOLE = "whole"


@dataclass(frozen=True)
class JudgedBy:
    """What trials must have in common to be compared: hashes of the model's files and of the data set, and where the
    milliseconds come from: the hash of the table of layers, "" where each network was measured, and the machine.
    """

    model: str
    data: str
    latency_table: str
    machine: str

    @property
    def name(self) -> str:
        """A short name of it."""
        return key_of(asdict(self))[:8]

    @property
    def text(self) -> str:
        """In words."""
        how = (
            f"table {self.latency_table[:8]} of {self.machine}" if self.latency_table else f"measured on {self.machine}"
        )
        return f"{self.name}: model {self.model[:8]}, data {self.data[:8]}, {how}"


@dataclass(frozen=True)
class CompressionRecord:
    """One trial. `pruning`, `training`: options that are not at their defaults; `metrics`: of `COMPRESSION_METRICS`.

    `whole`: latency_ms, bflops and weights of the network before; `run`: the training's folder, below the store;
    `units` of `free_units` channels (or blocks) went.
    """

    judged_by: JudgedBy
    pruning: Mapping[str, Any]
    training: Mapping[str, Any]
    metrics: Mapping[str, float]
    whole: Mapping[str, float]
    run: str
    units: int
    free_units: int

    @property
    def kind(self) -> str:
        """What was pruned: channels, regular or blocks; whole where nothing went."""
        return str(self.pruning.get("prune_kind", CHANNELS)) if self.units else WHOLE

    @property
    def pruned_text(self) -> str:
        """How it was pruned, in words."""
        others = [
            f"{name} {value}" for name, value in self.pruning.items() if name not in ("prune_kind", "prune_ratio")
        ]
        ratio = [str(self.pruning["prune_ratio"])] if "prune_ratio" in self.pruning else []
        return ", ".join([" ".join([self.kind, *ratio]), *others]) if self.units else WHOLE

    @property
    def what(self) -> str:
        """What was done, in words."""
        return f"{self.pruned_text}; {self.trained_text}"

    @property
    def trained_text(self) -> str:
        """Which layers were trained on, for how long."""
        updates = self.training.get("max_batches")
        layers = self.training.get("fine_tune_layers") or "layers by the recipe"
        return f"{layers}, {updates} updates" if updates else str(layers)

    def write(self, store: AnyPath) -> None:
        """Keeps it in the store; a trial that does the same again writes the same file."""
        same = {"judged_by": self.judged_by.name, "run": self.run}
        path = output_path(store) / RECORDS_NAME / f"{self.judged_by.name}-{key_of(same)}.json"
        write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(self)})


def read_records(store: AnyPath) -> Iterator[CompressionRecord]:
    """Every trial of a store; `OptionsError` for a file there that is none, `StorageError` where there is no store."""
    for path in sorted((existing_path(store, what="store of trials") / RECORDS_NAME).glob("*.json")):
        content: Any = read_json(path, what="record of a trial")
        reason = _why_none(content)
        if reason:
            raise OptionsError(f"{path}: not the record of a trial: {reason}; remove it")
        fields = {name: value for name, value in content.items() if name != "schema_version"}
        yield CompressionRecord(**{**fields, "judged_by": JudgedBy(**fields["judged_by"])})


def _why_none(content: Any) -> str:
    """Why a document is no record, in words; "" where it is one."""
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        return f"expected schema_version {SCHEMA_VERSION}"
    fields = {name: value for name, value in content.items() if name != "schema_version"}
    if reason := wrong_field(CompressionRecord, fields):
        return reason
    expected = {
        "": (fields, {field.name for field in dataclasses.fields(CompressionRecord)}),
        "judged_by": (fields.get("judged_by", {}), {field.name for field in dataclasses.fields(JudgedBy)}),
        "metrics": (fields.get("metrics", {}), COMPRESSION_METRICS.keys()),
        "whole": (fields.get("whole", {}), {"latency_ms", "bflops", "weights"}),
    }
    for where, (found, names) in expected.items():
        if missing := sorted(names - found.keys()):
            return f"{where}: expected {', '.join(missing)}" if where else f"expected {', '.join(missing)}"
    return ""
