"""The options of a run's steps, taken from the fields of a pipeline's form as their tasks will take them."""

from collections.abc import Mapping
from typing import Any

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.deepstream.options import ValidateOptions
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.evaluation.options import EvaluateOptions
from traffic_yolo.option_settings import task_options
from traffic_yolo.options import SETTINGS, headlines
from traffic_yolo.registry.options import PublishOptions
from traffic_yolo.snapshot.options import SnapshotOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.tune_options import TuneOptions

# Steps of a run from recordings to the zoo, in order; a test holds this to the pipelines' own table
RUN_STEPS: dict[str, tuple[type[Any], ...]] = {
    "snapshot": (SnapshotOptions,),
    "convert": (ConvertOptions,),
    "train": (TrainingOptions,),
    "evaluate": (EvaluateOptions, NmsOptions, InferenceOptions),
    "tune": (TuneOptions,),
    "validate": (ValidateOptions, WaterfallOptions, InferenceOptions),
    "publish": (PublishOptions,),
}


def options_of_form(form: Mapping[str, Any]) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
    """(step -> its options, what is wrong with those that could not be made), of a form's fields by name.

    A step's `settings` are the form's `<step>_settings`. A step that the form knows nothing of has its defaults.
    """
    made: dict[str, tuple[Any, ...]] = {}
    problems: dict[str, None] = {}
    for step, types in RUN_STEPS.items():
        given = {name: form[name] for name in headlines(*types) if name in form}
        given[SETTINGS] = form.get(f"{step}_{SETTINGS}", "")
        try:
            made[step] = task_options(types, given)
        except TrafficYoloError as error:
            text = str(error)
            problems[f"{step}_{text}" if text.startswith(SETTINGS) else text] = None
    return made, list(problems)
