"""The form of any pipeline as flags of a command: what it asks for, checked as its tasks would, and its parameters."""

import copy
import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from traffic_yolo.commands.dataclass_options import flags_of
from traffic_yolo.commands.location_types import SETTINGS_TYPE
from traffic_yolo.commands.pipeline_door import Command, Pods, ReadyPipeline
from traffic_yolo.commands.step_flags import (
    PIPELINES,
    STEP_OPTIONS,
    absolute_place,
    places_in,
    with_start_of_a_task,
    without_start,
)
from traffic_yolo.errors import OptionsError
from traffic_yolo.option_settings import is_settings_text, read_settings, task_options
from traffic_yolo.options import SETTINGS, LocationUse, fields_of, form_value, option
from traffic_yolo.storage import existing_path, is_s3

# Fields of a form that the flags of every command here give: a claim, a secret, a number of GPUs
OF_PODS = ("nas_claim", "s3_secret", "gpus")
# Names of flags that every such command has; a field of one of them gets its step's name before it
TAKEN = ("host", "namespace", "cluster", "experiment", "wait", "follow", "json")
# What a pipeline asks for itself, no step of it, and how the place is used
OWN_PLACES: dict[str, LocationUse] = {"train_work": "write", "dataset_store": "write", "compare_with": "read"}
# Documents: text, or where it lies. A file of this machine is read here, for a pod has it not
DOCUMENTS = ("experiment", "trainjob")


