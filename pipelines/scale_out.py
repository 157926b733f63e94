"""Wires the main pipeline for large data: conversion and inference fanned out, and training where it is asked for.

The steps and what they leave are those of `finetune_pipeline`; the data set and the raw detections are the same bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

from traffic_yolo.container_images import image
from traffic_yolo.training.component import train_on_cluster
from traffic_yolo_pipelines.conversion_shards import convert_in_shards
from traffic_yolo_pipelines.detection_shards import detect_in_shards
from traffic_yolo_pipelines.training_to_zoo import to_the_zoo
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage

Train = Callable[[Any, Mapping[str, Any]], Any]


def scaled_out(form: Mapping[str, Any], train_task_of: Train) -> None:
    """All tasks from share to zoo. `form`: the pipeline function's `locals()`; `train_task_of`: makes the training."""

    def reach(task: Any) -> None:
        reach_storage(task, nas_claim=form["nas_claim"], s3_secret=form["s3_secret"])

    dataset = convert_in_shards(form, shards=form["shards"], reach=reach, checked=True)
    # GPUs are for the training: a node that has some is too dear for eight shards side by side
    to_the_zoo(
        train_task_of(dataset, form),
        dataset,
        form,
        detect=lambda model: detect_in_shards(model, dataset, form, reach=reach),
    )


def by_trainjob(dataset: Any, form: Mapping[str, Any]) -> Any:
    """The training as a TrainJob; the task makes it, waits and brings the run back."""
    task = train_on_cluster(
        dataset=dataset,
        work=form["train_work"],
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        image_name=image("train"),
        **form_parameters(train_on_cluster, form),
    )
    # A pod that is evicted while it waits comes back and finds its TrainJob.
    task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")
    task.set_cpu_request("1").set_memory_request("2G")
    return task
