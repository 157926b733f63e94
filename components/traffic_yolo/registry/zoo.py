"""The model zoo: a folder, usually on the NAS, that keeps every published version of every model.

`<zoo>/<name>/<number>-<hash>/` is a bundle, `<zoo>/<name>/current` a text file with the version that is in use (no
link: not every share has them), `<zoo>/<name>/history/` what was in use before, `<zoo>/ledger/` the records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from traffic_yolo.errors import ChangedMeanwhileError, ModelError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.registry.bundle import Bundle, gather_bundle, verify_bundle
from traffic_yolo.registry.history import History, How, note_use
from traffic_yolo.registry.ledger import LedgerEntry, add_entry, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import InUse, ModelHome, chosen_version, known_home, open_home
from traffic_yolo.registry.publish_checks import Candidate, reasons_against
from traffic_yolo.storage import AnyPath, exists, output_path
from traffic_yolo.verdict_file import TrainingVerdict, read_verdict

Result = TypeVar("Result")
MOST_ATTEMPTS = 20  # at moving `current` while others move it


@dataclass(frozen=True)
class Published:
    """`bundle`: the version's folder; `is_new`: False where the same content lay there already; `is_current`.

    `problems`: why it was not made current. `learnt`: False where there was nothing new to publish. `resumed`: an
    earlier attempt was cut off after it had written the bundle, and this one did the rest.
    """

    bundle: Path | str
    name: str
    is_new: bool
    is_current: bool
    problems: tuple[str, ...]
    learnt: bool = True
    resumed: bool = False

    @property
    def version(self) -> str:
        """The version's name."""
        return Path(self.bundle).name

    @property
    def text(self) -> str:
        """A line or two for people."""
        if not self.learnt:
            stays = f"{self.name} {self.version} stays in use: {self.bundle}"
            return f"nothing was learnt, so there is nothing new to publish; {stays}"
        state = "published" if self.is_new else "was published already"
        if self.resumed:
            state = "published, where an earlier attempt was cut off"
        other = f"not in use (`traffic-yolo zoo set-current {self.name} {self.version}` would use it)"
        current = "in use (current)" if self.is_current else "not in use" if self.problems else other
        line = f"{self.name} {self.version} {state}: {self.bundle}; {current}"
        return f"{line}\nNOT MADE CURRENT: {'; '.join(self.problems)}" if self.problems else line


@dataclass(frozen=True)
class _Now:
    """What one attempt starts from; the last use of the history is that of the version in use."""

    in_use: InUse
    history: History


def publish(
    *, model: AnyPath, evaluation: AnyPath, tuning: AnyPath, validation: AnyPath, zoo: AnyPath, name: str
) -> Published:
    """Puts the bundle of one run into the zoo, makes it current where nothing speaks against it, and writes its record.

    What speaks against it: `publish_checks`. Weights that are those which the training started from are no new version
    where the zoo has one in use already. The same content is never published twice: it gives the version that is there,
    and `current` stays as it is. An attempt that was cut off (a kill, a full disk) is finished by the next one with the
    same content. Two publishers at once wait for each other.

    Raises `ModelError` for folders that do not belong together, `OptionsError` for a name that cannot be a folder's,
    `StorageError` for a full disk.
    """
    home = open_home(zoo, name)
    home.current()  # what cannot be read is said before gigabytes are hashed
    bundle = gather_bundle(model, evaluation, tuning, validation)
    verdict = read_verdict(model)
    with home.locked():
        home.remove_abandoned()
        return _retried(home, lambda now: _publish(zoo, home, bundle, verdict, now))


def _publish(zoo: AnyPath, home: ModelHome, bundle: Bundle, verdict: TrainingVerdict | None, now: _Now) -> Published:
    """One attempt, in an order in which a kill leaves what the next attempt can finish: bundle, `current`, record.

    A record never names a version that is not there; and what neither `current`, nor the history, nor a record has ever
    named was never decided on.
    """
    in_use = now.in_use
    there = next((each for each in home.versions() if each.endswith(f"-{bundle.version_hash}")), None)
    decided = there is not None and _was_decided(zoo, home, there, now)
    if verdict is not None and not verdict.learnt and in_use.version is not None:
        if there is not None and decided:
            _record(zoo, home, there, bundle)
        return Published(home.bundle(in_use.version), home.name, False, True, (), learnt=False)
    if there is not None:
        verify_bundle(home.bundle(there))
    version = there or home.place(bundle)
    problems = reasons_against(Candidate(bundle, verdict, zoo, home.name, in_use.version))
    if not decided and not problems:
        _use(home, version, now, "publish")
    _record(zoo, home, version, bundle)
    return Published(
        home.bundle(version),
        home.name,
        is_new=there is None,
        is_current=home.current().version == version,
        problems=problems,
        resumed=there is not None and not decided,
    )


