"""What smaller models save and cost: `python tests/benchmarks/compression [--network NAME] [--kind KIND] [--seeds 3] ...`.

prune: a model is trained, pruned to a share of its BFLOPs, and trained on; the whole one is trained on for as many
updates, and the two are judged on the same held-out site, paired. qat: the trained model with every convolution but the
last in INT8, without training and with it, beside float32. teacher: a network of half the filters, trained from nothing
with the first model as its teacher, and without.

All start from one first training of a seed. A row that is there already in `--out` is not measured again. Targets:
docs/compression.md.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

import pruning  # noqa: E402  (the folder is no package)
import trained_otherwise  # noqa: E402
from cases import CASES, Case, Place, place_of  # noqa: E402

from traffic_yolo.compression.options import AUTO, IMPORTANCES  # noqa: E402

DEFAULT_OUT = Path("build/compression")


class Kind(NamedTuple):
    """What can be measured: a row of a seed, and how a row and all of them read."""

    measure: Callable[[Place], dict[str, Any]]
    text: Callable[[dict[str, Any], Case], str]
    summary: Callable[[list[dict[str, Any]], Case], str]


KINDS = {
    "prune": Kind(pruning.measure, pruning.text, pruning.summary),
    "qat": Kind(trained_otherwise.measure_qat, trained_otherwise.qat_text, trained_otherwise.qat_summary),
    "teacher": Kind(
        trained_otherwise.measure_teacher, trained_otherwise.teacher_text, trained_otherwise.teacher_summary
    ),
}


def row_of(case: Case, seed: int, kind: str, out: Path, reference: Path, importance: str) -> dict[str, Any]:
    """The row of the results folder, measured where it is not there."""
    path = out / "rows.jsonl"
    told = {
        "network": case.name,
        "seed": seed,
        "updates": [case.first, case.then, case.qat, case.student],
        "kind": kind,
        **({"importance": importance} if kind == "prune" else {}),
    }
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        if told.items() <= row.items():
            return dict(row)
    found = KINDS[kind].measure(place_of(case, seed, out, reference, importance))
    row = {**told, **found, "load": os.getloadavg()[0]}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    return row


def main() -> int:
    """Measures what is not there yet, and prints all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=tuple(CASES), action="append", help="by default both")
    parser.add_argument("--kind", choices=tuple(KINDS), action="append", help="by default all")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--seed", type=int, action="append", help="this one alone: several can run beside one another")
    parser.add_argument("--updates", type=int, help="of the first training, the others in proportion")
    parser.add_argument("--importance", choices=IMPORTANCES, default=AUTO, help="of pruning")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="results folder")
    arguments = parser.parse_args()
    default = FOLDER.parents[2].parent / "shared" / "reference"
    reference = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", default))
    logging.disable(logging.INFO)
    os.environ.setdefault("TRAFFIC_YOLO_PROGRESS", "0")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.network or CASES:
        case = CASES[name].with_updates(arguments.updates or CASES[name].first)
        if name != "demo" and not reference.is_dir():
            print(f"{name}: skipped, no reference material at {reference} (TRAFFIC_YOLO_REFERENCE)")
            continue
        for kind in arguments.kind or KINDS:
            if kind == "teacher" and not case.student:
                continue
            rows = []
            for seed in arguments.seed or range(arguments.seeds):
                rows.append(row_of(case, seed, kind, arguments.out, reference, arguments.importance))
                load = rows[-1]["load"]
                print(f"{name}, {kind}, seed {seed}: {KINDS[kind].text(rows[-1], case)}; load {load:.0f}", flush=True)
            print(f"{name}, {kind}: {KINDS[kind].summary(rows, case)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