@dataclass(frozen=True)
class PipelineForm:
    """The form of a pipeline. `fields`: its fields by the names that a command is handed their values by.

    `settings`: step -> the field of the form that has its other options; `own`: step -> the options that are its own.
    """

    pipeline: Any
    fields: dict[str, "dataclasses.Field[Any]"]
    settings: dict[str, str]
    own: dict[str, frozenset[str]]

    @classmethod
    def of(cls, name: str) -> "PipelineForm":
        """That of the pipeline of a name in the catalogue."""
        signatures = importlib.import_module(f"{PIPELINES}.signatures")
        pipeline = importlib.import_module(f"{PIPELINES}.catalogue").pipeline_named(name)
        (target,) = (one for one in signatures.pipeline_targets() if one.function == f"{name}_pipeline")
        own = importlib.import_module(f"{PIPELINES}.step_options").own_names(target.steps)
        known: dict[str, tuple[str, dataclasses.Field[Any]]] = {}
        for step in target.steps:
            for option_name, field in fields_of(*STEP_OPTIONS[step]).items():
                if option_name in own[step]:
                    known.setdefault(option_name, (step, field))
        texts = signatures.argument_texts(inspect.getdoc(pipeline.pipeline_func))
        found = {}
        for parameter in inspect.signature(pipeline.pipeline_func).parameters.values():
            if parameter.name in OF_PODS:
                continue
            step, field = known.get(parameter.name) or ("", _own_field(parameter, texts.get(parameter.name, "")))
            found[f"{step}_{parameter.name}" if parameter.name in TAKEN else parameter.name] = field
        return cls(pipeline, found, {step: signatures.settings_name(step) for step in target.steps}, own)

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the form's fields."""
        return frozenset(inspect.signature(self.pipeline.pipeline_func).parameters)

    def flags(self, command: Command) -> Command:
        """Adds a flag for each field."""
        settings = {flag: field for flag, field in self.fields.items() if field.name in self.settings.values()}
        for flag, field in reversed(list(settings.items())):
            name = f"--{flag.replace('_', '-')}"
            command = click.option(name, flag, default="", type=SETTINGS_TYPE, help=field.metadata["help"])(command)
        others = {flag: field for flag, field in self.fields.items() if flag not in settings}
        return flags_of(others, for_pipeline=True)(command)

    def ready(self, values: Mapping[str, Any], pods: Pods) -> ReadyPipeline:
        """The pipeline with the parameters that values of its flags come to.

        Checked here as well as in the tasks, for a wrong value should not cost a started pod; raises
        `TrafficYoloError`.
        """
        from traffic_yolo.commands import run_checks

        given = {field.name: values[flag] for flag, field in self.fields.items()}
        for name in set(DOCUMENTS) & set(given):
            given[name] = self._document(name, given[name])
        made = self._options(given)
        if "gpus" in self.parameters:
            _check_gpus(pods.gpus, made)
        pods.check_names()
        published = made["publish"][0] if "publish" in made else None
        places = [*places_in(made, self._flag_of)]
        places += [(self._flag(name), given[name]) for name in OWN_PLACES if given.get(name)]
        model_name = published.model_name if published else None
        run_checks.check_cluster_run(places, model_name=model_name, has_secret=pods.has_secret)
        self._check_documents(given, pods)
        parameters = {}
        for field in self.fields.values():
            value = given[field.name]
            if field.name in self.settings.values():
                value = _read_here(value)
            parameters[field.name] = form_value(field, value)
        notes = (published.in_words,) if published else ()
        return ReadyPipeline(self.pipeline, {**parameters, **pods.parameters(self.parameters)}, notes)

    def ready_here(self, values: Mapping[str, Any], gpus: int, out: Path) -> ReadyPipeline:
        """The same for a run on this machine below the folder `out`: its places are looked at, and made absolute, for
        tasks run elsewhere. For pipelines that train; raises `TrafficYoloError` with all that is wrong.
        """
        from traffic_yolo.commands import run_checks

        given = {field.name: values[flag] for flag, field in self.fields.items()}
        run_checks.check_locations(given, self.fields.values())
        made = self._options(given)
        run_checks.check_gpus(gpus, made["train"][0], here=True)
        run_checks.check_local_run(made, out)
        steps = {settings: step for step, settings in self.settings.items()}
        parameters = {}
        for field in self.fields.values():
            value = given[field.name]
            if field.name in steps:
                value = _absolute_settings(value, STEP_OPTIONS[steps[field.name]])
            elif field.metadata.get("location"):
                value = absolute_place(value)
            parameters[field.name] = form_value(field, value)
        return ReadyPipeline(self.pipeline, {**parameters, "gpus": str(gpus)})

    def _options(self, given: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Step -> its options as its task will have them."""
        made: dict[str, tuple[Any, ...]] = {}
        for step, settings in self.settings.items():
            named = {name: given[name] for name in self.own[step] & set(given)}
            pruned = made["prune"][0] if step == "train" and "prune" in made else None
            if pruned is not None:
                named = with_start_of_a_task(named, pruned)
            try:
                made[step] = task_options(STEP_OPTIONS[step], {**named, SETTINGS: given.get(settings, "")})
                if pruned is not None and not pruned.cfg:
                    made[step] = without_start(made[step])
            except OptionsError as error:
                flag = f"--{settings.replace('_', '-')}"
                text = str(error)
                raise OptionsError(flag + text.removeprefix(SETTINGS) if text.startswith(SETTINGS) else text) from error
        return made

    def _flag(self, name: str) -> str:
        """The flag of a field of the form."""
        return next(f"--{flag.replace('_', '-')}" for flag, field in self.fields.items() if field.name == name)

    def _flag_of(self, step: str, name: str) -> str:
        """How an option of a step is given: by a flag, or in the step's settings."""
        if name in self.own[step] and any(field.name == name for field in self.fields.values()):
            return self._flag(name)
        return f"--{self.settings[step].replace('_', '-')}: {name}"

    def _document(self, name: str, value: str) -> str:
        """The text of a document where it lies on this machine; else as it was given."""
        is_text = "\n" in value or is_settings_text(value)
        if not value or is_text or is_s3(value) or value.startswith(("nas://", "file:///nas/", "/nas/")):
            return value
        try:
            return existing_path(value, what="file").read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise OptionsError(f"{self._flag(name)}: {error}") from error

    def _check_documents(self, given: Mapping[str, Any], pods: Pods) -> None:
        """Raises `OptionsError` for a document, as far as it is at hand, that its task would refuse."""
        text = given.get("experiment", "")
        if "\n" in text:
            from traffic_yolo.katib.check.check import check_text

            report = check_text(text, ignore=given["ignore"])
            if report.first_error:
                raise OptionsError(
                    f"{self._flag('experiment')}: {report.first_error}; `traffic-yolo katib check` lists all, "
                    "--ignore RULE passes over one"
                )
        if is_settings_text(given.get("trainjob", "")):
            from traffic_yolo.training.trainjob_task import trainjob_settings

            secret = pods.s3_secret if pods.has_secret else ""
            trainjob_settings(given["trainjob"], nas_claim=pods.nas_claim, s3_secret=secret)


def _check_gpus(gpus: int, made: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises `OptionsError` for a number of GPUs that the tasks with some would refuse."""
    from traffic_yolo.commands.run_checks import check_gpus
    from traffic_yolo.detection.inference_options import InferenceOptions, on_gpus

    check_gpus(gpus, made["train"][0] if "train" in made else None, here=False)
    if "train" not in made and gpus:
        (inference,) = (one for one in made["evaluate"] if isinstance(one, InferenceOptions))
        try:
            on_gpus(inference, gpus)
        except OptionsError as error:
            raise OptionsError(f"--{error}") from error


def _own_field(parameter: inspect.Parameter, text: str) -> "dataclasses.Field[Any]":
    """A parameter that is no option of a step as a field, so that it becomes a flag as they do."""
    default = dataclasses.MISSING if parameter.default is inspect.Parameter.empty else parameter.default
    field = copy.copy(option(default, text, location=OWN_PLACES.get(parameter.name, "")))
    field.name, field.type = parameter.name, parameter.annotation
    found: dataclasses.Field[Any] = field
    return found


def _read_here(settings: str) -> str:
    """The text of a step's settings: a file on this machine would not be there in a pod."""
    if not settings or is_settings_text(settings):
        return settings
    return existing_path(settings, what="settings file").read_text(encoding="utf-8")


def _absolute_settings(settings: str, options_types: tuple[type[Any], ...]) -> str:
    """A step's settings, or those of a file, as YAML text whose places are absolute."""
    fields = fields_of(*options_types)
    found = read_settings(settings, *options_types)
    made = {
        name: absolute_place(value) if fields[name].metadata.get("location") else value for name, value in found.items()
    }
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in made.items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) if plain else ""
