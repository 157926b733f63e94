"""Wires the main pipeline for large data: conversion and inference fanned out, and training where it is asked for.

The steps and what they leave are those of `finetune_pipeline`; the data set and the raw detections are the same bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl, kubernetes

from traffic_yolo.container_images import image
from traffic_yolo.deepstream.component import validate
from traffic_yolo.evaluation.component import evaluate
from traffic_yolo.export.component import export
from traffic_yolo.registry.component import publish
from traffic_yolo.training.component import train, train_on_cluster
from traffic_yolo.tuning.component import tune
from traffic_yolo_pipelines.conversion_shards import convert_in_shards
from traffic_yolo_pipelines.detection_shards import detect_in_shards
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage

Train = Callable[[Any, Mapping[str, Any]], Any]


def scaled_out(form: Mapping[str, Any], train_task_of: Train) -> None:
    """All tasks from share to zoo. `form`: the pipeline function's `locals()`; `train_task_of`: makes the training."""

    def reach(task: Any) -> None:
        reach_storage(task, nas_claim=form["nas_claim"], s3_secret=form["s3_secret"])

    dataset = convert_in_shards(form, shards=form["shards"], reach=reach, checked=True)
    train_task = train_task_of(dataset, form)
    # Weights on the NAS may change under the same path, which KFP's cache key does not see.
    train_task.set_caching_options(False)
    export_task = export(run=train_task.outputs["run"], dataset=dataset)
    model = export_task.outputs["model"]

    # GPUs are for the training: a node that has some is too dear for eight shards side by side
    detections = detect_in_shards(model, dataset, form, reach=reach)
    evaluate_task = evaluate(model=model, dataset=dataset, detections=detections, **form_parameters(evaluate, form))
    evaluate_task.set_cpu_request("2").set_memory_request("4G")
    evaluation = evaluate_task.outputs["evaluation"]

    tune_task = tune(evaluation=evaluation, dataset=dataset, **form_parameters(tune, form))
    tuning = tune_task.outputs["tuning"]
    validate_task = validate(
        model=model, dataset=dataset, evaluation=evaluation, tuning=tuning, **form_parameters(validate, form)
    )
    validate_task.set_cpu_request("2").set_memory_request("4G")
    publish_task = publish(
        model=model,
        evaluation=evaluation,
        tuning=tuning,
        validation=validate_task.outputs["validation"],
        dataset=dataset,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        **form_parameters(publish, form),
    )
    # The version in use is inferred on the same pictures, as evaluate does it with the new one
    publish_task.set_cpu_request("2").set_memory_request("4G")
    # Publishing is an effect outside KFP: a cached task would claim a bundle that somebody has removed.
    publish_task.set_caching_options(False)
    # The data set may be a reference to one on the NAS, which every task that gets it reads there
    for task in (train_task, export_task, evaluate_task, tune_task, validate_task, publish_task):
        reach(task)


def in_the_task(dataset: Any, form: Mapping[str, Any]) -> Any:
    """The training as one task, one process."""
    task = train(
        dataset=dataset, work=form["train_work"], run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **form_parameters(train, form)
    )
    # A node that is taken away, not a mistake in the options: exit code 2 fails again at once
    task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")
    task.set_cpu_request("2").set_memory_request("8G").set_memory_limit("32G")
    # A text: of a number KFP's driver reads "", and sets no limit
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(form["gpus"])
    # DataLoader workers hand pictures over through shared memory; a pod has 64 MiB of it by default.
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="4Gi")
    return task


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
