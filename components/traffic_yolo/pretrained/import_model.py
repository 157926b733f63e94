"""Makes a model folder of a model that is there already, its heads cut to the classes of a data set.

A head scores each class by itself, so a network without the rows of some classes gives the others the very same boxes
and scores: a model of COCO's 80 classes can be judged on five.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.class_pairs import read_class_pairs
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery import change_classes, change_input_size, class_parents, keep_schedule
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.export.export_model import OPTIONS_NAME, TOLD_BY_TRAINING, export_model
from traffic_yolo.messages import shown_names
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, EXPORT_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.pretrained.options import OF_DARKNET, ModelChoice
from traffic_yolo.registry.bare_zoo import BarePair, model_of_zoo
from traffic_yolo.registry.zoo_fetch import fetch_version
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    existing_path,
    output_path,
    read_json,
    sha256_of_file,
    shown,
    write_json,
    write_text,
)
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn

IMPORT_NAME = "import.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ImportedModel:
    """The model folder, and what it was made of.

    `origin`: a line for people. `judged`: pairs of a data set's class and the model's that stands for it, empty where
    the classes were left as they are. `weights_sha256`: of the model folder's weights.
    """

    path: Path
    origin: str
    judged: tuple[tuple[str, str], ...]
    weights_sha256: str

    @property
    def text(self) -> str:
        """A few lines for people."""
        lines = [f"{self.path}: {self.origin}"]
        if self.judged:
            lines.append("classes: " + ", ".join(new if new == old else f"{new}={old}" for new, old in self.judged))
        shared = sorted({old for _, old in self.judged if [o for _, o in self.judged].count(old) > 1})
        if shared:
            lines.append(
                f"note: {shown_names(shared)} stands for several classes; each of its boxes is one of all of them, and "
                f"wrong for all but one"
            )
        return "\n".join(lines)


def import_model(choice: ModelChoice, out: AnyPath, *, dataset: AnyPath | None = None) -> ImportedModel:
    """Writes the model folder `out` of the model that `choice` names; it appears whole or not at all.

    `dataset`: the classes to be judged, in the order of the model where they are the same ones; and pictures on which
    the ONNX file is compared. Without it, classes are left alone. What the weights have seen goes along.

    Raises `EvaluationError` for a class of the data set that no class of the model stands for, `ModelError` and
    `DarknetFormatError` for files that do not fit each other, a version that is not there or damaged.
    """
    target = output_path(out)
    classes = None if dataset is None else DataSet.open(dataset).classes
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-") as scratch:
        source, origin, made_of, is_bundle = _source(choice, Path(scratch))
        model = ModelFolder.open(source)
        judged = _judged(choice, model.classes, classes)
        height, width = model.network_hw
        wanted_wh = (choice.width or width, choice.height or height)
        made_of |= {"judged": dict(judged), "network": {"width": wanted_wh[0], "height": wanted_wh[1]}}
        is_changed = bool(judged) or wanted_wh != (width, height)
        if is_changed:
            weights = "" if is_bundle else made_of["weights"]
            source = _changed(model, judged, wanted_wh, Path(scratch, "changed"), origin=weights)
        if is_changed or not is_bundle:  # a bundle is a model folder already, with an ONNX file that was checked
            source = export_model(source, Path(scratch, "exported"), dataset=dataset).path
        with atomic_folder(target) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            write_json(folder / IMPORT_NAME, {"schema_version": SCHEMA_VERSION, **made_of})
    return ImportedModel(target, origin, judged, sha256_of_file(target / WEIGHTS_NAME))


def _source(choice: ModelChoice, scratch: Path) -> tuple[Path, str, dict[str, Any], bool]:
    """A folder with the Darknet pair and the names, a line about it, the same as values, and whether it is a bundle."""
    found = model_of_zoo(choice.zoo, choice.model_name) if choice.zoo else None
    if isinstance(found, BarePair):
        if choice.version:
            raise OptionsError(
                f"version: {choice.model_name} is a bare pair of cfg and weights, which has none; leave it out"
            )
        given = {"cfg": found.cfg, "weights": found.weights, "weights_names": found.names}
        return *_of_files(given, scratch), False
    if found is not None:
        version, bundle = fetch_version(choice.zoo, choice.model_name, choice.version, scratch / "bundle")
        made_of: dict[str, Any] = {"zoo": choice.zoo, "model_name": choice.model_name, "version": version}
        made_of["weights_sha256"] = sha256_of_file(bundle / WEIGHTS_NAME)
        return bundle, f"{choice.model_name} {version} of {shown(choice.zoo)}", made_of, True
    return *_of_files({name: getattr(choice, name) for name in OF_DARKNET}, scratch), False


def _of_files(given: Mapping[str, str], scratch: Path) -> tuple[Path, str, dict[str, Any]]:
    """A folder with copies of the files that `given` names by option."""
    folder = scratch / "files"
    folder.mkdir()
    named = {"cfg": CFG_NAME, "weights": WEIGHTS_NAME, "weights_names": CLASSES_NAME}
    made_of: dict[str, Any] = {}
    for option, name in named.items():
        path = existing_path(given[option], what=option)
        shutil.copyfile(path, folder / name)
        made_of |= {option: given[option], f"{option}_sha256": sha256_of_file(folder / name)}
    return folder, f"{shown(given['weights'])} with {shown(given['cfg'])}", made_of


def _judged(choice: ModelChoice, old: Sequence[str], new: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """(class of the data set, the model's class that stands for it); none where the classes are the same ones."""
    seeds = read_class_pairs(choice.class_seeds, option="class_seeds", form="new=old")
    if new is None or (set(new) == set(old) and not seeds):
        return ()
    found = class_parents(len(old), old, new, renames={}, seeds=seeds)
    if lost := [name for name, parent in zip(new, found, strict=True) if parent is None]:
        raise EvaluationError(
            f"no class of the model stands for {shown_names(lost)} of the data set; the model has {shown_names(old)}: "
            f"name one by class_seeds ({lost[0]}=…), or convert without (class_map: drop or ignore)"
        )
    return tuple((name, old[parent]) for name, parent in zip(new, found, strict=True) if parent is not None)


def _changed(
    model: ModelFolder, judged: Sequence[tuple[str, str]], wanted_wh: tuple[int, int], folder: Path, *, origin: str
) -> Path:
    """The model with other heads and another input size, and all that is known of its training.

    `origin`: what its weights file was called, where that is not in the folder's own name.
    """
    cfg = change_input_size(Cfg.read(model.cfg_path), wanted_wh)
    folder.mkdir()
    for name in TOLD_BY_TRAINING:
        if (model.path / name).is_file():
            shutil.copyfile(model.path / name, folder / name)
    if judged:
        network = Network.read(cfg, model.weights_path).eval()
        names = [new for new, _ in judged]
        changed = change_classes(network, model.classes, names, seeds={new: old for new, old in judged if new != old})
        keep_schedule(cfg, changed.cfg)
        changed.cfg.write(folder / CFG_NAME)
        changed.save_weights(folder / WEIGHTS_NAME)
        write_text(folder / CLASSES_NAME, "".join(f"{name}\n" for name in names))
        if not (folder / TRAINED_ON_NAME).is_file():
            # Public weights are known by the hash of their file, which is another one now
            name = Path(origin or WEIGHTS_NAME).name
            TrainedOn("", (), (), name, model.sha256(WEIGHTS_NAME)).write(folder / TRAINED_ON_NAME)
    else:
        cfg.write(folder / CFG_NAME)
        shutil.copyfile(model.weights_path, folder / WEIGHTS_NAME)
        shutil.copyfile(model.names_path, folder / CLASSES_NAME)
    training = _training(model.path)
    if training:
        write_text(folder / OPTIONS_NAME, yaml.safe_dump(training, sort_keys=False, allow_unicode=True))
    return folder


def _training(folder: Path) -> Any:
    """The options of a training of ours, which a bundle keeps in its export record; None where there was none."""
    path = folder / EXPORT_NAME
    return read_json(path, what="export record").get("training") if path.is_file() else None
