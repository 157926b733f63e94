"""Which versions a zoo can do without, and taking them away; the ledger keeps their records."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from traffic_yolo.errors import ModelError
from traffic_yolo.registry.bundle import SUMS_NAME
from traffic_yolo.registry.gates.opponents import last_winner
from traffic_yolo.registry.history import History
from traffic_yolo.registry.homes import homes
from traffic_yolo.registry.known_home import known_home
from traffic_yolo.registry.ledger import OBJECT_NAME, TIME_FORMAT, LedgerEntry, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import ModelHome
from traffic_yolo.registry.publication import Publication, read_publications
from traffic_yolo.storage import AnyPath, exists, join, list_files, stat

WRITING_HOURS = 24  # after which nobody who put a bundle into a zoo has still to write its record
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


def fates(zoo: AnyPath, name: str = "", *, keep: int = 1, keep_days: int, now: datetime) -> list[Fate]:
    """What a collection would do, by model and oldest first.

    A version stays that `current` names, that a roll-back would take, that is one of the `keep` newest of its model,
    that new ones are held against as the best ever in use, that a record, a decision or a use of the last `keep_days`
    days names, or that has no record and is younger than that, or than a day: a publication may be going on, or wait
    for its retry. Raises `ModelError` where a record that young cannot be read: what does it name?
    """
    since = now - timedelta(days=keep_days)
    records = _records_since(zoo, since)
    chosen = [known_home(zoo, name)] if name else homes(zoo)
    return [fate for home in chosen for fate in _fates(home, records, keep, since, now)]


def collect(zoo: AnyPath, name: str = "", *, keep: int = 1, keep_days: int, now: datetime) -> Iterator[Fate]:
    """Takes away what `fates` lets go, model by model, each under its lock; yields what became of every version.

    Where others name a version while it goes (object storage has no lock), it stays.
    """
    for home in [known_home(zoo, name)] if name else homes(zoo):
        with home.locked():
            home.remove_abandoned()
            known: dict[str, Publication] = {}
            before = _names_of(home, known)
            decided = fates(zoo, home.name, keep=keep, keep_days=keep_days, now=now) if home.versions() else ()
            for fate in decided:
                version = fate.version
                is_named = partial(_is_named_anew, home, version, before, known)
                if fate.stays or home.remove(version, is_named):
                    yield fate
                else:
                    yield dataclasses.replace(fate, stays="it was chosen or published again meanwhile")


def _names_of(home: ModelHome, known: dict[str, Publication]) -> dict[str, list[str]]:
    """What names versions of a model, as far as that changes when somebody chooses or publishes one."""
    return {
        "used": [use.version for use in History.read(home.location).uses],
        "decided": [publication.version for publication in read_publications(home.location, known=known)[0]],
    }


def _is_named_anew(
    home: ModelHome, version: str, before: Mapping[str, list[str]], known: dict[str, Publication]
) -> bool:
    """Whether `current` names a version, or something does that did not before."""
    after = _names_of(home, known)
    return home.current().version == version or any(
        after[what].count(version) > before[what].count(version) for what in before
    )


def _fates(
    home: ModelHome, records: dict[tuple[str, str], list[LedgerEntry]], keep: int, since: datetime, now: datetime
) -> Iterator[Fate]:
    in_use, history, known = home.current().version, History.read(home.location), home.versions()
    before = history.before(in_use) if in_use is not None else None
    publications = read_publications(home.location)[0]
    winner = last_winner(history.versions, publications)
    used = {use.version: use.at for use in history.uses if _is_since(use.at, since)}
    decided = {each.version: each.at for each in publications if _is_since(each.at, since)}
    unrecorded_since = min(since, now - timedelta(hours=WRITING_HOURS))
    for version in known:
        times = [entry.added_at for entry in records.get((home.name, version), [])]
        young = [time for time in times if _is_since(time, since)]
        reasons = {
            "it is in use": version == in_use,
            "it was in use before, and a roll-back would take it": version == before,
            "it is the newest": version == known[-1],
            f"it is one of the {keep} newest": version in known[-keep:],
            "it is the best that was ever in use, as far as versions were compared": version == winner,
            f"its record is of {max(young, default='')}": bool(young),
            f"it came into use at {used.get(version)}": version in used,
            f"it was decided on at {decided.get(version)}": version in decided,
            "it has no record and is that young itself": not times and _is_young(home, version, unrecorded_since),
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
