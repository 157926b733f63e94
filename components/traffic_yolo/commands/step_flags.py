"""The flags of the steps of a pipeline: made of their options, checked, and put into the parameters of the form."""

import dataclasses
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.location_types import SETTINGS_TYPE
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.errors import OptionsError
from traffic_yolo.option_settings import read_settings, task_options
from traffic_yolo.options import SETTINGS, fields_of, form_value, headlines

PIPELINES = "traffic_yolo_pipelines"
_STEP_OPTIONS = importlib.import_module(f"{PIPELINES}.step_options")
STEP_OPTIONS: dict[str, tuple[type[Any], ...]] = _STEP_OPTIONS.STEP_OPTIONS
# Steps of the pipeline, in order. Of those that have no flags of their own here, `--<step>-settings` takes the options.
STEPS = ("snapshot", "convert", "train", "evaluate", "tune", "validate", "publish")
RETRAIN_STEPS = ("snapshot", "new_data", *STEPS[1:])  # those of the retraining, which shares the names of these
WITH_ALL_FLAGS = ("snapshot", "new_data", "convert", "train", "publish")
OWN_NAMES: dict[str, frozenset[str]] = _STEP_OPTIONS.own_names(RETRAIN_STEPS)
WITH_FLAGS = (*WITH_ALL_FLAGS, "tune")  # of tune, those of the form

# Of a training that starts from what a task before it gives (a pruned model, the version in use): weights of that
# name, for options that need some to start from; afterwards none, and nothing else that needs them
OF_START = ("cfg", "weights", "weights_names")
GIVEN_LATER = "(given by the task before)"
_NOWHERE: dict[str, Any] = dict.fromkeys((*OF_START, "quantisers", "teacher"), "") | {
    "fine_tune_layers": None,
    "batch_norm": None,
}


def with_start_of_a_task(given: Mapping[str, Any], start: Any = None) -> dict[str, Any]:
    """Options of a training by name, where what they start from is given by a task before it; to be made options of.

    `start`: an object whose fields say it where files are given for it.
    """
    return {**given, **{name: getattr(start, name, "") or GIVEN_LATER for name in OF_START}}


def without_start(made: Sequence[Any]) -> tuple[Any, ...]:
    """Options that were made with the start of a task, as they stand before it has run: its files are nowhere yet."""
    return (dataclasses.replace(made[0], **_NOWHERE), *made[1:])


def _with_flags(step: str) -> set[str]:
    """The options of a step that have a flag of their own here; steps that share one mean the same by it."""
    if step in WITH_ALL_FLAGS:
        return set(OWN_NAMES[step])
    return set(headlines(*STEP_OPTIONS[step])) & OWN_NAMES[step] if step in WITH_FLAGS else set()


def flags_of_steps(command: Callable[..., Any], steps: Sequence[str] = STEPS) -> Callable[..., Any]:
    """Adds the flags of every step: an option that two steps share stands once."""
    seen: set[str] = set()
    decorators = []
    for step in steps:
        for options_type in STEP_OPTIONS[step]:
            hidden = set(fields_of(options_type)) - (_with_flags(step) - seen)
            decorators.append(options_of(options_type, skip=tuple(hidden), for_pipeline=True))
        seen |= _with_flags(step)
        if _with_flags(step) == set(fields_of(*STEP_OPTIONS[step])) and step == "new_data":
            continue  # every option has a flag, and no step before it has one of the names
        decorators.append(
            click.option(
                f"--{step}-{SETTINGS}",
                default="",
                type=SETTINGS_TYPE,
                help=f"YAML file, or text, with options of {step}.",
            )
        )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def resolved_options(flags: Mapping[str, Any], steps: Sequence[str] = STEPS) -> dict[str, tuple[Any, ...]]:
    """Step -> its options as its task will have them; checks them all, and raises `OptionsError`."""
    made = {}
    for step in steps:
        given = {name: flags[name] for name in _with_flags(step)}
        # The retraining starts from the version in use; its own files are for the first attempt
        of_version = step == "train" and "new_data" in steps and not any(flags[name] for name in OF_START)
        if of_version:
            given = with_start_of_a_task(given)
        try:
            made[step] = task_options(STEP_OPTIONS[step], {**given, SETTINGS: flags.get(f"{step}_{SETTINGS}", "")})
            if of_version:
                made[step] = without_start(made[step])
        except OptionsError as error:
            text = str(error)
            raise OptionsError(f"--{step}-{text}" if text.startswith(SETTINGS) else text) from error
    return made


