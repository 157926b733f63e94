"""Compiles a pipeline to the YAML file beside its source."""

import copy
import os
import re
from pathlib import Path
from typing import Any

from kfp import compiler

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import fields_of, type_of
from traffic_yolo_pipelines.step_options import STEP_OPTIONS

SERVER_VARIABLE = "TRAFFIC_YOLO_KFP_SERVER"
DEFAULT_SERVER = "2.17"
LITERALS_SINCE = (2, 16)  # kubeflow/pipelines#12607; an older server refuses a spec with a field that it does not know
OPTIONAL_SECRETS_SINCE = (2, 15)  # an older server makes a pod that waits for the secret for ever


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
    """Writes the compiled pipeline to `target`.

    `server`: the oldest release of Kubeflow Pipelines that must read it, such as "2.4"; empty: the one that the
    environment states. Where that knows them, the words of a parameter are written as `literals`: the UI offers them in
    a list, and the server refuses others. Where it would wait for a secret that is not there, no task is given one.
    """
    version = server_version(server or os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER))
    made = copy.deepcopy(pipeline)
    if version >= LITERALS_SINCE:
        add_literals(made.pipeline_spec)
    if version < OPTIONAL_SECRETS_SINCE:
        for executor in made.platform_spec.platforms["kubernetes"].deployment_spec.executors.values():
            executor.fields.pop("secretAsEnv", None)
    compiler.Compiler().compile(made, str(target))


def server_version(text: str) -> tuple[int, int]:
    """(major, minor) of a release such as "2.17" or "2.17.0"; raises `OptionsError` for another form."""
    found = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", text)
    if not found:
        raise OptionsError(f"{SERVER_VARIABLE}: expected a release of Kubeflow Pipelines such as 2.17, found {text!r}")
    return int(found[1]), int(found[2])


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
