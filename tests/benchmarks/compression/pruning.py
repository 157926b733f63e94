"""What pruning saves and costs: pruned and trained on, against the whole network trained on for as many updates.

Both train all their layers from the first update, at the rate of pruned weights: a pruned one does so by itself, and the
whole one gains more so than by the plan of a fine-tuning, whose body waits for half of them, and by the rate test.
"""

import statistics
import time
from typing import Any

from cases import FOUND, Case, Place, files_of

from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.prune import prune
from traffic_yolo.compression.report import compare_models
from traffic_yolo.training.recipe import AFTER_PRUNING_RATE

ALIKE: dict[str, Any] = {"fine_tune_layers": "all", "learning_rate": AFTER_PRUNING_RATE}  # of both trainings


def measure(place: Place) -> dict[str, Any]:
    """Both on the test split, paired: AP and AP50 as (whole, pruned, low, high), latency saved by runtime."""
    case, before = place.case, place.before()
    kept = place.trained("kept-alike", files_of(before), case.then, **ALIKE)
    pruned = place.folder / f"pruned-{place.importance}"
    if not pruned.is_dir():
        options = PruneOptions(prune_kind="regular", bflops_ratio=case.saved, importance=place.importance)
        prune(before, pruned, options, dataset=place.dataset)
    smaller = place.trained(f"smaller-{place.importance}-alike", files_of(pruned), case.then, **ALIKE)
    report = compare_models(
        kept, smaller, place.folder / f"report-{time.strftime('%Y%m%d-%H%M%S')}", dataset=place.dataset
    )
    first, second = report.sizes
    moved = {each.name: each for each in report.differences}
    return {
        "bflops_saved": 1 - second.bflops / first.bflops,
        **{
            name: [moved[name].first, moved[name].second, moved[name].difference.low, moved[name].difference.high]
            for name in ("ap", "ap50")
        },
        "latency_saved": {each.runtime: 1 - each.second / each.first for each in report.latencies},
    }


def text(row: dict[str, Any], case: Case) -> str:
    """A row for people, and whether it reaches its targets."""
    first, second, low, high = row["ap50"]
    reached = (second - first if case.judged_by == FOUND else low) >= -case.lost
    latency = ", ".join(f"{name} {share:.0%}" for name, share in row["latency_saved"].items())
    enough = any(share >= row["bflops_saved"] / 2 for share in row["latency_saved"].values())
    return (
        f"BFLOPs saved {row['bflops_saved']:.0%}, AP50 {first:.3f} -> {second:.3f} ({low:+.3f} to {high:+.3f}): "
        f"{'reached' if reached else 'MISSED'}; latency saved: {latency}: {'reached' if enough else 'MISSED'}"
    )


def summary(rows: list[dict[str, Any]], case: Case) -> str:
    """The seeds together: the mean of what pruning changed."""
    moved = [row["ap50"][1] - row["ap50"][0] for row in rows]
    said = f"AP50 moved by {statistics.mean(moved):+.3f} in the mean of {len(rows)} seeds"
    if case.judged_by != FOUND:
        return said
    return f"{said}: {'reached' if statistics.mean(moved) >= -case.lost else 'MISSED'}"
