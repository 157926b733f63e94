"""What INT8 costs with and without training, and what a teacher gives a network of half the filters."""

import json
import os
import statistics
from pathlib import Path
from typing import Any

from cases import Case, Place

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.export.export_model import export_model
from traffic_yolo.quantization.options import QuantizeOptions
from traffic_yolo.quantization.quantize import quantize

MOST_LOST = 0.005  # AP, of INT8 after training, below the float weights of that training


def measure_qat(place: Place) -> dict[str, Any]:
    """AP on test of float32, INT8 and INT8 after training; the trained file is the one that is always judged."""
    exported, folder = place.folder / "exported", place.folder / "quantised"
    if not exported.is_dir():
        export_model(place.before(), exported, dataset=place.dataset)
    if not folder.is_dir():
        options = QuantizeOptions(
            split="test",
            keep_float="0",
            fp16=False,
            max_ap_drop=1.0,
            train=place.case.qat,
            seed=place.seed,
            calibration_pictures=64,
        )
        quantize(exported, place.dataset, folder, options)
    document = json.loads((folder / "quantization.json").read_text())
    return {"settings": {row["name"]: row["precision"] for row in document["settings"]}}


def qat_text(row: dict[str, Any], case: Case) -> str:
    """A row for people, and whether it reaches its target: INT8 against the float weights of the same training."""
    settings = row["settings"]
    found = ", ".join(f"{name} {each['ap']:.4f}" for name, each in settings.items())
    return f"AP of {found}: {'reached' if _lost(row) <= MOST_LOST else 'MISSED'}"


def qat_summary(rows: list[dict[str, Any]], case: Case) -> str:
    """The seeds together."""
    lost = statistics.mean(map(_lost, rows))
    word = "reached" if lost <= MOST_LOST else "MISSED"
    return f"trained INT8 is {lost:+.4f} AP below float32, trained as long, in the mean of {len(rows)} seeds: {word}"


def _lost(row: dict[str, Any]) -> float:
    settings = row["settings"]
    return float(settings["float32, trained"]["ap"] - settings["int8, trained"]["ap"])


def measure_teacher(place: Place) -> dict[str, Any]:
    """AP50 on test of a student with a teacher and without, and of the teacher."""
    before = place.before()
    cfg = half_as_wide(before / "model.cfg", place.folder / "half.cfg")
    found = {}
    for name, teacher in (("alone", ""), ("taught", str(before)), ("teacher", None)):
        run = before
        if teacher is not None:
            run = place.trained(name, {"cfg": str(cfg)}, place.case.student, teacher=teacher)
        evaluated = evaluate(run, place.dataset, place.folder / f"evaluated-{name}-{os.getpid()}", split="test")
        found[name] = evaluated.scalars["ap50"]
    return {"ap50": found}


def teacher_text(row: dict[str, Any], case: Case) -> str:
    """A row for people; there is no target."""
    return "AP50 of " + ", ".join(f"{name} {value:.3f}" for name, value in row["ap50"].items())


def teacher_summary(rows: list[dict[str, Any]], case: Case) -> str:
    """The seeds together."""
    gained = [row["ap50"]["taught"] - row["ap50"]["alone"] for row in rows]
    return f"a teacher moved AP50 by {statistics.mean(gained):+.3f} in the mean of {len(rows)} seeds"


def half_as_wide(cfg: Path, out: Path) -> Path:
    """The cfg with half the filters of each convolution but those before the heads."""
    text = Cfg.read(cfg).copy()
    for index, section in enumerate(text.layers):
        is_last = index + 1 < len(text.layers) and text.layers[index + 1].name == "yolo"
        if section.name == "convolutional" and not is_last:
            section.set("filters", max(4, section.get_int("filters", 1) // 2))
    text.write(out)
    return out
