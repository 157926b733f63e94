"""What became of an attempt, as the zoo says: whoever comes later can end what a kill left without an end."""

from datetime import datetime

from traffic_yolo.model_folder import WEIGHTS_NAME
from traffic_yolo.registry.bundle import SUMS_NAME, checksums_of
from traffic_yolo.registry.card import CARD_NAME
from traffic_yolo.registry.history import History
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.ledger import ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import ModelHome
from traffic_yolo.registry.publication import latest, read_publications
from traffic_yolo.retraining.attempts import Attempt, Attempts, Ended, time_text
from traffic_yolo.storage import AnyPath, exists, join, parse_json, read
from traffic_yolo.verdict_file import VERDICT_NAME

NOTHING_LEARNT = "nothing was learnt: the weights are those that the training started from"


def outcome_in_zoo(zoo: AnyPath, name: str, attempt: Attempt, *, now: datetime) -> Ended | None:
    """The end of an attempt whose training is known, from the versions of the zoo; None where it has none yet.

    A version that neither the history nor the ledger names was never decided on: its publication was cut off.
    """
    if attempt.weights is None:
        return None
    if not attempt.weights.learnt and attempt.begun.in_use:
        return Ended("rejected", "", (NOTHING_LEARNT,), time_text(now))
    home = open_home(zoo, name)
    version = _version_with(home, attempt.weights.sha256)
    if version is None:
        return None
    if version == home.current().version or version in History.read(home.location).versions:
        return Ended("published", version, (), time_text(now))
    ledger = ledger_of_zoo(zoo)
    entries = read_ledger(ledger)[0] if exists(ledger) else []
    if not any((entry.name, entry.version) == (name, version) for entry in entries):
        return None
    return Ended("rejected", version, reasons_against(home, version), time_text(now))


def settle(zoo: AnyPath, name: str, attempts: Attempts, *, now: datetime) -> Attempts:
    """Ends what was cut off after its publication was decided; returns the attempts as they are then."""
    settled = list(attempts.attempts)
    for index, attempt in enumerate(settled):
        if attempt.ended is None:
            found = outcome_in_zoo(zoo, name, attempt, now=now)
            if found is not None:
                settled[index] = attempts.end(attempt, found)
    return Attempts(attempts.home, tuple(settled), attempts.taken)


def reasons_against(home: ModelHome, version: str) -> tuple[str, ...]:
    """Why a version was not taken into use: its gates, else what its bundle says."""
    decided = latest(read_publications(home.location)[0], version)
    gates = tuple(gate.text for gate in decided.gates if gate.blocks) if decided else ()
    return gates or _reasons_in_bundle(home.bundle(version))


def _reasons_in_bundle(bundle: AnyPath) -> tuple[str, ...]:
    card = parse_json(read(join(bundle, CARD_NAME)), where=f"model card {bundle}/{CARD_NAME}")
    parity = card.get("parity") or {}
    reasons = () if parity.get("passed", True) else tuple(map(str, parity.get("problems") or ("parity failed",)))
    if VERDICT_NAME in checksums_of(bundle):
        content = parse_json(read(join(bundle, VERDICT_NAME)), where=f"verdict {bundle}/{VERDICT_NAME}")
        reasons += tuple(map(str, content.get("worse", ())))
    return reasons or ("not taken into use; its card and the ledger say more",)


def _version_with(home: ModelHome, weights_sha256: str) -> str | None:
    """The newest version with these weights."""
    for version in reversed(home.versions()):
        bundle = home.bundle(version)
        if exists(join(bundle, SUMS_NAME)) and checksums_of(bundle).get(WEIGHTS_NAME) == weights_sha256:
            return version
    return None
