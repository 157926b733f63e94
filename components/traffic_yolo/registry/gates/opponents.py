"""Which versions a new one is held against: the one in use, and the best that was ever in use.

The best ever is found as a tournament finds its winner. Each publication measures the versions that it compares on the
same pictures and writes the numbers down; all of them but the highest have lost, and are not measured again. So each
version is measured until it loses once, and after that a publication needs two inferences at most, whatever the zoo
holds. Numbers that were measured on different pictures are never compared.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from traffic_yolo.registry.model_home import version_key
from traffic_yolo.registry.publication import Publication

MOST_OTHERS = 3  # besides the version in use, in one publication: of a zoo that has never compared, the rest waits


@dataclass(frozen=True)
class Opponents:
    """`in_use`: the version in use; `others`: those that may be the best ever in use; `waiting`: how many more may be.

    `gone`: versions that may be the best and are not in the zoo any more.
    """

    in_use: str | None
    others: tuple[str, ...] = ()
    waiting: int = 0
    gone: tuple[str, ...] = ()


def opponents_of(
    own: str | None,
    *,
    in_use: str | None,
    used: Collection[str],
    there: Collection[str],
    publications: Sequence[Publication],
    metric: str,
    recorded: Callable[[], Mapping[str, float]],
) -> Opponents:
    """The opponents of a version (`own`, None for one that the zoo does not have yet).

    `used`: every version that was ever in use; `there`: those whose bundle is there. `recorded` gives version -> what
    its own evaluation says of the metric, whatever pictures it was on; asked where there are too many to measure all of
    them at once, so that the most promising come first.
    """
    ever = {*used, *([in_use] if in_use is not None else [])} - {own}
    left = unbeaten(ever, publications, metric) - {in_use}
    chosen = sorted(left & set(there), key=version_key)
    waiting = max(len(chosen) - MOST_OTHERS, 0)
    if waiting:
        values = recorded()
        chosen.sort(key=lambda version: values.get(version, -1.0), reverse=True)
    gone = sorted(left - set(there), key=version_key)
    return Opponents(in_use, tuple(sorted(chosen[:MOST_OTHERS], key=version_key)), waiting, tuple(gone))


def unbeaten(ever: Collection[str], publications: Sequence[Publication], metric: str) -> set[str]:
    """Of the versions that were `ever` in use, those that no later comparison set below another of them.

    Oldest publication first: who wins a later comparison is back, even if it lost one before on other pictures. Of
    equals, the newer one stays.
    """
    left = set(ever)
    for publication in publications:
        compared = _compared(publication, ever, metric)
        if compared:
            left = left - set(compared) | {_highest(compared)}
    return left


def last_winner(ever: Collection[str], publications: Sequence[Publication]) -> str | None:
    """Which of the versions `ever` in use the last comparison left on top; None before the first."""
    for publication in reversed(publications):
        compared = _compared(publication, ever, str(publication.rules.get("metric")))
        if compared:
            return _highest(compared)
    return None


def _compared(publication: Publication, ever: Collection[str], metric: str) -> dict[str, float]:
    values = publication.values.items()
    return {version: numbers[metric] for version, numbers in values if version in ever and metric in numbers}


def _highest(compared: Mapping[str, float]) -> str:
    return max(compared, key=lambda version: (compared[version], version_key(version)))
