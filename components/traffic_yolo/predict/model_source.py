"""Finds the model that a text names: a folder, a bundle, a name in a zoo, or a pair of Darknet files."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.darknet_pair import SUFFIXES, find_pair
from traffic_yolo.errors import EvaluationError, ModelError, OptionsError
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.predict.options import ModelOptions
from traffic_yolo.registry.bare_zoo import BarePair, model_of_zoo
from traffic_yolo.registry.card import CARD_NAME
from traffic_yolo.registry.gates.judge import open_version
from traffic_yolo.registry.model_home import chosen_version
from traffic_yolo.registry.zoo_fetch import fetch_version
from traffic_yolo.storage import AnyPath, existing_path, is_s3, read_json

ZOO_VARIABLE = "TRAFFIC_YOLO_ZOO"
ZOO_SCHEME = "zoo://"
POINT_NAME = "operating_point.json"


@dataclass(frozen=True)
class FoundModel:
    """A model to be read. `point`: its operating point, None where it has none; `point_where` says where it stands.

    `name`: what people call it.
    """

    folder: ModelFolder
    name: str
    point: Mapping[str, Any] | None
    point_where: str


@contextlib.contextmanager
def found_model(model: AnyPath, options: ModelOptions) -> Iterator[FoundModel]:
    """The model that `model` names; its files are there for the length of the block.

    `zoo://NAME`, or any name with `options.zoo`, is a model of a zoo, which is that of `options.zoo` or of the variable
    `TRAFFIC_YOLO_ZOO`; a folder of bare pairs will do as one. A path to `.weights` or `.cfg` is a Darknet pair.
    Anything else is a folder: a bundle where it holds a card, whose files are held to their checksums.
    `options.operating_point` is read in the place of the model's own, and refused with `EvaluationError` where it was
    chosen for other weights. Raises `ModelError`, `StorageError` or `OptionsError` in one line for what is none of
    these.
    """
    with _found(model, options) as found:
        if options.operating_point:
            path = existing_path(options.operating_point, what="operating point")
            path = path / POINT_NAME if path.is_dir() else path
            found = dataclasses.replace(found, point=read_json(path, what="operating point"), point_where=str(path))
        made_for = found.point.get("model") if isinstance(found.point, dict) else None
        stated = made_for.get("weights_sha256") if isinstance(made_for, dict) else None
        if stated is not None and stated != found.folder.sha256(WEIGHTS_NAME):
            raise EvaluationError(
                f"{found.point_where} was chosen for other weights than those of {found.name}; evaluate and tune again"
            )
        yield found


@contextlib.contextmanager
def _found(model: AnyPath, options: ModelOptions) -> Iterator[FoundModel]:
    text = str(model)
    if text.startswith(ZOO_SCHEME) or options.zoo:
        with _of_zoo(text, options) as found:
            yield found
        return
    if options.version:
        raise OptionsError(f"version: a version of a model in a zoo; give zoo as well, or {ZOO_SCHEME}NAME as MODEL")
    path = existing_path(model, what="model")
    if path.suffix in SUFFIXES:
        with _of_pair(path, options) as found:
            yield found
        return
    for name in ("cfg", "weights_names"):
        if getattr(options, name):
            raise OptionsError(f"{name}: goes with a Darknet .weights file; {path} is a folder with its own")
    if (path / CARD_NAME).is_file():
        yield _of_bundle(path, path.name)
        return
    folder = ModelFolder.open(path)
    point = path / POINT_NAME
    stated = read_json(point, what="operating point") if point.is_file() else None
    yield FoundModel(folder, path.name, stated, str(point))


def _of_bundle(path: Path, name: str) -> FoundModel:
    folder, card = open_version(path)
    if tuple(card.get("classes", ())) != folder.classes:
        raise ModelError(
            f"{path}: {CARD_NAME} names other classes than {CLASSES_NAME} ({list(card.get('classes', ()))} and "
            f"{list(folder.classes)}); publish it again"
        )
    return FoundModel(folder, name, card["operating_point"], f"of {name}")


@contextlib.contextmanager
def _of_zoo(text: str, options: ModelOptions) -> Iterator[FoundModel]:
    for name in ("cfg", "weights_names"):
        if getattr(options, name):
            raise OptionsError(f"{name}: goes with a Darknet .weights file; leave it or zoo out")
    zoo = options.zoo or os.environ.get(ZOO_VARIABLE, "")
    if not zoo:
        raise OptionsError(f"zoo: {text} is a name in a zoo; say where that lies, or set {ZOO_VARIABLE}")
    name, _, inner = text.removeprefix(ZOO_SCHEME).partition("/")
    if inner and options.version:
        raise OptionsError(f"version: {text} names version {inner} itself; leave one of them out")
    home = model_of_zoo(zoo, name)
    if isinstance(home, BarePair):
        if inner or options.version:
            raise OptionsError(f"version: {name} is a bare pair of cfg and weights, which has none; leave it out")
        files = (existing_path(each, what=each) for each in (home.cfg, home.weights, home.names))
        with _of_files(*files, name=name) as found:
            yield found
        return
    version = chosen_version(home, inner or options.version)
    if not is_s3(zoo):
        yield _of_bundle(Path(home.bundle(version)), f"{name} {version}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        _, bundle = fetch_version(zoo, name, version, Path(scratch) / "bundle")
        yield _of_bundle(bundle, f"{name} {version}")


@contextlib.contextmanager
def _of_pair(path: Path, options: ModelOptions) -> Iterator[FoundModel]:
    """A Darknet pair as a model folder of links."""
    pair = find_pair(path, cfg=options.cfg, weights_names=options.weights_names)
    with _of_files(pair.cfg, pair.weights, pair.names, name=pair.weights.name) as found:
        yield found


@contextlib.contextmanager
def _of_files(cfg: Path, weights: Path, names: Path, *, name: str) -> Iterator[FoundModel]:
    with tempfile.TemporaryDirectory() as scratch:
        for inner, file in ((CFG_NAME, cfg), (WEIGHTS_NAME, weights), (CLASSES_NAME, names)):
            (Path(scratch) / inner).symlink_to(file.absolute())
        yield FoundModel(ModelFolder.open(scratch), name, None, "")
