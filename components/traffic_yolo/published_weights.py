"""Darknet models that others have published: where their files lie, and what is known of them.

The facts are in `published_weights.yaml`.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath, read_yaml

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
    near = difflib.get_close_matches(name[:80], models, n=1)
    advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(models)}"
    raise ModelError(f"no published model {name[:80]!r}; {advice}")


@cache
def published_models() -> Mapping[str, PublishedModel]:
    """All models of the package, by name."""
    return read_published(CATALOGUE)


def read_published(path: AnyPath) -> dict[str, PublishedModel]:
    """The models of a YAML file; `ModelError` with file, model and key for what is not as it should be."""
    content = read_yaml(path, what="published models", error=ModelError)
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise ModelError(f"{path}: expected a mapping `models`")
    return {str(name): _model(str(name), entry, f"{path}: {name}") for name, entry in models.items()}


def known_weights() -> dict[str, tuple[str, str]]:
    """SHA-256 of a whole weights file -> (its name, the public set that it was trained on), where both are known."""
    return {
        sha256: (model.weights.file_name, model.trained_on)
        for model in published_models().values()
        if model.trained_on
        for sha256 in (model.weights.sha256, *model.weights.earlier_sha256)
        if sha256
    }


def _model(name: str, entry: Any, where: str) -> PublishedModel:
    _check_keys(entry, KEYS, (*PARTS, "source", "licence"), where)
    if not _NAME.fullmatch(name):
        raise ModelError(f"{where}: expected a name of letters, digits, '.', '_' and '-'")
    for key in ("source", "licence", "trained_on"):
        if not isinstance(entry.get(key, ""), str):
            raise ModelError(f"{where}: {key}: expected a text")
    files = {part: _file(entry[part], f"{where}: {part}") for part in PARTS}
    numbers = _numbers(entry["published"], f"{where}: published") if "published" in entry else None
    return PublishedModel(
        name, entry["source"], entry["licence"], entry.get("trained_on", ""), **files, published=numbers
    )


def _file(entry: Any, where: str) -> PublishedFile:
    _check_keys(entry, FILE_KEYS, FILE_KEYS[:3], where)
    earlier = entry.get("earlier_sha256", [])
    stated = [entry["sha256"]] if entry["sha256"] != "" else []
    hashes = [*stated, *(earlier if isinstance(earlier, list) else [None])]
    if not all(isinstance(each, str) and _SHA256.fullmatch(each) for each in hashes):
        raise ModelError(f'{where}: sha256: expected 64 hexadecimal digits, or "" where none is known')
    if "sha1" in entry and not (isinstance(entry["sha1"], str) and _SHA1.fullmatch(entry["sha1"])):
        raise ModelError(f"{where}: sha1: expected 40 hexadecimal digits; leave it out where none is known")
    if not isinstance(entry["size"], int) or isinstance(entry["size"], bool) or entry["size"] < 1:
        raise ModelError(f"{where}: size: expected a number of bytes")
    if not isinstance(entry["address"], str) or not entry["address"].startswith("https://"):
        raise ModelError(f"{where}: address: expected one that begins with https://")
    return PublishedFile(entry["address"], entry["size"], entry["sha256"], tuple(earlier), entry.get("sha1", ""))


def _numbers(entry: Any, where: str) -> PublishedNumbers:
    keys = ("ap", "ap50", "width", "height", "pictures")
    _check_keys(entry, keys, keys[2:], where)
    for key in ("ap", "ap50"):
        value = entry.get(key)
        if value is not None and not (isinstance(value, float) and 0 <= value <= 1):
            raise ModelError(f"{where}: {key}: expected a number in [0, 1]")
    return PublishedNumbers(
        entry.get("ap"), entry.get("ap50"), (int(entry["width"]), int(entry["height"])), str(entry["pictures"])
    )


def _check_keys(entry: Any, known: tuple[str, ...], needed: tuple[str, ...], where: str) -> None:
    if not isinstance(entry, dict) or not set(needed) <= set(entry) <= set(known):
        raise ModelError(f"{where}: expected the keys {', '.join(known)}")
