"""The step `prune`: a model folder without the channels, or the residual blocks, that matter least."""

import shutil
import tempfile
from pathlib import Path

from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.prune_files import write_pruned
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.export.export_model import export_model
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pruned_from import PrunedFrom
from traffic_yolo.storage import AnyPath, atomic_folder, output_path


def prune(model: AnyPath, out: AnyPath, options: PruneOptions, *, dataset: AnyPath | None = None) -> PrunedFrom:
    """Writes the model folder `out` of the model folder `model`, pruned; it appears whole or not at all.

    `dataset`: where batch-norm is measured anew, and on whose pictures the ONNX file is compared. What the weights have
    seen goes along. Raises `OptionsError` for a network that cannot be pruned so, or a goal that cannot be reached.
    """
    target = output_path(out)
    folder = ModelFolder.open(model)
    data = None if dataset is None else DataSet.open(dataset)
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-") as scratch:
        document = write_pruned(folder, Path(scratch, "pruned"), options, data)
        exported = export_model(Path(scratch, "pruned"), Path(scratch, "exported"), dataset=dataset).path
        with atomic_folder(target) as written:
            shutil.copytree(exported, written, dirs_exist_ok=True)
    return document
