"""Which versions a zoo can do without, and taking them away; the ledger keeps their records."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from traffic_yolo.errors import ModelError
from traffic_yolo.registry.bundle import SUMS_NAME
from traffic_yolo.registry.gates.opponents import last_winner
from traffic_yolo.registry.history import History
from traffic_yolo.registry.ledger import OBJECT_NAME, TIME_FORMAT, LedgerEntry, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import ModelHome, homes, known_home
from traffic_yolo.registry.publication import read_publications
from traffic_yolo.storage import AnyPath, exists, join, list_files, stat

TIME_LENGTH = len("20260101T000000Z")


@dataclass(frozen=True)
class Fate:
    """What becomes of a version: `stays` says why it is kept, "" for one that goes; `size`: bytes of all its files."""

    model: str
    version: str
    stays: str
    size: int

    @property
    def text(self) -> str:
        """One line."""
        what = f"{self.model} {self.version} ({self.size / 1e6:.1f} MB)"
        return f"{what} stays: {self.stays}" if self.stays else f"{what} goes"


def fates(zoo: AnyPath, name: str = "", *, keep_days: int, now: datetime) -> list[Fate]:
    """What a collection would do, by model and oldest first.

    A version stays that `current` names, that a roll-back would take, that is the newest of its model, that new ones
    are held against as the best ever in use, that a record or a use of the last `keep_days` days names, or that is
    younger than that and has no record (a publication may be going on, or wait for its retry). Raises `ModelError`
    where a record that young cannot be read: what does it name?
    """
    since = now - timedelta(days=keep_days)
    records = _records_since(zoo, since)
    chosen = [known_home(zoo, name)] if name else homes(zoo)
    return [fate for home in chosen for fate in _fates(home, records, since)]


def collect(zoo: AnyPath, name: str = "", *, keep_days: int, now: datetime) -> Iterator[Fate]:
    """Takes away what `fates` lets go, model by model, each under its lock; yields what became of every version."""
    for home in [known_home(zoo, name)] if name else homes(zoo):
        with home.locked():
            home.remove_abandoned()
            for fate in fates(zoo, home.name, keep_days=keep_days, now=now) if home.versions() else ():
                if not fate.stays and fate.version != home.current().version:  # object storage has no lock
                    home.remove(fate.version)
                yield fate


def _fates(home: ModelHome, records: dict[tuple[str, str], list[LedgerEntry]], since: datetime) -> Iterator[Fate]:
    in_use, history, known = home.current().version, History.read(home.location), home.versions()
    before = history.before(in_use) if in_use is not None else None
    winner = last_winner(history.versions, read_publications(home.location)[0])
    used = {use.version: use.at for use in history.uses if _is_since(use.at, since)}
    for version in known:
        times = [entry.added_at for entry in records.get((home.name, version), [])]
        young = [time for time in times if _is_since(time, since)]
        reasons = {
            "it is in use": version == in_use,
            "it was in use before, and a roll-back would take it": version == before,
            "it is the newest": version == known[-1],
            "it is the best that was ever in use, as far as versions were compared": version == winner,
            f"its record is of {max(young, default='')}": bool(young),
            f"it came into use at {used.get(version)}": version in used,
            "it has no record and is that young itself": not times and _is_young(home, version, since),
        }
        reason = next((text for text, applies in reasons.items() if applies), "")
        yield Fate(home.name, version, reason, _size(home, version))


def _records_since(zoo: AnyPath, since: datetime) -> dict[tuple[str, str], list[LedgerEntry]]:
    """(model, version) -> all its records."""
    ledger = ledger_of_zoo(zoo)
    entries, problems = read_ledger(ledger) if exists(ledger) else ([], [])
    for problem in problems:
        file = problem.partition(": ")[0]
        if OBJECT_NAME.fullmatch(file) and _is_since(file[:TIME_LENGTH], since):
            raise ModelError(
                f"{ledger}: {problem}; nobody can say which version it names, so nothing goes; repair or remove it"
            )
    found: dict[tuple[str, str], list[LedgerEntry]] = {}
    for entry in entries:
        found.setdefault((entry.name, entry.version), []).append(entry)
    return found


def _is_since(time: str, since: datetime) -> bool:
    """Whether a time as the ledger writes it is not before another; what is no such time counts as young."""
    try:
        return datetime.strptime(time, TIME_FORMAT).replace(tzinfo=UTC) >= since
    except ValueError:
        return True


def _is_young(home: ModelHome, version: str, since: datetime) -> bool:
    sums = stat(join(str(home.bundle(version)), SUMS_NAME))
    return sums is None or datetime.fromtimestamp(sums.modified_ns / 1e9, UTC) >= since


def _size(home: ModelHome, version: str) -> int:
    return sum(file.size for file in list_files(str(home.bundle(version))).files)
