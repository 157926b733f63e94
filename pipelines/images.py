"""Which image each task of a compiled pipeline runs in: the one place where a compiled spec's images are changed."""

import re
from collections.abc import Collection
from typing import Any

from traffic_yolo.container_images import in_flavour

GPU_STEPS = ("train", "detect", "evaluate")  # those that run a network on whatever device there is


def set_flavour(spec: Any, flavour: str, steps: Collection[str] = GPU_STEPS) -> list[str]:
    """Gives the tasks of `steps` the image in `flavour` (cpu, cuda), in place; returns their executors' labels.

    `spec`: a `PipelineSpec`, such as `pipeline.pipeline_spec`. A step is a component's name, with `_` or `-`. kfp
    numbers the executors of a component that is used with several settings (`exec-train`, `exec-train-2`): all are
    meant. Steps that the pipeline has not are left out. Raises `OptionsError` for an unknown flavour, or an image that is not ours.
    """
    names = "|".join(re.escape(step.replace("_", "-")) for step in steps)
    executors = spec.deployment_spec["executors"]
    found = [label for label in executors if re.fullmatch(rf"exec-({names})(-\d+)?", label)]
    for label in found:
        container = executors[label]["container"]
        container["image"] = in_flavour(container["image"], flavour)
    return sorted(found)
