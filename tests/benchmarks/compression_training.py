"""What a teacher gains and what INT8 costs with and without training: `python tests/benchmarks/compression_training.py`.

qat: a model is trained, then quantised with every convolution but the last in INT8, without training and with it; AP on
the held-out site beside float32. Target: the trained file within .005 of float32. teacher: a network of half the
filters is trained from nothing with the first model as its teacher, and without; AP50 on the held-out site. A row that
is there already in `--out` is not measured again.
"""

import argparse
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.export.export_model import export_model
from traffic_yolo.quantization.options import QuantizeOptions
from traffic_yolo.quantization.quantize import quantize
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

MOST_LOST = 0.005  # AP, of INT8 after training
KINDS = ("qat", "teacher")


@dataclass(frozen=True)
class Case:
    """A network: updates of its training, of the one that feels INT8, and of a student (0: none)."""

    name: str
    first: int
    qat: int
    student: int


CASES = {each.name: each for each in (Case("demo", 600, 200, 600), Case("yolo-fastest", 200, 100, 0))}


def data_of(case: Case, out: Path, reference: Path) -> Path:
    """The data set, converted once: validation and test are a site each."""
    folder = out / f"{case.name}-dataset"
    if folder.is_dir():
        return folder
    source, labels, sites = reference / "traffic" / "recordings", reference / "traffic" / "human_labels.json", "CF"
    if case.name == "demo":
        write_share(out / "nas", SyntheticOptions())
        source, labels, sites = out / "nas" / "recordings", out / "nas" / "human_labels.json", "DE"
    convert(ConvertOptions(str(source), labels=str(labels), val_sites=sites[0], test_sites=sites[1]), folder)
    return folder


def start_of(case: Case, reference: Path) -> dict[str, Any]:
    """Of the first training: nothing but the demo's cfg, or COCO's weights."""
    weights = reference / "weights"
    if case.name == "demo":
        return {}
    return {
        "cfg": str(weights / "yolo-fastest-1.1.cfg"),
        "weights": str(weights / "yolo-fastest-1.1.weights"),
        "weights_names": str(weights / "coco.names"),
        "class_seeds": "BUS=bus,TRUCK=truck,CAR=car,MOTORCYCLE=motorbike",
    }


def trained(dataset: Path, run: Path, **options: Any) -> Path:
    """A training run; one that is there already is taken."""
    if not (run / "summary.json").is_file():
        train(dataset, run, TrainingOptions(**options), resume="auto")
    return run


def half_as_wide(cfg: Path, out: Path) -> Path:
    """The cfg with half the filters of each convolution but those before the heads."""
    text = Cfg.read(cfg).copy()
    for index, section in enumerate(text.layers):
        is_last = index + 1 < len(text.layers) and text.layers[index + 1].name == "yolo"
        if section.name == "convolutional" and not is_last:
            section.set("filters", max(4, section.get_int("filters", 1) // 2))
    text.write(out)
    return out


def measure_qat(case: Case, seed: int, dataset: Path, place: Path, before: Path) -> dict[str, Any]:
    """AP on test of float32, INT8 and INT8 after training; the trained file is the one that is always judged."""
    if not (place / "exported").is_dir():
        export_model(before, place / "exported", dataset=dataset)
    folder = place / "quantised"
    if not folder.is_dir():
        options = QuantizeOptions(
            split="test",
            keep_float="0",
            fp16=False,
            max_ap_drop=1.0,
            train=case.qat,
            seed=seed,
            calibration_pictures=64,
        )
        quantize(place / "exported", dataset, folder, options)
    document = json.loads((folder / "quantization.json").read_text())
    found = {row["name"]: row["precision"] for row in document["settings"]}
    lost = found["float32"]["ap"] - found["int8, trained"]["ap"]
    return {"settings": found, "ap_lost": lost, "reached": lost <= MOST_LOST}


def measure_teacher(case: Case, seed: int, dataset: Path, place: Path, before: Path) -> dict[str, Any]:
    """AP50 on test of a student with a teacher and without, and of the teacher."""
    cfg = half_as_wide(before / "model.cfg", place / "half.cfg")
    found = {}
    for name, teacher in (("alone", ""), ("taught", str(before)), ("teacher", None)):
        run = before if teacher is None else trained(
            dataset, place / name, cfg=str(cfg), max_batches=case.student, teacher=teacher, seed=seed
        )  # fmt: skip
        evaluated = evaluate(run, dataset, place / f"evaluated-{name}-{os.getpid()}", split="test")
        found[name] = evaluated.scalars["ap50"]
    return {"ap50": found, "gain": found["taught"] - found["alone"]}


def main() -> None:
    """Measures what is asked for and prints a row of JSON for each."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=sorted(CASES), action="append")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/compression-training"))
    arguments = parser.parse_args()
    reference = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", "../shared/reference"))
    for case in (CASES[name] for name in arguments.network or CASES):
        if case.name != "demo" and not reference.is_dir():
            print(f"{case.name}: skipped, no {reference} (TRAFFIC_YOLO_REFERENCE)")
            continue
        dataset = data_of(case, arguments.out, reference)
        for seed in range(arguments.seeds):
            place = arguments.out / f"{case.name}-{seed}"
            before = trained(dataset, place / "before", **start_of(case, reference), max_batches=case.first, seed=seed)
            for kind in arguments.kind or KINDS:
                if kind == "teacher" and not case.student:
                    continue
                file = place / f"{kind}.json"
                if not file.is_file():
                    row = (measure_qat if kind == "qat" else measure_teacher)(case, seed, dataset, place, before)
                    told = {"network": case.name, "seed": seed, "kind": kind, **row, "load": os.getloadavg()[0]}
                    file.write_text(json.dumps(told) + "\n")
                print(file.read_text(), end="", flush=True)


if __name__ == "__main__":
    main()
