"""Which options a step has: the dataclasses whose fields become parameters of its component and of the pipelines."""

from collections.abc import Sequence
from typing import Any

from traffic_yolo.compression.options import ParentChoice, PruneOptions
from traffic_yolo.dataset.options import ConvertOptions, DataSetChoice
from traffic_yolo.deepstream.options import ValidateOptions
from traffic_yolo.deepstream.run.options import GpuRunOptions
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.evaluation.options import EvaluateOptions, EvaluationPlanOptions
from traffic_yolo.katib.launch.options import SearchTaskOptions
from traffic_yolo.options import fields_of
from traffic_yolo.pretrained.options import ModelChoice
from traffic_yolo.registry.options import PublishOptions
from traffic_yolo.retraining.options import NewDataOptions
from traffic_yolo.snapshot.changes import GateOptions
from traffic_yolo.snapshot.options import SnapshotOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.tune_options import TuneOptions

# name of the component -> its options dataclasses; a form shows their headlines, and `settings` takes all of them
STEP_OPTIONS: dict[str, tuple[type[Any], ...]] = {
    "snapshot": (SnapshotOptions,),
    "gate": (GateOptions,),
    "new_data": (NewDataOptions,),
    "convert_files": (ConvertOptions,),
    "convert": (ConvertOptions,),
    "convert_shard": (ConvertOptions,),
    "import_dataset": (DataSetChoice,),
    "import_model": (ModelChoice,),
    "prune": (ParentChoice, PruneOptions),
    "train": (TrainingOptions,),
    "train_on_cluster": (TrainingOptions,),
    "plan_detection": (EvaluationPlanOptions, EvaluateOptions, NmsOptions, InferenceOptions),
    "evaluate": (EvaluateOptions, NmsOptions, InferenceOptions),
    "tune": (TuneOptions,),
    "validate": (ValidateOptions, WaterfallOptions, InferenceOptions),
    "deepstream_run": (GpuRunOptions,),
    "publish": (PublishOptions,),
    "search": (SearchTaskOptions,),
}


def own_names(steps: Sequence[str]) -> dict[str, frozenset[str]]:
    """Step -> the options that it may give a name to, where several steps stand in one form or on one command line.

    Steps share a name only where it is one field, inherited from one dataclass (`source`); another option of the same
    name (`policy` of convert and of train) is the earlier step's, and the later step takes it through its settings.
    """
    seen: dict[str, Any] = {}
    return {
        step: frozenset(
            name for name, field in fields_of(*STEP_OPTIONS[step]).items() if seen.setdefault(name, field) is field
        )
        for step in steps
    }
