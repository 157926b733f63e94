"""Darknet models that others have published: where their files lie, and what is known of them.

The facts are in `published_weights.yaml`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from traffic_yolo.checked_values import CheckedValue, read_checked
from traffic_yolo.errors import ModelError
from traffic_yolo.messages import nearest_or_all
from traffic_yolo.storage import AnyPath

CATALOGUE = Path(__file__).with_name("published_weights.yaml")
PARTS = ("cfg", "weights", "names")
KEYS = ("source", "licence", "trained_on", "published", *PARTS)
FILE_KEYS = ("address", "size", "sha256", "sha1", "earlier_sha256")
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PublishedFile:
    """One file. `size`: in bytes; `sha256`: hexadecimal, "" where none is known; `sha1`: where only that is known.

    `earlier_sha256`: of files that lay at the address once.
    """

    address: str
    size: int
    sha256: str
    earlier_sha256: tuple[str, ...] = ()
    sha1: str = ""

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.address.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PublishedNumbers:
    """What the source states: COCO's `ap` and `ap50` in [0, 1], None where it states none.

    They hold on the set `pictures`, with the network at `network_wh` pixels.
    """

    ap: float | None
    ap50: float | None
    network_wh: tuple[int, int]
    pictures: str


@dataclass(frozen=True)
class PublishedModel:
    """`trained_on`: the name of a public set as `evaluate --trained-on` takes it, "" where it is none of those."""

    name: str
    source: str
    licence: str
    trained_on: str
    cfg: PublishedFile
    weights: PublishedFile
    names: PublishedFile
    published: PublishedNumbers | None


def published_model(name: str) -> PublishedModel:
    """The model of that name; `ModelError` naming the nearest, or all, for another one."""
    models = published_models()
    if name in models:
        return models[name]
    raise ModelError(f"no published model {name[:80]!r}; {nearest_or_all(name, models)}")


@cache
def published_models() -> Mapping[str, PublishedModel]:
    """All models of the package, by name."""
    return read_published(CATALOGUE)


def read_published(path: AnyPath) -> dict[str, PublishedModel]:
    """The models of a YAML file; `ModelError` with file, model and key for what is not as it should be."""
    document = read_checked(path, what="published models", error=ModelError)
    models = document.section(("models",), required=("models",))["models"]
    return {str(name): _model(str(name), entry) for name, entry in models.entries("a mapping from name to model")}


def known_weights() -> dict[str, tuple[str, str]]:
    """SHA-256 of a whole weights file -> (its name, the public set that it was trained on), where both are known."""
    return {
        sha256: (model.weights.file_name, model.trained_on)
        for model in published_models().values()
        if model.trained_on
        for sha256 in (model.weights.sha256, *model.weights.earlier_sha256)
        if sha256
    }


def _model(name: str, entry: CheckedValue) -> PublishedModel:
    given = entry.section(KEYS, required=(*PARTS, "source", "licence"), defaults={"trained_on": ""})
    if not _NAME.fullmatch(name):
        raise entry.fault("expected a name of letters, digits, '.', '_' and '-'")
    source, licence, trained_on = (given[key].text(empty=True) for key in ("source", "licence", "trained_on"))
    files = {part: _file(given[part]) for part in PARTS}
    numbers = _numbers(given["published"]) if "published" in given else None
    return PublishedModel(name, source, licence, trained_on, **files, published=numbers)


def _file(entry: CheckedValue) -> PublishedFile:
    given = entry.section(FILE_KEYS, required=FILE_KEYS[:3], defaults={"earlier_sha256": [], "sha1": ""})
    earlier = given["earlier_sha256"].items()
    stated = [given["sha256"]] if given["sha256"].value != "" else []
    for each in (*stated, *earlier):
        if not isinstance(each.value, str) or not _SHA256.fullmatch(each.value):
            raise each.refusal('64 hexadecimal digits, or "" where none is known')
    if not given["address"].text().startswith("https://"):
        raise given["address"].refusal("one that begins with https://")
    if given["sha1"].value != "" and not _SHA1.fullmatch(given["sha1"].text()):
        raise given["sha1"].refusal("40 hexadecimal digits; leave it out where none is known")
    size, known = given["size"].whole(1, "a number of bytes"), tuple(each.value for each in earlier)
    return PublishedFile(given["address"].value, size, given["sha256"].value, known, given["sha1"].value)


def _numbers(entry: CheckedValue) -> PublishedNumbers:
    keys = ("ap", "ap50", "width", "height", "pictures")
    given = entry.section(keys, required=keys[2:], defaults={"ap": None, "ap50": None})
    ap, ap50 = (None if given[key].value is None else given[key].number(least=0, most=1) for key in keys[:2])
    return PublishedNumbers(ap, ap50, (given["width"].whole(1), given["height"].whole(1)), given["pictures"].text())
