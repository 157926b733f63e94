"""One inference over the splits of a data set, cut into shards for pods side by side, and put together again.

The plan names every shard before any is run, and the merge is held to it: what is missing is named, and no picture can
be lost on the way.
"""

from collections.abc import Sequence

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_options import DetectOptions, parse_shard
from traffic_yolo.detection.detect_split import check_shardable, detect_split
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.merge import merge_detections
from traffic_yolo.detection.protocol import check_same_classes, detections_name
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import AnyPath, atomic_folder, output_path

MOST_SHARDS = 10_000


def plan_detection(
    model: AnyPath, dataset: AnyPath, splits: Sequence[str], count: int, inference: InferenceOptions
) -> list[str]:
    """The names of the shards: `test 1/4`, `test 2/4` and so on for each of the splits, the first of which is judged.

    A split has at most as many shards as pictures, and one where it has none. Raises `OptionsError` for a number that
    makes no sense and for an inference that cannot be cut, `EvaluationError` for a model whose classes are not the data
    set's, or a first split without pictures.
    """
    if not 1 <= count <= MOST_SHARDS:
        raise OptionsError(f"shards: expected a whole number from 1 to {MOST_SHARDS}, found {count}")
    check_shardable(inference)
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    check_same_classes(folder.classes, data.classes)
    for split in splits:
        data.coco_path(split)  # refuses what is no split
    if not data.num_images[splits[0]]:
        raise EvaluationError(f"{dataset}: split {splits[0]!r} has no pictures to detect on; {data.filled_splits}")
    cut = {split: max(1, min(count, data.num_images[split])) for split in splits}
    return [f"{split} {part}/{cut[split]}" for split in splits for part in range(1, cut[split] + 1)]


def detect_shard(
    model: AnyPath, dataset: AnyPath, name: str, out: AnyPath, inference: InferenceOptions | None = None
) -> RawDetections:
    """Writes the raw detections of the shard that `plan_detection` named, and returns them."""
    target = output_path(out)
    split, shard = _parts(name)
    options = DetectOptions(shard=shard)
    found = detect_split(ModelFolder.open(model), DataSet.open(dataset), split, inference, options=options)
    found.save(target)
    return found


def merge_planned(shards: Sequence[AnyPath], names: Sequence[str], out: AnyPath) -> dict[str, RawDetections]:
    """Writes the folder `out` with a `detections_<split>.npz` each, of all the shards that were planned, in any order.

    The bytes are those of one run. Returns the detections by split. Raises `EvaluationError` for a shard that is
    missing, damaged, given twice or not planned, or made under another protocol than the others.
    """
    target = output_path(out)
    wanted = [_parts(name) for name in names]
    found: dict[tuple[str, str], AnyPath] = {}
    for path in shards:
        raw = RawDetections.load(path)
        key = (raw.protocol.images_fingerprint.rpartition("/")[2], raw.shard)
        if key not in wanted:
            raise EvaluationError(f"{path}: shard {' '.join(key)} is none of those planned; detect again")
        if key in found:
            raise EvaluationError(f"{found[key]} and {path} are both shard {' '.join(key)}")
        found[key] = path
    if missing := [" ".join(key) for key in wanted if key not in found]:
        there = f"{len(found)} of {len(wanted)} are there"
        raise EvaluationError(f"shard {missing[0]} is missing ({there}); detect it again")
    merged = {}
    with atomic_folder(target) as folder:
        for split in dict.fromkeys(split for split, _ in wanted):
            parts = [path for (of, _), path in found.items() if of == split]
            merged[split] = merge_detections(parts, folder / detections_name(split))
    return merged


def _parts(name: str) -> tuple[str, str]:
    """(split, K/N) of a shard's name; `OptionsError` for another form."""
    split, blank, shard = name.rpartition(" ")
    if not (split and blank and shard):
        raise OptionsError(f"shard: expected a split and K/N such as test 2/4, found {shown(name)}")
    parse_shard(shard)
    return split, shard
