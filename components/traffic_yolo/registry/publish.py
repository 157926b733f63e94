"""Publishing: the bundle of one run goes into the zoo, and comes into use where its gates let it."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from traffic_yolo._version import __version__
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import CFG_NAME, WEIGHTS_NAME
from traffic_yolo.progress import stage
from traffic_yolo.registry.bare_zoo import check_no_bare_zoo
from traffic_yolo.registry.bundle import Bundle, checksums_of, gather_bundle, verify_bundle
from traffic_yolo.registry.gates.ask import Answers, ask
from traffic_yolo.registry.gates.gate import Gate
from traffic_yolo.registry.gates.judge import Judge
from traffic_yolo.registry.gates.opponents import Opponents, opponents_of
from traffic_yolo.registry.gates.rules import ANY, METRICS, GateRules
from traffic_yolo.registry.history import History
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.in_use import MOST_ATTEMPTS, GoneError, Now, check_stays, kept_changing, retried, use
from traffic_yolo.registry.ledger import LedgerEntry, add_entry, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import ModelHome
from traffic_yolo.registry.publication import (
    Publication,
    latest,
    publisher,
    read_publications,
    write_publication,
)
from traffic_yolo.registry.published import Published
from traffic_yolo.registry.statement import Statement, write_statement
from traffic_yolo.run_id import PLACEHOLDER_START
from traffic_yolo.storage import AnyPath, exists
from traffic_yolo.verdict_file import TrainingVerdict, read_verdict


@dataclass(frozen=True)
class _Standing:
    """What a decision about a bundle is made on: while it is the same, so are the answers of the gates.

    `own`: the version that has the bundle's content already. `state`: "new", "cut off" (nothing was decided), "refused"
    (gates kept it out of use), or "decided" (it is or was in use, or an older program decided).
    """

    own: str | None
    state: str
    opponents: Opponents


class _StandingChangedError(Exception):
    """Something of what the gates were asked about is another now."""


def publish(
    *,
    model: AnyPath,
    evaluation: AnyPath,
    tuning: AnyPath,
    validation: AnyPath,
    dataset: AnyPath,
    zoo: AnyPath,
    name: str,
    rules: GateRules | None = None,
    statement: Statement | None = None,
) -> Published:
    """Puts the bundle of one run into the zoo, makes it current where its gates let it, and writes its records.

    The gates (docs/zoo.md) hold it against the version in use and the best ever in use, on `dataset`, which is the one
    that `evaluation` is of. A version that they keep out of use is published all the same: the next attempt asks them
    again, `rules.force` overrules them. Weights that are those in use, or those that the training started from, are no
    new version. The same content is never published twice: it gives the version that is there, and what was in use once
    stays out of use. An attempt that was cut off (a kill, a full disk) is finished by the next one with the same
    content. Two publishers at once wait for each other; gates are asked while nobody waits, and again where another
    version came into use meanwhile.

    `statement`: what people say of the version. It is written down beside it, also where it was published before, and
    not where there is nothing new to publish.

    Raises `ModelError` for folders that do not belong together, `EvaluationError` for another data set, `OptionsError`
    for a name that cannot be a folder's, `StorageError` for a full disk.
    """
    rules, statement = rules or GateRules(), statement or Statement()
    check_no_bare_zoo(zoo)
    home = open_home(zoo, name)
    home.current()  # what cannot be read is said before gigabytes are hashed
    data_set = DataSet.open(dataset)
    with stage("checking the bundle"):
        bundle = gather_bundle(model, evaluation, tuning, validation, manifest=data_set.manifest)
    verdict = read_verdict(model)
    judge = Judge(
        evaluation,
        bundle.record,
        bundle.card["operating_point"],
        dataset,
        metric=rules.metric,
        earlier_detections=rules.earlier_detections,
    )
    by = rules.by or publisher()
    known: dict[str, Publication] = {}
    for _ in range(MOST_ATTEMPTS):
        standing = _standing(zoo, home, bundle, rules, Now(home.current(), History.read(home.location)), known)
        nothing_new = _nothing_new(home, bundle, verdict, standing, rules)
        is_asked = standing.state != "decided" and not nothing_new
        with stage("asking the gates"):
            answers = (
                ask(bundle, verdict, rules, judge, standing.opponents, home.bundle) if is_asked else Answers((), {}, {})
            )
        origin = _origin(rules, standing, data_set)
        decision = _Decision(standing, nothing_new, answers, rules, judge.pictures, by, known, origin, statement)
        with contextlib.suppress(_StandingChangedError), home.locked():
            home.remove_abandoned()
            return retried(home, lambda now: _publish(zoo, home, bundle, decision, now))  # noqa: B023 (called at once)
    raise kept_changing(home)


@dataclass(frozen=True)
class _Decision:
    """What was found out before anybody had to wait for it."""

    standing: _Standing
    nothing_new: str
    answers: Answers
    rules: GateRules
    pictures: Mapping[str, str]
    by: str
    known: dict[str, Publication]  # what was read of others, for the look under the lock
    origin: Mapping[str, str]
    statement: Statement

    def publication(self, version: str) -> Publication:
        """The record of what is decided about a version."""
        gates, rules = self.answers.gates, self.rules
        against = any(gate.blocks for gate in gates) or self.was_given_up
        return Publication(
            version=version,
            made_current=rules.force or not against,
            forced=rules.force and against,
            by=self.by,
            reason=rules.reason,
            rules={"gate": rules.gate, "metric": rules.metric, "minimum": dict(rules.minimum),
                   "accept_few": rules.accept_few},
            pictures=self.pictures,
            values={version: self.answers.own, **self.answers.others},
            gates=gates,
            origin=self.origin,
        )  # fmt: skip

    @property
    def was_given_up(self) -> bool:
        """Whether the version was in use before, and another one is now."""
        return self.standing.state == "given up"


def _publish(zoo: AnyPath, home: ModelHome, bundle: Bundle, decision: _Decision, now: Now) -> Published:
    """One attempt, in an order in which a kill leaves what the next attempt can finish.

    The bundle, what was decided about it, `current`, the record. A record never names a version that is not there; and
    what neither `current`, nor the history, nor a record of the ledger has ever named was never decided on.
    """
    standing = _standing(zoo, home, bundle, decision.rules, now, decision.known)
    if standing != decision.standing:
        raise _StandingChangedError
    own = standing.own
    if decision.nothing_new:
        if own is not None and standing.state == "decided":  # perhaps the attempt before was cut off
            _record(zoo, home, own, bundle, _gates_of(home, own))
        assert now.in_use.version is not None
        unsaid = not decision.statement.is_empty
        return Published(
            home.bundle(now.in_use.version),
            home.name,
            False,
            True,
            nothing_new=decision.nothing_new,
            not_stated=unsaid,
        )
    if own is not None:
        _verify(home, own)
    if own is not None and standing.state == "decided":
        write_statement(home.location, own, decision.statement)
        _record(zoo, home, own, bundle, _gates_of(home, own))
        return Published(home.bundle(own), home.name, False, home.current().version == own)
    version = own or home.place(bundle)
    publication = decision.publication(version)
    write_statement(home.location, version, decision.statement)
    write_publication(home.location, publication)
    try:
        check_stays(home, version)  # a collection that began before that did not see it named
        if publication.made_current:
            use(home, version, now, "publish")
    except GoneError:
        if version in home.versions():  # it may stay yet, or was cut off there
            raise
        raise _StandingChangedError from None
    _record(zoo, home, version, bundle, publication.gates)
    return Published(
        home.bundle(version),
        home.name,
        is_new=own is None,
        is_current=home.current().version == version,
        gates=publication.gates,
        forced=publication.forced,
        resumed=standing.state == "cut off",
    )


def _verify(home: ModelHome, version: str) -> None:
    """Raises `ModelError` for a damaged version; where a collection took it away, all begins anew."""
    try:
        verify_bundle(home.bundle(version))
    except ModelError:
        if version in home.versions():
            raise
        raise _StandingChangedError from None


def _origin(rules: GateRules, standing: _Standing, data_set: DataSet) -> dict[str, str]:
    """Where a decision comes from, for its record; what is not known is left out."""
    stated = {
        "run_id": "" if rules.run_id.startswith(PLACEHOLDER_START) else rules.run_id,
        "in_use": standing.opponents.in_use or "",
        # Where it was converted from: where it lies now is one task's own folder
        "data_source": str((data_set.manifest.get("source") or {}).get("location") or ""),
        "code_version": __version__,
    }
    return {name: value for name, value in stated.items() if value}


def _standing(
    zoo: AnyPath, home: ModelHome, bundle: Bundle, rules: GateRules, now: Now, known: dict[str, Publication]
) -> _Standing:
    """Where a bundle stands in a zoo, and what it would be held against; `known`: see `read_publications`."""
    there = home.versions()
    own = next((each for each in there if each.endswith(f"-{bundle.version_hash}")), None)
    state = _state(zoo, home, own, now, rules)
    opponents = Opponents(now.in_use.version)
    if rules.gate != ANY and state != "decided":
        opponents = opponents_of(
            own,
            in_use=now.in_use.version,
            used=now.history.versions,
            there=there,
            publications=read_publications(home.location, known=known)[0],
            metric=rules.metric,
            recorded=lambda: {entry.version: _recorded(entry, rules.metric) for entry in _entries(zoo, home)},
        )
    return _Standing(own, state, opponents)


def _state(zoo: AnyPath, home: ModelHome, own: str | None, now: Now, rules: GateRules) -> str:
    if own is None:
        return "new"
    if own == now.in_use.version:
        return "decided"
    if own in now.history.versions:
        return "given up" if rules.force else "decided"
    mine = [entry for entry in _entries(zoo, home) if entry.version == own]
    if not mine:
        return "cut off"
    is_refused = all(any(gate.blocks for gate in entry.gates) for entry in mine)
    return "refused" if is_refused or rules.force else "decided"


def _entries(zoo: AnyPath, home: ModelHome) -> list[LedgerEntry]:
    """The records of the model's versions; all of the ledger is read for them."""
    ledger = ledger_of_zoo(zoo)
    return [entry for entry in (read_ledger(ledger)[0] if exists(ledger) else []) if entry.name == home.name]


