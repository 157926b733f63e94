"""Which options a step has: the dataclasses whose fields become parameters of its component and of the pipelines."""

from typing import Any

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.options import fields_of
from traffic_yolo.training.options import TrainingOptions

# name of the component -> its options dataclasses; a form shows their headlines, and `settings` takes all of them
STEP_OPTIONS: dict[str, tuple[type[Any], ...]] = {
    "convert": (ConvertOptions,),
    "convert_shard": (ConvertOptions,),
    "train": (TrainingOptions,),
}


def option_names(step: str) -> tuple[str, ...]:
    """The names of all options of a step."""
    return tuple(fields_of(*STEP_OPTIONS[step]))
