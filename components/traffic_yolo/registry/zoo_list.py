"""What a zoo holds, and whether it is whole: its models, their versions, which of them is in use, what is damaged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.html_report import format_cell
from traffic_yolo.messages import shown
from traffic_yolo.registry.bundle import verify_bundle
from traffic_yolo.registry.history import History
from traffic_yolo.registry.homes import homes
from traffic_yolo.registry.known_home import known_home
from traffic_yolo.registry.ledger import OBJECT_NAME, LedgerEntry, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import CURRENT_NAME, ModelHome, check_zoo, chosen_version
from traffic_yolo.registry.publication import read_publications
from traffic_yolo.registry.statement import read_statements
from traffic_yolo.storage import AnyPath, exists

COLUMNS = ("model", "version", "state", "added", "ap", "ap50", "parity")
IN_USE, IN_USE_BEFORE = "current", "before"


@dataclass(frozen=True)
class ZooVersion:
    """One version: `state` is `current`, `before` (what a roll-back takes) or ""; `entry`: its first record."""

    model: str
    version: str
    state: str
    location: str
    entry: LedgerEntry | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `zoo list --json` writes them; null for what no record says."""
        metrics: Mapping[str, Any] = self.entry.record.metrics if self.entry else {}
        return {
            "model": self.model,
            "version": self.version,
            "state": self.state,
            "added": self.entry.added_at if self.entry else None,
            "ap": metrics.get("ap"),
            "ap50": metrics.get("ap50"),
            "parity": self.entry.parity.get("passed") if self.entry else None,
            "location": self.location,
        }


@dataclass(frozen=True)
class Verification:
    """Something that was looked at; `problem`: what is wrong with it, "" where nothing is."""

    what: str
    problem: str = ""

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.what}: DAMAGED: {self.problem}" if self.problem else f"{self.what}: whole"


def list_zoo(zoo: AnyPath, name: str = "") -> list[ZooVersion]:
    """The versions of a zoo, or of one of its models, by model and then oldest first. Checksums are not looked at."""
    chosen = [known_home(zoo, name)] if name else homes(zoo)
    records = first_records(zoo)
    found = []
    for home in chosen:
        in_use = home.current().version
        before = History.read(home.location).before(in_use) if in_use is not None else None
        states = {before: IN_USE_BEFORE, in_use: IN_USE}
        for version in home.versions():
            entry = records.get((home.name, version))
            found.append(ZooVersion(home.name, version, states.get(version, ""), str(home.bundle(version)), entry))
    return found


def list_text(versions: list[ZooVersion]) -> str:
    """A table for a terminal."""
    rows = [list(COLUMNS)]
    for each in versions:
        cells = {**each.as_dict(), "parity": {True: "passed", False: "FAILED", None: None}[each.as_dict()["parity"]]}
        rows.append([format_cell(cells[column]) for column in COLUMNS])
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def first_records(zoo: AnyPath) -> dict[tuple[str, str], LedgerEntry]:
    """(model, version) -> its first record in the zoo's ledger."""
    ledger = ledger_of_zoo(zoo)
    records: dict[tuple[str, str], LedgerEntry] = {}
    for entry in sorted(read_ledger(ledger)[0] if exists(ledger) else [], key=lambda entry: entry.added_at):
        records.setdefault((entry.name, entry.version), entry)
    return records


def current_versions(zoo: AnyPath) -> dict[str, str]:
    """Model -> the version in use, of those that have one."""
    named = {home.name: home.current().version for home in homes(zoo)}
    return {name: version for name, version in named.items() if version is not None}


def verify_version(zoo: AnyPath, name: str, version: str) -> Verification:
    """One version, by name or number, or the one in use for ""."""
    home = known_home(zoo, name)
    return _of_bundle(home, chosen_version(home, version))


def verify_zoo(zoo: AnyPath, name: str = "") -> Iterator[Verification]:
    """Every version of a zoo or a model, then what `current` names and the history; of a zoo, its ledger too."""
    check_zoo(zoo)
    for home in [known_home(zoo, name)] if name else homes(zoo):
        known = home.versions()
        for version in known:
            yield _of_bundle(home, version)
        in_use = home.current().version
        if in_use is not None and in_use not in known:
            yield Verification(f"{home.name} {CURRENT_NAME}", f"it names {shown(in_use)}, which is not there")
        beside = (read_publications(home.location)[1], read_statements(home.location)[1])
        for problem in (*History.read(home.location).problems, *beside[0], *beside[1]):
            yield Verification(f"{home.name} {problem.partition(': ')[0]}", problem.partition(": ")[2])
    ledger = ledger_of_zoo(zoo)
    if not name and exists(ledger):
        for problem in read_ledger(ledger)[1]:
            file, _, reason = problem.partition(": ")
            if OBJECT_NAME.fullmatch(file):  # what else people put there is no record that was damaged
                yield Verification(f"ledger {file}", reason)


def _of_bundle(home: ModelHome, version: str) -> Verification:
    try:
        verify_bundle(home.bundle(version))
    except TrafficYoloError as error:
        return Verification(f"{home.name} {version}", str(error))
    return Verification(f"{home.name} {version}")