def flag_in_steps(step: str, name: str) -> str:
    """How an option of a step is given here: by its flag, or in the step's settings."""
    return f"--{name.replace('_', '-')}" if name in _with_flags(step) else f"--{step}-{SETTINGS}: {name}"


def places_in(
    made: Mapping[str, tuple[Any, ...]], flag_of: Callable[[str, str], str] = flag_in_steps
) -> Iterator[tuple[str, str]]:
    """How each location among the steps' options was given (`--source`, `--evaluate-settings: trained_on`), and it.

    `flag_of`: the former, of a step and the name of its option. Those that a policy in braces names are among them; no
    name of a layout or of a public data set is.
    """
    for step, every in made.items():
        for options in every:
            for name, field in fields_of(type(options)).items():
                if not field.metadata.get("location") or name == "cache_folder":  # which is on a disk of the pod's own
                    continue
                given = getattr(options, name)
                flag = flag_of(step, name)
                for value in (given,) if isinstance(given, str) else given:
                    if name == "policy" and value.lstrip().startswith("{"):
                        policy = policy_at(value)
                        named = {one: getattr(policy, one) for one, of in fields_of(type(policy)).items()
                                 if of.metadata.get("location")}  # fmt: skip
                        yield from ((f"{flag}: {one}", where) for one, where in named.items() if where)
                    elif value and not _is_name(name, value):
                        yield flag, value


def _is_name(option: str, value: str) -> bool:
    """Whether an option that may be a location is a name instead, or text in braces."""
    is_layout = option == "layout" and value in builtin_layouts()
    is_public = option == "trained_on" and value.partition("/")[0] == "coco"
    return is_layout or is_public or value.lstrip().startswith("{")


def form_of(
    flags: Mapping[str, Any], form: Collection[str], *, absolute: bool = False, steps: Sequence[str] = STEPS
) -> dict[str, Any]:
    """The parameters of the pipeline, whose form has the names `form`, that the flags come to.

    An option that the form does not show goes into its step's settings, as YAML text: a file on this machine would
    not be there in a pod. With `absolute`, relative paths become absolute: tasks on this machine run elsewhere.
    """
    parameters: dict[str, Any] = {}
    for step in steps:
        fields = fields_of(*STEP_OPTIONS[step])
        settings = read_settings(flags.get(f"{step}_{SETTINGS}", ""), *STEP_OPTIONS[step])
        for name, field in fields.items():
            value = flags[name] if name in _with_flags(step) else settings.get(name, field.default)
            if absolute and field.metadata.get("location"):
                value = absolute_place(value)
            if name in form and name in OWN_NAMES[step]:
                parameters[name] = form_value(field, value)
            elif value != field.default:
                settings[name] = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True) if settings else ""
        if f"{step}_{SETTINGS}" in form:
            parameters[f"{step}_{SETTINGS}"] = text
    return parameters


def absolute_place(location: Any) -> Any:
    """A location with a relative path made absolute; a name of a layout, or text in braces, stays as it is."""
    if isinstance(location, tuple):
        return tuple(absolute_place(one) for one in location)
    is_path = location and "://" not in location and not location.lstrip().startswith("{")
    return str(Path(location).resolve()) if is_path and location not in builtin_layouts() else location
