"""Whether a model's weights may have seen the pictures that they are evaluated on.

Three sources of evidence: the list of pictures that a training of ours leaves beside its weights, what the user
declares, and the hashes of public weights whose training set is known.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.records import ALL
from traffic_yolo.errors import EvaluationError
from traffic_yolo.published_weights import known_weights
from traffic_yolo.storage import input_path
from traffic_yolo.trained_on import TrainedOn, picture_hashes

SEEN, MAY_HAVE_SEEN, NOT_SEEN, UNKNOWN = VERDICTS = ("seen", "may have seen", "not seen", "unknown")


@dataclass(frozen=True)
class PublicSet:
    """A public set of pictures. `names`: what its pictures are called, without folder and suffix."""

    title: str
    names: "re.Pattern[str]"


# COCO of 2017 has the pictures of 2014 under shorter names, split otherwise, so what trained on Darknet's lists of 2014
# has seen a part of val2017; and a name does not tell which of its splits a picture is of.
COCO_NAMES = re.compile(r"(COCO_(train|val)2014_)?\d{12}")
PUBLIC_SETS: Mapping[str, PublicSet] = {
    "coco": PublicSet("COCO, of which parts is not known", COCO_NAMES),
    "coco/train2017": PublicSet("COCO train2017", COCO_NAMES),
    "coco/val2017": PublicSet("COCO val2017", COCO_NAMES),
}

# SHA-256 of a whole weights file -> (name, public set)
KNOWN_WEIGHTS: Mapping[str, tuple[str, str]] = known_weights()


@dataclass(frozen=True)
class Provenance:
    """`verdict`: one of `VERDICTS`. `pictures`: of the `of` pictures evaluated, how many were seen or may have been.

    `reasons`: one sentence each. `trained_on`: what is known or declared of the training.
    `start_weights_sha256`: "" for random weights, None where it is not known.
    """

    verdict: str
    pictures: int
    of: int
    reasons: tuple[str, ...]
    trained_on: tuple[str, ...]
    start_weights_sha256: str | None

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {
            **dataclasses.asdict(self),
            "reasons": list(self.reasons),
            "trained_on": list(self.trained_on),
        }


def provenance(
    file_names: Sequence[str],
    hashes: Sequence[str],
    *,
    weights_sha256: str,
    trained_on: TrainedOn | None,
    declared: Sequence[str] = (),
) -> Provenance:
    """The verdict on pictures with these names and `picture_hashes` (one each).

    `trained_on`: the list that lies beside the weights. `declared`: what else they were trained on: names of public
    sets (`PUBLIC_SETS`) or folders of data sets, of which the split train is meant.

    Raises `EvaluationError` for a declared name that is neither.
    """
    judged = _Judgement(file_names, hashes)
    known = KNOWN_WEIGHTS.get(weights_sha256)
    if known:
        judged.public(known[1], f"the weights are {known[0]}, trained on")
    start: str | None = None
    if trained_on is not None:
        start = trained_on.start_weights_sha256
        judged.data_set(trained_on)
        if begun := KNOWN_WEIGHTS.get(start):
            judged.public(begun[1], f"the training started from {begun[0]}, trained on")
        if taught := KNOWN_WEIGHTS.get(trained_on.teacher_weights_sha256):
            judged.public(taught[1], f"the training had {taught[0]} as its teacher, trained on")
    for name in declared:
        if name in PUBLIC_SETS:
            judged.public(name, "declared to be trained on")
        else:
            judged.hashes(_hashes_of(name), f"declared to be trained on data set {name}")
    teacher = trained_on.teacher_weights_sha256 if trained_on is not None else ""
    is_known = all(not each or each in KNOWN_WEIGHTS for each in (start, teacher))
    ours = trained_on is not None and (is_known or bool(declared))
    is_complete = bool(known) or ours or (trained_on is None and bool(declared))
    return judged.verdict(start, is_complete=is_complete, is_taught=bool(teacher))


class _Judgement:
    """Collects evidence on pictures."""

    def __init__(self, file_names: Sequence[str], hashes: Sequence[str]) -> None:
        self._names = [Path(name).stem for name in file_names]
        self._hashes = list(hashes)
        self._seen: set[int] = set()
        self._maybe: set[int] = set()
        self._reasons: list[str] = []
        self._trained_on: list[str] = []

    def public(self, name: str, how: str) -> None:
        """Weights trained on a public set, whose pictures are told by their names alone."""
        known = PUBLIC_SETS[name]
        self._trained_on.append(name)
        alike = {index for index, stem in enumerate(self._names) if known.names.fullmatch(stem)}
        if alike:
            what = f"{len(alike)} of the {len(self._names)} pictures are named as COCO names its own"
            self._reasons.append(f"{how} {known.title}; {what}")
            self._maybe |= alike

    def data_set(self, trained_on: TrainedOn) -> None:
        """Weights trained by us: the very pictures are known."""
        if trained_on.data_fingerprint:  # none of weights whose classes alone were changed
            self._trained_on.append(f"data set {trained_on.data_fingerprint[:12]}")
        self.hashes(trained_on.pictures, "trained on")
        self.hashes(trained_on.chosen_on, "the best weights were chosen on")

    def hashes(self, hashes: Sequence[str], how: str) -> None:
        """Pictures with these hashes were seen."""
        if how.startswith("declared"):
            self._trained_on.append(how.removeprefix("declared to be trained on "))
        known = set(hashes)
        found = {index for index, each in enumerate(self._hashes) if each in known}
        if found:
            self._reasons.append(f"{how} {len(found)} of the {len(self._hashes)} pictures, by their content")
            self._seen |= found

    def verdict(self, start: str | None, *, is_complete: bool, is_taught: bool = False) -> Provenance:
        """`is_complete`: whether all that the weights saw is known."""
        if self._seen:
            verdict = SEEN
        elif self._maybe:
            verdict = MAY_HAVE_SEEN
        else:
            verdict = NOT_SEEN if is_complete else UNKNOWN
        reasons = self._reasons or [_nothing_found(start, is_complete=is_complete, is_taught=is_taught)]
        count = len(self._seen | self._maybe)
        return Provenance(verdict, count, len(self._names), tuple(reasons), tuple(self._trained_on), start)


def _nothing_found(start: str | None, *, is_complete: bool, is_taught: bool) -> str:
    if is_complete:
        return "none of the pictures is among those trained on"
    what = "the weights that the training started from" if start else "the weights"
    what = (f"{what} and its teacher" if start else "the training's teacher") if is_taught else what
    were = "was" if what.endswith("'s teacher") else "were"
    return f"what {what} {were} trained on is not known; declare it (trained_on)"


def _hashes_of(declared: str) -> tuple[str, ...]:
    if declared and not input_path(declared, what="trained_on").is_dir():
        known = ", ".join(PUBLIC_SETS)
        raise EvaluationError(f"trained_on {declared!r}: neither a data set folder nor one of {known}")
    data = DataSet.open(declared)
    split = "train" if "train" in data.splits else ALL  # of a set without splits, any picture may have been trained on
    return picture_hashes(data.root, data.manifest, [image.file_name for image in data.split(split)])
