"""Wires an inference fanned out over shards, for every pipeline that evaluates many pictures."""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

from traffic_yolo.evaluation.component import detect_shard, merge_detections, plan_detection
from traffic_yolo_pipelines.wiring import form_parameters

PARALLEL_SHARDS = 8  # more wait: a NAS serves a few readers well, and many badly


def detect_in_shards(
    model: Any, dataset: Any, form: Mapping[str, Any], *, gpus: Any, reach: Callable[[Any], None]
) -> Any:
    """The raw detections of `model` on `dataset` as the artifact that `evaluate` takes, made by a task a shard.

    `form`: as `form_parameters` has it, with `shards`; `gpus`: of each task, a text; `reach`: gives a task that is told
    of places the storage. On processors the bytes are those of one inference.
    """
    plan_task = plan_detection(model=model, dataset=dataset, **form_parameters(plan_detection, form))
    with dsl.ParallelFor(items=plan_task.output, parallelism=PARALLEL_SHARDS) as shard:
        shard_task = detect_shard(
            model=model, dataset=dataset, shard=shard, **(form_parameters(detect_shard, form) | {"gpus": gpus})
        )
        shard_task.set_cpu_request("2").set_memory_request("4G")
        # A text: of a number KFP's driver reads "", and sets no limit
        shard_task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
        # A node that is taken away, not a mistake in the options
        shard_task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")
    merge_task = merge_detections(parts=dsl.Collected(shard_task.outputs["part"]), shards=plan_task.output)
    merge_task.set_cpu_request("1").set_memory_request("4G")
    for task in (plan_task, shard_task):
        reach(task)
    return merge_task.outputs["detections"]
