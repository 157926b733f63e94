"""Runs the accuracy benchmark: `python tests/benchmarks/accuracy [field=value,value ...]`; see `cells.selected`.

`coco-drift` in place of a selection measures the one thing that is no cell; see `coco_drift`.

Each cell is one line of `cells.jsonl` in the results folder (`--out`); a run goes on where an earlier one stopped, and
only lacks what the selection leaves out. `--table` prints what is there and measures nothing.
"""

import argparse
import json
import logging
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from cells import BINARY, SITES, Cell, grid, selected  # noqa: E402  (the folder is no package)
from coco_drift import NAME as COCO_DRIFT  # noqa: E402
from coco_drift import drift, write  # noqa: E402
from darknet_binary import darknet_binary  # noqa: E402
from measure import Workplace, measure  # noqa: E402
from table import lines, markdown  # noqa: E402

DEFAULT_OUT = Path("build/accuracy")


def read_done(path: Path) -> dict[Cell, dict[str, float]]:
    """The cells that were measured; a last line that a kill cut off does not count."""
    done: dict[Cell, dict[str, float]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        done[Cell(**entry.pop("cell"))] = entry
    return done


def main() -> int:
    """Measures what is selected and not there yet, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("selection", nargs="*", metavar="field=values")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="results folder")
    parser.add_argument("--table", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    default = FOLDER.parents[2].parent / "shared" / "reference"
    reference = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", default))
    if not reference.is_dir():
        parser.error(f"reference material not found at {reference}; set TRAFFIC_YOLO_REFERENCE")
    logging.disable(logging.INFO)
    os.environ.setdefault("TRAFFIC_YOLO_PROGRESS", "0")
    if arguments.selection == [COCO_DRIFT]:
        arguments.out.mkdir(parents=True, exist_ok=True)
        found = drift(Workplace(arguments.out, reference))
        write(found, arguments.out)
        print(found.text)
        return 0
    try:
        wanted = selected(" ".join(arguments.selection))
    except ValueError as error:
        parser.error(str(error))
    done = read_done(arguments.out / "cells.jsonl")
    missing = [] if arguments.table else [cell for cell in wanted if cell not in done]
    if any(cell.recipe == BINARY for cell in missing):
        try:
            darknet_binary()
        except ValueError as error:
            parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    place = Workplace(arguments.out, reference)
    for number, cell in enumerate(missing, start=1):
        started = time.monotonic()
        entry = measure(cell, place, arguments.out / f"{cell.key}.npz")
        done[cell] = entry
        with (arguments.out / "cells.jsonl").open("a") as file:
            file.write(json.dumps({"cell": asdict(cell), **entry}) + "\n")
        print(f"{number}/{len(missing)} {cell.key}: {time.monotonic() - started:.0f} s", flush=True)
    shown = wanted if arguments.selection else list(grid())
    chosen = {cell: entry for cell, entry in done.items() if not arguments.selection or cell in set(wanted)}
    bases = {cell: entry for cell, entry in done.items() if cell.iterations == 0}
    sites = [site for site in SITES if any(cell.site == site for cell in shown)]
    print(f"sites {', '.join(sites)}")
    print(markdown(lines({**bases, **chosen}, arguments.out, place.judged(), sites), shown))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
