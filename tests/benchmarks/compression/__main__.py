"""What pruning saves and costs: `python tests/benchmarks/compression [--network demo|yolo-fastest] [--seeds 3] ...`.

For each seed a model is trained, pruned to a share of its BFLOPs, and trained on; the unpruned one is trained on for as
many updates. The two are judged on the same held-out site, paired. A row that is there already in `--out` is not
measured again. Targets: docs/compression.md.
"""

import argparse
import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.prune import prune
from traffic_yolo.compression.report import compare_models
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

DEFAULT_OUT = Path("build/compression")


@dataclass(frozen=True)
class Case:
    """A network and its target: `saved` of the BFLOPs at a loss of AP50 below `lost` (its mean, or the lower end)."""

    name: str
    saved: float
    lost: float
    of: str
    first: int  # updates before pruning
    then: int  # updates after it


CASES = {
    "demo": Case("demo", saved=0.5, lost=0.01, of="value", first=600, then=600),
    "yolo-fastest": Case("yolo-fastest", saved=0.3, lost=0.02, of="low", first=200, then=200),
}


def data_of(case: Case, out: Path, reference: Path) -> Path:
    """The data set of a case, converted once: validation and test are a site each."""
    folder = out / f"{case.name}-dataset"
    if folder.is_dir():
        return folder
    if case.name == "demo":
        write_share(out / "nas", SyntheticOptions())
        source, labels = out / "nas" / "recordings", out / "nas" / "human_labels.json"
        convert(ConvertOptions(str(source), labels=str(labels), val_sites="D", test_sites="E"), folder)
        return folder
    traffic = reference / "traffic"
    options = ConvertOptions(
        str(traffic / "recordings"), labels=str(traffic / "human_labels.json"), val_sites="C", test_sites="E"
    )
    convert(options, folder)
    return folder


def start_of(case: Case, reference: Path) -> dict[str, Any]:
    """What the first training starts from: the demo's cfg, or COCO's weights."""
    if case.name == "demo":
        return {}
    weights = reference / "weights"
    return {
        "cfg": str(weights / "yolo-fastest-1.1.cfg"),
        "weights": str(weights / "yolo-fastest-1.1.weights"),
        "weights_names": str(weights / "coco.names"),
        "class_seeds": "BUS=bus,TRUCK=truck,CAR=car,MOTORCYCLE=motorbike",
    }


def trained(dataset: Path, out: Path, start: dict[str, Any], *, updates: int, seed: int) -> Path:
    """A training run folder; a run that is there already is taken."""
    if not (out / "summary.json").is_file():
        train(dataset, out, TrainingOptions(**start, max_batches=updates, seed=seed), resume="auto")
    return out


def files_of(folder: Path) -> dict[str, str]:
    """The options of a training that starts from a model folder."""
    names = {"cfg": "model.cfg", "weights": "model.weights", "weights_names": "classes.names"}
    return {key: str(folder / name) for key, name in names.items()}


def measure(case: Case, seed: int, out: Path, reference: Path) -> dict[str, Any]:
    """One row."""
    dataset, place = data_of(case, out, reference), out / f"{case.name}-{case.first}-{case.then}-{seed}"
    before = trained(dataset, place / "before", start_of(case, reference), updates=case.first, seed=seed)
    kept = trained(dataset, place / "kept", files_of(before), updates=case.then, seed=seed)
    if not (place / "pruned").is_dir():
        prune(before, place / "pruned", PruneOptions(prune_kind="regular", bflops_ratio=case.saved), dataset=dataset)
    smaller = trained(dataset, place / "smaller", files_of(place / "pruned"), updates=case.then, seed=seed)
    report = compare_models(kept, smaller, place / f"report-{time.strftime('%Y%m%d-%H%M%S')}", dataset=dataset)
    first, second = report.sizes
    moved = {each.name: each for each in report.differences}
    return {
        "network": case.name,
        "seed": seed,
        "updates": [case.first, case.then],
        "bflops_saved": 1 - second.bflops / first.bflops,
        **{
            name: [moved[name].first, moved[name].second, moved[name].difference.low, moved[name].difference.high]
            for name in ("ap", "ap50")
        },
        "latency_saved": {each.runtime: 1 - each.second / each.first for each in report.latencies},
        "load": os.getloadavg()[0],
    }


def text(row: dict[str, Any], case: Case) -> str:
    """A row for people, and whether it reaches its target."""
    first, second, low, high = row["ap50"]
    reached = (second - first if case.of == "value" else low) >= -case.lost
    latency = ", ".join(f"{name} {share:.0%}" for name, share in row["latency_saved"].items())
    enough = any(share >= row["bflops_saved"] / 2 for share in row["latency_saved"].values())
    return (
        f"{row['network']} seed {row['seed']} ({row['updates'][0]} + {row['updates'][1]} updates): BFLOPs saved "
        f"{row['bflops_saved']:.0%}, AP50 {first:.3f} -> {second:.3f} ({low:+.3f} to {high:+.3f}): "
        f"{'reached' if reached else 'MISSED'}; latency saved: {latency}: {'reached' if enough else 'MISSED'}; "
        f"load {row['load']:.0f}"
    )


def main() -> int:
    """Measures what is not there yet, and prints all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=tuple(CASES), action="append", help="by default both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, help="before and after pruning, in the place of the case's own")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="results folder")
    arguments = parser.parse_args()
    default = Path(__file__).parents[3].parent / "shared" / "reference"
    reference = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", default))
    logging.disable(logging.INFO)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for name in arguments.network or CASES:
        case = CASES[name]
        if arguments.updates:
            case = Case(case.name, case.saved, case.lost, case.of, arguments.updates, arguments.updates)
        if name == "yolo-fastest" and not reference.is_dir():
            print(f"yolo-fastest: skipped, no reference material at {reference} (TRAFFIC_YOLO_REFERENCE)")
            continue
        for seed in range(arguments.seeds):
            known = [row for row in rows if (row["network"], row["seed"], row["updates"]) ==
                     (name, seed, [case.first, case.then])]  # fmt: skip
            if not known:
                known = [measure(case, seed, arguments.out, reference)]
                with path.open("a") as file:
                    file.write(json.dumps(known[0]) + "\n")
            print(text(known[0], case), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
