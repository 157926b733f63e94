"""Which options a step has: the dataclasses whose fields become parameters of its component and of the pipelines."""

from typing import Any

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.deepstream.options import ValidateOptions
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.evaluation.options import EvaluateOptions
from traffic_yolo.options import fields_of
from traffic_yolo.registry.options import PublishOptions
from traffic_yolo.snapshot.changes import GateOptions
from traffic_yolo.snapshot.options import SnapshotOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.katib_launch.options import SearchTaskOptions
from traffic_yolo.tuning.tune_options import TuneOptions

# name of the component -> its options dataclasses; a form shows their headlines, and `settings` takes all of them
STEP_OPTIONS: dict[str, tuple[type[Any], ...]] = {
    "snapshot": (SnapshotOptions,),
    "gate": (GateOptions,),
    "convert": (ConvertOptions,),
    "convert_shard": (ConvertOptions,),
    "train": (TrainingOptions,),
    "evaluate": (EvaluateOptions, NmsOptions, InferenceOptions),
    "tune": (TuneOptions,),
    "validate": (ValidateOptions, InferenceOptions),
    "publish": (PublishOptions,),
    "search": (SearchTaskOptions,),
}


def option_names(step: str) -> tuple[str, ...]:
    """The names of all options of a step."""
    return tuple(fields_of(*STEP_OPTIONS[step]))
