"""Which versions of a zoo have seen given pictures: what somebody who asks for erasure has to be told.

A bundle's `trained_on.json` lists its pictures by their content, and the weights that it started from: what those saw,
it has seen too. A version without that file may have seen anything.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from traffic_yolo.errors import ModelError, NotFoundError
from traffic_yolo.evaluation.provenance import KNOWN_WEIGHTS
from traffic_yolo.html_report import format_cell
from traffic_yolo.progress import progress
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom
from traffic_yolo.registry.bundle import checksums_of
from traffic_yolo.registry.homes import homes
from traffic_yolo.registry.model_home import check_zoo
from traffic_yolo.storage import AnyPath, join, parse_json, read
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn

WEIGHTS_NAME = "model.weights"
TRAINED, CHOSEN, INHERITED, UNKNOWN, NOT_SEEN = "trained on", "chosen on", "started from", "unknown", "not seen"
COLUMNS = ("model", "version", "in_use", "verdict", "trained_on", "chosen_on", "why")


@dataclass(frozen=True)
class Sight:
    """What one version has seen of the pictures. `verdict`: one of the words above.

    `trained_on`, `chosen_on`: how many of the pictures its gradients came from, and how many chose its best weights;
    None where nothing says. `why`: a sentence, "" where the counts say all.
    """

    model: str
    version: str
    in_use: bool
    verdict: str
    trained_on: int | None
    chosen_on: int | None
    why: str = ""

    @property
    def is_concerned(self) -> bool:
        """Whether the version has seen a picture, or may have."""
        return self.verdict != NOT_SEEN

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `zoo saw --json` writes them."""
        return asdict(self)


@dataclass(frozen=True)
class _Version:
    model: str
    version: str
    in_use: bool
    weights_sha256: str
    trained_on: TrainedOn | None
    why_unknown: str
    pruned: PrunedFrom | None = None


def who_saw(zoo: AnyPath, pictures: Collection[str]) -> list[Sight]:
    """What every version of a zoo has seen of pictures, by model and then oldest first.

    `pictures`: hashes as of `content_hashes`. Raises `StorageError` where no zoo is. A version whose list cannot be
    read is `UNKNOWN`, with the reason: it is never left out.
    """
    check_zoo(zoo)
    wanted = frozenset(pictures)
    known = [
        _version(home.name, version, version == in_use, str(home.bundle(version)))
        for home in homes(zoo)
        for in_use in (home.current().version,)
        for version in progress(home.versions(), description=home.name, unit="version")
    ]
    by_weights = {each.weights_sha256: each for each in known if each.weights_sha256}
    return [_sight(each, wanted, by_weights) for each in known]


def _version(model: str, version: str, in_use: bool, bundle: str) -> _Version:
    try:
        weights = checksums_of(bundle).get(WEIGHTS_NAME, "")
    except ModelError as error:
        return _Version(model, version, in_use, "", None, str(error))
    location = join(bundle, TRAINED_ON_NAME)
    try:
        content = parse_json(read(location), where=location, error=ModelError)
        trained = TrainedOn.of_dict(content, where=location)
        pruned = _pruning(bundle)
    except NotFoundError:
        return _Version(model, version, in_use, weights, None, f"it has no {TRAINED_ON_NAME}")
    except ModelError as error:
        return _Version(model, version, in_use, weights, None, str(error))
    return _Version(model, version, in_use, weights, trained, "", pruned)


def _pruning(bundle: str) -> PrunedFrom | None:
    """What a bundle says of the pruning before its training, None for most; `ModelError` where it is damaged."""
    if PRUNED_NAME not in checksums_of(bundle):
        return None
    location = join(bundle, PRUNED_NAME)
    return PrunedFrom.of_dict(parse_json(read(location), where=location, error=ModelError), where=location)


def _sight(version: _Version, wanted: frozenset[str], by_weights: Mapping[str, _Version]) -> Sight:
    named = (version.model, version.version, version.in_use)
    if version.trained_on is None:
        return Sight(*named, UNKNOWN, None, None, f"{version.why_unknown}: what it was trained on is not known")
    trained = len(wanted.intersection(version.trained_on.pictures))
    chosen = len(wanted.intersection(version.trained_on.chosen_on))
    start, why = _from_the_start(version, wanted, by_weights)
    if trained or chosen:
        return Sight(*named, TRAINED if trained else CHOSEN, trained, chosen, why if start == INHERITED else "")
    return Sight(*named, start, trained, chosen, why)


def _from_the_start(version: _Version, wanted: frozenset[str], by_weights: Mapping[str, _Version]) -> tuple[str, str]:
    """What a version has of the weights that it started from, of its teacher, and theirs: a verdict, and why.

    One that saw some goes before one of which nothing is known.
    """
    seen_weights = {version.weights_sha256}
    waiting, published, unknown = [version], "", ""
    while waiting:
        for digest, name in _parents(waiting.pop(), by_weights):
            start = by_weights.get(digest)
            if start is None and digest in KNOWN_WEIGHTS:
                published = published or f"it goes back to the published {KNOWN_WEIGHTS[digest][0]}"
            elif start is None:
                unknown = unknown or f"it goes back to {name} ({digest[:12]}…), which is no version of this zoo"
            elif digest not in seen_weights:
                seen_weights.add(digest)
                if start.trained_on is None:
                    unknown = unknown or f"it goes back to {start.model} {start.version}, of which nothing is known"
                    continue
                if wanted.intersection((*start.trained_on.pictures, *start.trained_on.chosen_on)):
                    return INHERITED, f"it goes back to {start.model} {start.version}, which saw some"
                waiting.append(start)
    return (UNKNOWN, unknown) if unknown else (NOT_SEEN, published)


def _parents(version: _Version, by_weights: Mapping[str, _Version]) -> list[tuple[str, str]]:
    """SHA-256 and name of the weights that a version started from, and of its teacher's.

    A pruning sees nothing: where the start weights were pruned, and are no version themselves, their parent stands.
    """
    one = version.trained_on
    if one is None:
        return []
    start = one.start_weights_sha256
    if start and start not in by_weights and version.pruned is not None and version.pruned.weights_sha256 == start:
        start = version.pruned.parent_weights_sha256
    pairs = ((start, one.start_weights), (one.teacher_weights_sha256, one.teacher_weights))
    return [(digest, name) for digest, name in pairs if digest]


def saw_text(sights: list[Sight], pictures: int, where: str, *, with_others: bool = False) -> str:
    """Lines for a terminal: a table of the versions that are concerned, or of all, and what that comes to."""
    concerned = [each for each in sights if each.is_concerned]
    rows = [[name.replace("_", " ") for name in COLUMNS]]
    for each in sights if with_others else concerned:
        values = {**each.as_dict(), "in_use": "yes" if each.in_use else ""}
        rows.append([format_cell(values[name]) for name in COLUMNS])
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    unknown = sum(each.verdict == UNKNOWN for each in concerned)
    counted = f"{len(concerned) - unknown} of {len(sights)} versions have seen some of the {pictures} pictures of"
    counted = f"{counted} {where}"
    told = f"{counted}; of {unknown} it is not known" if unknown else counted
    return "\n".join([*lines, told] if len(lines) > 1 else [told])
