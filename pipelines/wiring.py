"""What pipelines wire alike: the form's parameters, handed to tasks by name, storage, the first task.

Values of one cluster are not wired here: `platform_settings` writes them into what is.
"""

from collections.abc import Mapping
from typing import Any

from kfp import kubernetes

from traffic_yolo.options import SETTINGS
from traffic_yolo.preflight.component import preflight
from traffic_yolo.storage import NAS_ROOT_VARIABLE
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH, S3_SECRET_KEYS
from traffic_yolo_pipelines.caller_names import spare_the_stack
from traffic_yolo_pipelines.signatures import settings_name

spare_the_stack()


def form_parameters(component: Any, form: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `component` that the pipeline has in its form under the same name.

    `form` is the pipeline function's `locals()` before anything else is assigned. The component's `settings` are the
    form's `<step>_settings`; what the form does not show keeps the component's default.
    """
    step = component.python_func.__name__
    named = {name: name for name in component.component_spec.inputs} | {SETTINGS: settings_name(step)}
    return {
        name: form[shown] for name, shown in named.items() if name in component.component_spec.inputs and shown in form
    }


def reach_storage(task: Any, *, nas_claim: Any, s3_secret: Any) -> None:
    """Gives `task` the NAS, and object storage where the run names a secret: for every task that is told of a place.

    Mounts the claim at `NAS_MOUNT_PATH`; the keys of the secret, `S3_SECRET_KEYS`, become environment variables.
    """
    kubernetes.mount_pvc(task, pvc_name=nas_claim, mount_path=NAS_MOUNT_PATH)
    task.set_env_variable(NAS_ROOT_VARIABLE, NAS_MOUNT_PATH)
    # Optional: most runs have no secret, and few a session token; a task that misses a key says so in one line
    kubernetes.use_secret_as_env(task, s3_secret, {key: key for key in S3_SECRET_KEYS}, optional=True)


def check_first(form: Mapping[str, Any], *first: Any) -> Any:
    """The task `preflight`, before the tasks `first` and so before all that follow them.

    `form`: as of `form_parameters`, with `nas_claim`, `s3_secret` and, where a task of the pipeline takes some, `gpus`.
    """
    task = preflight(**form_parameters(preflight, form))
    # What lies on the share, and whether it can be written, changes without KFP knowing
    task.set_caching_options(False)
    task.set_cpu_request("1").set_memory_request("4G")
    if "gpus" in form:
        # The training's own claim: a run that will get no GPU waits or fails now, and not after the conversion
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(form["gpus"])
    reach_storage(task, nas_claim=form["nas_claim"], s3_secret=form["s3_secret"])
    for one in first:
        one.after(task)
    return task
