"""Joins the shards of raw detections that processes or pods made of one split."""

from collections.abc import Sequence

from traffic_yolo.detection.detect_options import parse_shard
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.storage import AnyPath, output_path


def merge_detections(shards: Sequence[AnyPath], out: AnyPath) -> RawDetections:
    """Joins the shards of one split, in whatever order they are named, into the file that one run would have written.

    Raises `EvaluationError` unless they are all the shards of one cut, each once, made under one protocol.
    """
    target = output_path(out)
    parts = {path: RawDetections.load(path) for path in shards}
    placed: dict[int, AnyPath] = {}
    counts = set()
    for path, part in parts.items():
        if not part.shard:
            raise EvaluationError(f"{path} is no shard but a whole split; there is nothing to merge")
        place, count = parse_shard(part.shard)
        counts.add(count)
        if place in placed:
            raise EvaluationError(f"{placed[place]} and {path} are both shard {part.shard}")
        placed[place] = path
    if len(counts) != 1:
        raise EvaluationError(f"shards of different cuts: {', '.join(sorted(part.shard for part in parts.values()))}")
    if missing := sorted(set(range(1, counts.pop() + 1)) - set(placed)):
        raise EvaluationError(f"shard {missing[0]} is missing; found {', '.join(p.shard for p in parts.values())}")
    merged = RawDetections.concatenate([parts[placed[place]] for place in sorted(placed)])
    merged.save(target)
    return merged
