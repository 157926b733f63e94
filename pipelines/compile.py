"""Compiles a pipeline to YAML: beside its source as it is, or with the settings of a cluster."""

import copy
import os
from pathlib import Path
from typing import Any

from kfp import compiler

from traffic_yolo.cluster.server_release import check_target, release
from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.options import fields_of, type_of
from traffic_yolo_pipelines.images import set_flavour
from traffic_yolo_pipelines.platform_settings import SECRET_PARAMETER, apply_settings
from traffic_yolo_pipelines.run_end import with_summary
from traffic_yolo_pipelines.server_needs import FINAL_STATUS, LITERALS, OPTIONAL_SECRETS, RETRIES, server_needs
from traffic_yolo_pipelines.step_options import STEP_OPTIONS

SERVER_VARIABLE = "TRAFFIC_YOLO_KFP_SERVER"
DEFAULT_SERVER = "2.17"


def compile_beside(pipeline: Any, source_file: str) -> Path:
    """Writes `<source>.yaml` next to `<source>.py` and returns its path.

    The image names in it depend on `TRAFFIC_YOLO_IMAGE_PREFIX`, and `TRAFFIC_YOLO_KFP_SERVER` says which release of the
    server will read it (2.17 unless it is set); the committed files are compiled without them.
    """
    target = Path(source_file).resolve().with_suffix(".yaml")
    compile_to(pipeline, target)
    print(target)
    return target


def compile_to(pipeline: Any, target: Path, *, server: str = "") -> None:
    """Writes the pipeline to `target` as `compiled_for` makes it for a server, without a cluster's settings."""
    write_package(compiled_for(pipeline, server=server), target)


def write_package(made: Any, target: Path) -> None:
    """Writes what `compiled_for` made, as the file that the UI, kfp.Client and `kfp` take."""
    compiler.Compiler().compile(made, str(target))


def compiled_for(
    pipeline: Any, *, server: str = "", cluster: ClusterSettings | None = None, gpus: str | None = None
) -> Any:
    """A copy of a pipeline that a server takes, with the settings of a cluster where they are given.

    `server`: the oldest release of Kubeflow Pipelines that must read it, such as "2.4"; empty: the one that the cluster
    file or the environment states. Where that knows them, the words of a parameter are written as `literals`: the UI
    offers them in a list, and the server refuses others. Where it would wait for a secret that is not there, no task is
    given one; where it knows no retries, none are written.

    `gpus`: how many the run asks for; None: as many as the cluster file says. For any at all, the tasks that may ask
    for them get the image with CUDA. Raises `OptionsError` for settings that such a server does not know.
    """
    stated = server or (cluster.min_server if cluster else os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER))
    field = "cluster file: min_server" if cluster and not server else SERVER_VARIABLE
    target = release(field, stated)
    summary = cluster.summary if cluster else None
    made = with_summary(pipeline, summary, host=cluster.host) if cluster and summary else copy.deepcopy(pipeline)
    if target < RETRIES.since:  # which would be dropped; those of the settings are refused below
        _drop_retries(made.pipeline_spec)
    if cluster:
        apply_settings(made, cluster)
    if (gpus or str(cluster.gpu.count if cluster else 0)) != "0":
        set_flavour(made.pipeline_spec, "cuda")
    if target >= LITERALS.since:
        add_literals(made.pipeline_spec)
    if target < OPTIONAL_SECRETS.since and not (cluster and cluster.s3_secret):
        _drop_secrets_of_the_form(made)
    # What is not written for an older server was left out above; the final status of a run cannot be
    check_target(field, target, [need for need in server_needs(made) if cluster or need == FINAL_STATUS])
    return made


def add_literals(spec: Any) -> None:
    """Writes the allowed words into every parameter of a pipeline spec (in place) that is an option with words.

    kfp 2.17 takes no `typing.Literal` in a signature, though its format has the field. An option that may be left to
    the cfg gets none: the UI would want a choice.
    """
    words = {
        (step, name): field.metadata["choices"]
        for step, options_types in STEP_OPTIONS.items()
        for name, field in fields_of(*options_types).items()
        if field.metadata.get("choices") and not type_of(field)[1]
    }
    for step in {step for step, _ in words}:
        component = f"comp-{step.replace('_', '-')}"
        if component not in spec.components:
            continue
        for place in (spec.components[component], spec.root):
            for name, parameter in place.input_definitions.parameters.items():
                if (step, name) in words:
                    del parameter.literals[:]
                    for word in words[step, name]:
                        parameter.literals.add().string_value = word


def _drop_retries(spec: Any) -> None:
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            task.ClearField("retry_policy")


def _drop_secrets_of_the_form(made: Any) -> None:
    for executor in made.platform_spec.platforms["kubernetes"].deployment_spec.executors.values():
        if SECRET_PARAMETER in str(executor):
            executor.fields.pop("secretAsEnv", None)
