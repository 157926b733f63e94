"""A folder of Darknet pairs as people keep them by hand: read as a zoo without versions, never written to.

`<folder>/yolov4-tiny.cfg .weights .names`, or a folder for each model, `<folder>/yolov4-tiny/…`. File names may differ:
what belongs to a `.weights` file is found beside it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from traffic_yolo.errors import ModelError, OptionsError, StorageError
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.registry.homes import homes, open_home
from traffic_yolo.registry.model_home import MODEL_NAME, ModelHome, check_zoo
from traffic_yolo.storage import AnyPath, exists, is_s3, join, list_files, output_path

WEIGHTS_SUFFIX, CFG_SUFFIX, NAMES_SUFFIX = ".weights", ".cfg", ".names"
_TRAINING = re.compile(r"_(best|last|final|\d+)$")  # detector.c, train_detector
_SUFFIXES = (WEIGHTS_SUFFIX, CFG_SUFFIX, NAMES_SUFFIX)


@dataclass(frozen=True)
class BarePair:
    """Where a model's files lie; `cfg` and `names` are "" where none, or several, could be meant.

    `name`: that of the folder where it holds one `.weights` file alone, else the `.weights` file's.
    """

    name: str
    weights: str
    cfg: str
    names: str

    @property
    def problem(self) -> str:
        """Why it cannot be read; "" where nothing stands against it."""
        missing = [what for what, found in (("cfg", self.cfg), ("class names", self.names)) if not found]
        return f"no {' and no '.join(missing)} that is clearly its own" if missing else ""

    def as_dict(self) -> dict[str, str | None]:
        """Plain values, as `zoo list --json` writes them."""
        return {
            "model": self.name,
            "version": None,
            "state": "pair",
            "cfg": self.cfg or None,
            "weights": self.weights,
            "names": self.names or None,
            "problem": self.problem or None,
        }


def bare_pairs(zoo: AnyPath) -> list[BarePair]:
    """The pairs in a folder and in the folders right below it, by name; `StorageError` where there is no such folder.

    Of two with one name, each is named `folder/file` and can be given by its path alone.
    """
    check_zoo(zoo)
    files = [PurePosixPath(name) for name in _files_of(zoo)]
    by_folder: dict[PurePosixPath, list[PurePosixPath]] = {}
    for file in files:
        by_folder.setdefault(file.parent, []).append(file)
    top = by_folder.get(PurePosixPath("."), [])
    pairs = []
    for folder, beside in by_folder.items():
        weights = [file for file in beside if file.suffix == WEIGHTS_SUFFIX]
        for each in weights:
            name = folder.name if folder.name and len(weights) == 1 else each.stem
            cfg = _companion(each, beside, CFG_SUFFIX)
            names = _companion(each, beside, NAMES_SUFFIX) or _only(top, NAMES_SUFFIX)
            pairs.append((name, each, _place(zoo, each), _place(zoo, cfg), _place(zoo, names)))
    count = {name: sum(other[0] == name for other in pairs) for name, *_ in pairs}
    return sorted(
        (
            BarePair(name if count[name] == 1 else str(file.with_suffix("")), weights, cfg, names)
            for name, file, weights, cfg, names in pairs
        ),
        key=lambda pair: pair.name,
    )


def pairs_text(pairs: Iterable[BarePair]) -> str:
    """A line for each pair, for a terminal: its files' names, or why it cannot be read."""
    lines = ["bare pairs, read only: predict, import-model and ty.load take them by name"]
    for pair in pairs:
        files = [PurePosixPath(each).name for each in (pair.weights, pair.cfg, pair.names) if each]
        problem = f"  ({pair.problem})" if pair.problem else ""
        lines.append(f"{pair.name:<24}  {'  '.join(files)}{problem}")
    return "\n".join(lines)


def model_of_zoo(zoo: AnyPath, name: str) -> ModelHome | BarePair:
    """The model `name` of a zoo, or the bare pair of that name; `ModelError` naming those that are there otherwise.

    A model with versions comes first. Raises `ModelError` too for a pair without a cfg or names of its own.
    """
    if MODEL_NAME.fullmatch(name):
        home = open_home(zoo, name)
        if home.versions():
            return home
    pairs = bare_pairs(zoo)
    found = next((pair for pair in pairs if pair.name == name), None)
    if found is None:
        known = shown_names([*(each.name for each in homes(zoo)), *(pair.name for pair in pairs)], most=20)
        raise ModelError(f"{zoo}: no model {shown(name)}; found {known or 'none'}")
    if found.problem:
        raise ModelError(
            f"{found.weights}: {found.problem} lies beside it; give its files by name: the .weights, cfg, weights_names"
        )
    return found


def check_no_bare_zoo(zoo: AnyPath) -> None:
    """Raises `OptionsError` for a folder of bare pairs without a published model: people keep it by hand.

    A folder that is not there, or that holds neither, is the beginning of a zoo.
    """
    if not exists(zoo) or homes(zoo):
        return
    if pairs := bare_pairs(zoo):
        names = shown_names([pair.name for pair in pairs], most=3)
        raise OptionsError(
            f"zoo: {zoo} holds bare pairs of cfg and weights ({names}) and is only read; publish to another folder"
        )


def _files_of(zoo: AnyPath) -> Iterable[str]:
    """The cfg, weights and names files of a folder and of those right below it, as relative names."""
    if is_s3(zoo):
        names = [file.name for file in list_files(zoo).files]
        return [name for name in names if name.count("/") < 2 and name.endswith(_SUFFIXES)]
    root = output_path(zoo)
    found: list[str] = []
    try:
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():  # a bundle lies deeper
                below = sorted(inner.name for inner in os.scandir(entry) if inner.is_file())
                found += [f"{entry.name}/{name}" for name in below if name.endswith(_SUFFIXES)]
            elif entry.name.endswith(_SUFFIXES):
                found.append(entry.name)
    except OSError as error:
        raise StorageError(f"{root}: the model zoo cannot be read: {error.strerror or error}") from error
    return found


def _companion(weights: PurePosixPath, beside: list[PurePosixPath], suffix: str) -> PurePosixPath | None:
    """The file beside a `.weights` file that is its own, None where that is not clear.

    It has the same stem, or that without what Darknet appends while it trains (`yolov4-tiny_best.weights`), or it is
    the only one there. No other likeness counts: yolov4-csp-swish.weights fit yolov4-csp.cfg to the byte, and find
    nothing by it; so the only cfg is taken for the only weights alone.
    """
    stems = {file.stem: file for file in beside if file.suffix == suffix}
    for stem in (weights.stem, _TRAINING.sub("", weights.stem)):
        if stem in stems:
            return stems[stem]
    if suffix == CFG_SUFFIX and _only(beside, WEIGHTS_SUFFIX) is None:
        return None
    return _only(beside, suffix)


def _only(files: list[PurePosixPath], suffix: str) -> PurePosixPath | None:
    found = [file for file in files if file.suffix == suffix]
    return found[0] if len(found) == 1 else None


def _place(zoo: AnyPath, file: PurePosixPath | None) -> str:
    return "" if file is None else join(str(zoo), str(file))
