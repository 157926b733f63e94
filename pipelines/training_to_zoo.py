"""Wires what every pipeline that trains has behind its data set: the training as one task, and all up to the zoo."""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl, kubernetes

from traffic_yolo.deepstream.component import validate
from traffic_yolo.evaluation.component import evaluate
from traffic_yolo.export.component import export
from traffic_yolo.registry.component import publish
from traffic_yolo.training.component import train
from traffic_yolo.tuning.component import tune
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage


def train_in_a_task(dataset: Any, form: Mapping[str, Any], *, start: Any = None) -> Any:
    """The training as one task, one process. `form`: as `form_parameters` has it, with `train_work` and `gpus`.

    `start`: the model folder to start from, in the place of the form's files.
    """
    given = {"start": start} if start is not None else {}
    task = train(
        dataset=dataset,
        work=form["train_work"],
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        **given,
        **form_parameters(train, form),
    )
    # A node that is taken away, not a mistake in the options: exit code 2 fails again at once
    task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")
    task.set_cpu_request("2").set_memory_request("8G").set_memory_limit("32G")
    # A text: of a number KFP's driver reads "", and sets no limit
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(form["gpus"])
    # DataLoader workers hand pictures over through shared memory; a pod has 64 MiB of it by default.
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="4Gi")
    return task


def to_the_zoo(
    train_task: Any,
    dataset: Any,
    form: Mapping[str, Any],
    *,
    detect: Callable[[Any], Any] | None = None,
    before_publishing: Callable[[Any], Any] | None = None,
) -> None:
    """The training's own caching and storage, and the tasks export, evaluate, tune, validate and publish.

    `form`: as `form_parameters` has it, with `nas_claim` and `s3_secret`. `detect`: makes of the model its raw
    detections, which evaluate then takes instead of running the network. `before_publishing`: makes of the model a task
    that comes after the validation and before the publication.
    """
    # Weights on the NAS may change under the same path, which KFP's cache key does not see.
    train_task.set_caching_options(False)
    export_task = export(run=train_task.outputs["run"], dataset=dataset)
    model = export_task.outputs["model"]

    given = {"detections": detect(model)} if detect else {}
    evaluate_task = evaluate(model=model, dataset=dataset, **given, **form_parameters(evaluate, form))
    evaluation = evaluate_task.outputs["evaluation"]
    tune_task = tune(evaluation=evaluation, dataset=dataset, **form_parameters(tune, form))
    tuning = tune_task.outputs["tuning"]
    validate_task = validate(
        model=model, dataset=dataset, evaluation=evaluation, tuning=tuning, **form_parameters(validate, form)
    )
    before = before_publishing(model).after(validate_task) if before_publishing else None
    publish_task = publish(
        model=model,
        evaluation=evaluation,
        tuning=tuning,
        validation=validate_task.outputs["validation"],
        dataset=dataset,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        **form_parameters(publish, form),
    )
    if before:
        publish_task.after(before)
    # Publishing is an effect outside KFP: a cached task would claim a bundle that somebody has removed.
    publish_task.set_caching_options(False)
    # These run networks: publish that of the version in use, on the same pictures
    for task in (evaluate_task, validate_task, publish_task):
        task.set_cpu_request("2").set_memory_request("4G")
    # Settings of every step may lie on the NAS, and so may the data set, to which the artifact only refers then
    for task in (train_task, export_task, evaluate_task, tune_task, validate_task, publish_task):
        reach_storage(task, nas_claim=form["nas_claim"], s3_secret=form["s3_secret"])
