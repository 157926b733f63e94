"""Ends a pipeline's run with a report, whatever happened: its tasks in an exit handler, the report after it."""

import copy
import functools
import inspect
from typing import Any

from kfp import dsl, kubernetes

from traffic_yolo.cluster.settings import Summary
from traffic_yolo.run_report.component import report_run
from traffic_yolo.webhook import WEBHOOK_VARIABLE
from traffic_yolo_pipelines.platform_settings import pod_settings
from traffic_yolo_pipelines.wiring import reach_storage

_OF_THE_FORM = ("zoo", "model_name")
_CLAIM, _SECRET = "nas_claim", "s3_secret"


def with_summary(pipeline: Any, stated: Summary, *, host: str = "") -> Any:
    """The pipeline, traced anew with all its tasks inside an exit handler. Its form is the same.

    kfp allows one exit handler around everything: a pipeline that has its own ends with that, whose task is handed the
    webhook. kfp.local has no server to ask, and a local run ends with a summary of its own: it takes the pipeline as it
    is.
    """
    if own := _own_exit_executors(pipeline.pipeline_spec):
        return _with_webhook(pipeline, own, stated)
    function = pipeline.pipeline_func

    @functools.wraps(function)
    def whole(*given: Any, **named: Any) -> None:
        form = inspect.signature(function).bind(*given, **named).arguments
        told = {name: form[name] for name in _OF_THE_FORM if name in form}
        task = report_run(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, pipeline=pipeline.name, host=host, **told)
        task.set_caching_options(False)
        if {"zoo", _CLAIM, _SECRET} <= set(form):
            reach_storage(task, nas_claim=form[_CLAIM], s3_secret=form[_SECRET])
        if stated.webhook_secret:
            kubernetes.use_secret_as_env(task, stated.webhook_secret, {stated.webhook_key: WEBHOOK_VARIABLE})
        with dsl.ExitHandler(task, name="steps"):
            function(*given, **named)  # what it returns kfp takes from no group

    return dsl.pipeline(name=pipeline.name, description=pipeline.description)(whole)


def _own_exit_executors(spec: Any) -> list[str]:
    """The executors of tasks that run whatever happened to those before them."""
    return [
        spec.components[task.component_ref.name].executor_label
        for task in spec.root.dag.tasks.values()
        if task.trigger_policy.strategy == task.TriggerPolicy.TriggerStrategy.ALL_UPSTREAM_TASKS_COMPLETED
    ]


def _with_webhook(pipeline: Any, executors: list[str], stated: Summary) -> Any:
    """A copy whose exit tasks have the address of the webhook in their environment, where there is one."""
    made = copy.deepcopy(pipeline)
    if not stated.webhook_secret:
        return made
    for label in executors:
        with pod_settings(made, label) as message:
            secret = message.secret_as_env.add(secret_name=stated.webhook_secret, optional=False)
            secret.secret_name_parameter.runtime_value.constant.string_value = stated.webhook_secret
            secret.key_to_env.add(secret_key=stated.webhook_key, env_var=WEBHOOK_VARIABLE)
    return made