def versions(zoo: AnyPath, name: str) -> list[Path]:
    """The bundles of a model in a zoo that is a folder, oldest first; empty for a model that the zoo does not have."""
    return [output_path(zoo) / name / version for version in open_home(zoo, name).versions()]


def current_version(zoo: AnyPath, name: str) -> str | None:
    """The version that `current` names; None where no version is in use."""
    return open_home(zoo, name).current().version


def current_bundle(zoo: AnyPath, name: str) -> Path | str:
    """Where the version in use lies, verified; `ModelError` where there is none or it is damaged."""
    home = open_home(zoo, name)
    bundle = home.bundle(chosen_version(home, ""))
    verify_bundle(bundle)
    return bundle


def set_current(zoo: AnyPath, name: str, version: str) -> Path | str:
    """Makes a published version the one in use and returns where its bundle lies.

    `version`: its name or number. Raises `ModelError` for a version that is not there, naming those that are, or a
    damaged one.
    """
    home = known_home(zoo, name)
    chosen = chosen_version(home, version)
    verify_bundle(home.bundle(chosen))
    with home.locked():
        _retried(home, lambda now: _use(home, chosen, now, "set-current"))
    return home.bundle(chosen)


def roll_back(zoo: AnyPath, name: str) -> tuple[str, Path | str]:
    """Makes the version current that was in use before: (the version that was in use, where the other's bundle lies).

    Twice goes back two versions. Raises `ModelError` where nothing was in use before, or what was is gone or damaged.
    """
    home = known_home(zoo, name)
    with home.locked():
        return _retried(home, lambda now: _roll_back(home, now))


def _roll_back(home: ModelHome, now: _Now) -> tuple[str, Path | str]:
    in_use = now.in_use
    if in_use.version is None:
        raise ModelError(f"{home.location}: no version is in use; publish one, or set one current")
    before = now.history.before(in_use.version)
    known = home.versions()
    if before is None or before not in known:
        missing = "no version was in use" if before is None else f"{shown(before)}, which is not there any more, was"
        raise ModelError(
            f"{home.location}: before {in_use.version} {missing}; choose one with `zoo set-current`; found "
            f"{', '.join(known)}"
        )
    verify_bundle(home.bundle(before))
    _use(home, before, now, "rollback")
    return in_use.version, home.bundle(before)


def _was_decided(zoo: AnyPath, home: ModelHome, version: str, now: _Now) -> bool:
    """Whether an earlier attempt got as far as deciding whether this version comes into use."""
    if version == now.in_use.version or version in now.history.versions:
        return True
    ledger = ledger_of_zoo(zoo)
    entries = read_ledger(ledger)[0] if exists(ledger) else []
    return any((entry.name, entry.version) == (home.name, version) for entry in entries)


def _record(zoo: AnyPath, home: ModelHome, version: str, bundle: Bundle) -> None:
    """Adds the record to the ledger; repeating that is harmless."""
    add_entry(ledger_of_zoo(zoo), LedgerEntry.of_bundle(home.name, version, bundle.card, bundle.record))


def _use(home: ModelHome, version: str, now: _Now, how: How) -> None:
    """Moves `current`, whose old content was written down; nothing to do where it is in use."""
    if version != now.in_use.version:
        home.write_current(version, now.in_use)
        note_use(home.location, version, how, after=now.history.last_number)


def _retried(home: ModelHome, attempt: Callable[[_Now], Result]) -> Result:
    """What `attempt` makes of the version in use, which is written down first; once more where that moved meanwhile."""
    for _ in range(MOST_ATTEMPTS):
        history = History.read(home.location)  # first: what moves `current` in between is then noted only once
        in_use = home.current()
        if in_use.version is not None and in_use.version != history.last_version:
            note_use(home.location, in_use.version, "found", after=history.last_number)
            history = History.read(home.location)
        try:
            return attempt(_Now(in_use, history))
        except ChangedMeanwhileError:
            continue
    raise StorageError(
        f"{home.location}: others changed what is in use {MOST_ATTEMPTS} times meanwhile; try again when they are done"
    )
