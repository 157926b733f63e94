"""Which image each task of a compiled pipeline runs in: the one place where a compiled spec's images are changed."""

import re
from typing import Any

from traffic_yolo.container_images import in_flavour


def set_flavour(spec: Any, flavour: str, *steps: str) -> list[str]:
    """Gives every task that may ask for a GPU the image in `flavour` (cpu, cuda), in place; returns their executors.

    `spec`: a `PipelineSpec`, such as `pipeline.pipeline_spec`. Such a task is one that has an accelerator among its
    resources, however many: what a run asks for may be a field of its form, and is known to whoever submits it.
    `steps`: components' names, with `_` or `-`, that get it besides; those that the pipeline has not are left out.
    Raises `OptionsError` for an unknown flavour, or an image that is not ours.
    """
    # kfp numbers the executors of a component that is used with several settings: exec-train, exec-train-2
    named = re.compile("|".join(rf"exec-{re.escape(step.replace('_', '-'))}(-\d+)?" for step in steps) or r"(?!)")
    executors = spec.deployment_spec["executors"]
    found = [
        label
        for label in executors
        if "container" in executors[label]
        and (named.fullmatch(label) or _may_ask_for_gpus(executors[label]["container"]))
    ]
    for label in found:
        container = executors[label]["container"]
        container["image"] = in_flavour(container["image"], flavour)
    return sorted(found)


def _may_ask_for_gpus(container: Any) -> bool:
    return "resources" in container and "accelerator" in container["resources"]