def _recorded(entry: LedgerEntry, metric: str) -> float:
    """What a version's own evaluation and tuning state of a metric; -1 where they do not."""
    value = entry.point.get(metric) if metric == "f1" else entry.record.metrics.get(METRICS[metric])
    return float(value) if isinstance(value, int | float) else -1.0


def _nothing_new(
    home: ModelHome, bundle: Bundle, verdict: TrainingVerdict | None, standing: _Standing, rules: GateRules
) -> str:
    """Why there is nothing to publish, "" where there is; a version that has begun to be published is finished."""
    in_use = standing.opponents.in_use
    if in_use is None:
        return ""
    if verdict is not None and not verdict.learnt:
        return "nothing was learnt"
    if rules.force or standing.state == "decided" or in_use not in home.versions():
        return ""
    sums, own = checksums_of(home.bundle(in_use)), bundle.card["sha256"]
    if any(sums.get(name) != own[name] for name in (CFG_NAME, WEIGHTS_NAME)):
        return ""
    return "cfg and weights are those in use (force publishes other thresholds of theirs)"


def _gates_of(home: ModelHome, version: str) -> tuple[Gate, ...]:
    """What the last decision about a version was made by; empty where an older program made it."""
    before = latest(read_publications(home.location)[0], version)
    return () if before is None else before.gates


def _record(zoo: AnyPath, home: ModelHome, version: str, bundle: Bundle, gates: Sequence[Gate]) -> None:
    """Adds the record to the ledger; repeating that is harmless."""
    add_entry(ledger_of_zoo(zoo), LedgerEntry.of_bundle(home.name, version, bundle.card, bundle.record, gates))
