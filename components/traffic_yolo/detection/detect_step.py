"""The command `detect`: one inference over a split into a file, whole or in shards, by processes or pods."""

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_options import DetectOptions
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.protocol import check_same_classes
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import AnyPath, output_path


def detect_file(
    model: AnyPath,
    dataset: AnyPath,
    split: str,
    out: AnyPath,
    options: DetectOptions | None = None,
    inference: InferenceOptions | None = None,
) -> RawDetections:
    """Writes the raw detections of a split, or of a shard of it, to `out`, and returns them.

    Raises `EvaluationError` for a model whose classes are not the data set's, or a split without pictures.
    """
    target = output_path(out)
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    check_same_classes(folder.classes, data.classes)
    if not data.split(split):
        raise EvaluationError(f"{dataset}: split {split!r} has no pictures to detect on; {data.filled_splits}")
    found = detect_split(folder, data, split, inference, options=options)
    found.save(target)
    return found
