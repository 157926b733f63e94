"""What may speak against putting a new version into use: one function each, asked in order before `current` moves.

A check that compares with the version in use finds it in the candidate.
"""

from collections.abc import Callable
from dataclasses import dataclass

from traffic_yolo.registry.bundle import Bundle
from traffic_yolo.storage import AnyPath
from traffic_yolo.verdict_file import TrainingVerdict


@dataclass(frozen=True)
class Candidate:
    """A bundle that might come into use; `in_use`: the version that it would replace, None where there is none."""

    bundle: Bundle
    verdict: TrainingVerdict | None
    zoo: AnyPath
    name: str
    in_use: str | None


def parity(candidate: Candidate) -> tuple[str, ...]:
    """What validation found wrong."""
    found = candidate.bundle.card["parity"]
    return () if found["passed"] else tuple(found["problems"] or ())


def training_verdict(candidate: Candidate) -> tuple[str, ...]:
    """On what the training found its result worse than what it started from."""
    return candidate.verdict.worse if candidate.verdict is not None else ()


CHECKS: tuple[Callable[[Candidate], tuple[str, ...]], ...] = (parity, training_verdict)


def reasons_against(candidate: Candidate) -> tuple[str, ...]:
    """A sentence for each thing that speaks against using it; empty where nothing does."""
    return tuple(reason for check in CHECKS for reason in check(candidate))
