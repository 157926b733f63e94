"""COCO's pictures as a data set, and a pair of published files evaluated on it as `darknet detector valid` would."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import traffic_yolo as ty
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import EvaluationError, StorageError
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, read_names
from traffic_yolo.registry.bare_zoo import BarePair
from traffic_yolo.storage import existing_path, sha256_of_file, write_json, write_text

ANNOTATIONS = ("annotations/instances_val2017.json", "instances_val2017.json", "instances_val.json")
PICTURES = ("val2017", "images/val2017", "images")
WHOLE = 5000  # pictures of val2017
NMS_OF_VALID = 0.6  # detector.c, validate_detector
# What Darknet's coco.names calls a class -> COCO's own name
OTHER_NAMES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted_plant",
    "diningtable": "dining_table",
    "tvmonitor": "tv",
}


@dataclass(frozen=True)
class Coco:
    """The data set, and how many of the annotated pictures it has."""

    path: Path
    pictures: int
    annotated: int


def coco_data_set(folder: Path, out: Path) -> Coco:
    """The pictures of a COCO folder that are there, converted into `out` once, all in the split test.

    Raises `StorageError` for a folder without annotations or pictures.
    """
    annotations = _first(folder, ANNOTATIONS, "annotations of val2017")
    pictures = _first(folder, PICTURES, "pictures of val2017")
    content = json.loads(annotations.read_text(encoding="utf-8"))
    there = [image for image in content["images"] if (pictures / Path(image["file_name"]).name).is_file()]
    if not there:
        raise StorageError(f"{pictures}: none of the pictures that {annotations} names; give COCO's folder")
    target = out / f"coco-{sha256_of_file(annotations)[:8]}-{len(there)}"
    if not target.is_dir():
        source = out / "source"
        source.mkdir(parents=True, exist_ok=True)
        link = source / "val2017"
        link.unlink(missing_ok=True)
        link.symlink_to(pictures.absolute())
        ids = {image["id"] for image in there}
        kept = [each for each in content["annotations"] if each["image_id"] in ids]
        named = [{**image, "file_name": Path(image["file_name"]).name} for image in there]
        write_json(source / "instances_val.json", {**content, "images": named, "annotations": kept})
        ty.convert(source / "instances_val.json", target, splits="test")
    return Coco(target, len(there), len(content["images"]))


def evaluated(pair: BarePair, coco: Coco, out: Path, **inference: Any) -> ty.Evaluated:
    """The evaluation of a pair, read where it was made before.

    Raises `EvaluationError` for names that are not COCO's, whatever is wrong with the files as everywhere.
    """
    if pair.problem:
        raise EvaluationError(f"{pair.weights}: {pair.problem} lies beside it")
    cfg, weights, names = (existing_path(each, what="file") for each in (pair.cfg, pair.weights, pair.names))
    classes = DataSet.open(coco.path).classes
    check_names(read_names(names), classes, str(names))
    runtime = "-".join(str(value) for value in inference.values())
    key = f"{weights.stem}-{sha256_of_file(weights)[:8]}-{sha256_of_file(cfg)[:8]}{runtime and f'-{runtime}'}"
    target = out / "evaluations" / coco.path.name / key
    if target.is_dir():
        return ty.Evaluated.open(target)
    model = out / "models" / key
    model.mkdir(parents=True, exist_ok=True)
    for name, file in ((CFG_NAME, cfg), (WEIGHTS_NAME, weights)):
        (model / name).unlink(missing_ok=True)
        (model / name).symlink_to(file.absolute())
    write_text(model / CLASSES_NAME, "".join(f"{name}\n" for name in classes))
    return ty.evaluate(model, coco.path, target, **nms_of_valid(Cfg.read(cfg)), **inference)


def nms_of_valid(cfg: Cfg) -> dict[str, Any]:
    """The NMS of `detector valid`: at 0.6, of the kind that the last head names."""
    heads = [section for section in cfg.layers if section.name in ("yolo", "Gaussian_yolo", "region")]
    kind = heads[-1].get_str("nms_kind", "default") if heads else "default"
    return {
        "iou_threshold": NMS_OF_VALID,
        "kind": kind if kind in ("greedynms", "diounms") else "default",
        "beta": heads[-1].get_float("beta_nms", 0.6) if heads else 0.6,
        "max_detections": 10_000,  # Darknet knows no limit; COCO counts a hundred
    }


def check_names(names: Sequence[str], classes: Sequence[str], where: str) -> None:
    """Raises `EvaluationError` unless a model's names are COCO's classes in their order, in Darknet's words or COCO's."""
    same = [OTHER_NAMES.get(name, name.replace(" ", "_")) for name in names]
    for number, (found, expected) in enumerate(zip(same, classes, strict=False), start=1):
        if found != expected:
            raise EvaluationError(f"{where} line {number}: expected COCO's {expected}, found {names[number - 1]}")
    if len(same) != len(classes):
        raise EvaluationError(f"{where}: expected COCO's {len(classes)} classes, found {len(same)}")


def _first(folder: Path, names: Sequence[str], what: str) -> Path:
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise StorageError(f"{folder}: {what} not found; expected one of {', '.join(names)}")
    return found
