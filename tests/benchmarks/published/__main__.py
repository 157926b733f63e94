"""Evaluates published weights on COCO and sets their numbers beside the published ones.

`TRAFFIC_YOLO_WEIGHTS`: a folder of cfg + weights pairs (`traffic-yolo fetch` makes one). `TRAFFIC_YOLO_COCO`: COCO's folder with
`annotations/instances_val2017.json` and `val2017/`; pictures that are missing are left out, and the table says so. An evaluation that is
there already is read, so that a run goes on where an earlier one stopped.
"""

import argparse
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from comparison import Line, line_of, markdown  # noqa: E402  (the folder is no package)
from measured import coco_data_set, evaluated  # noqa: E402

from traffic_yolo.entry_point import one_line_errors  # noqa: E402
from traffic_yolo.errors import TrafficYoloError  # noqa: E402
from traffic_yolo.published_weights import published_models  # noqa: E402
from traffic_yolo.registry.bare_zoo import bare_pairs  # noqa: E402
from traffic_yolo.storage import existing_path, sha256_of_file, write_text  # noqa: E402

DEFAULT_OUT = Path("build/published")
DEFAULT_REFERENCE = FOLDER.parents[2].parent / "shared" / "reference"


def main(arguments: list[str] | None = None) -> int:
    """Evaluates what is chosen and not there yet, prints the table and writes it to `table.md`."""
    reference = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", DEFAULT_REFERENCE))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of pairs; by default all")
    parser.add_argument("--weights", default=os.environ.get("TRAFFIC_YOLO_WEIGHTS", str(reference / "weights")))
    parser.add_argument("--coco", type=Path, default=Path(os.environ.get("TRAFFIC_YOLO_COCO", reference / "coco")))
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="results folder")
    parser.add_argument("--runtime", default="pytorch", help="as of evaluate")
    parser.add_argument("--device", default="auto", help="as of evaluate")
    options = parser.parse_args(arguments)
    with one_line_errors():
        pairs = [pair for pair in bare_pairs(options.weights) if pair.name in options.models or not options.models]
        if unknown := set(options.models) - {pair.name for pair in pairs}:
            parser.error(f"{options.weights}: no pair {sorted(unknown)[0]!r}")
        if not pairs:
            parser.error(f"{options.weights}: no pair of cfg and weights; set TRAFFIC_YOLO_WEIGHTS")
        coco = coco_data_set(options.coco, options.out)
        lines: list[Line] = []
        failed: dict[str, str] = {}
        for pair in pairs:
            try:
                found = evaluated(pair, coco, options.out, runtime=options.runtime, device=options.device)
            except TrafficYoloError as error:  # a foreign pair must not keep the others from being measured
                failed[pair.name] = f"not measured: {error}"
                continue
            sha256 = sha256_of_file(existing_path(pair.weights, what="weights"))
            lines.append(line_of(pair.name, found.record, sha256, published_models()))
        text = markdown(lines, pictures=coco.pictures, failed=failed)
        write_text(options.out / "table.md", text + "\n")
        print(text)
    return 0 if lines else 1


if __name__ == "__main__":
    raise SystemExit(main())
