"""`traffic-yolo run`: the whole pipeline, on this machine or on a cluster."""

import importlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.location_types import READ, SETTINGS_TYPE, WRITE
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.errors import OptionsError
from traffic_yolo.option_settings import read_settings, task_options
from traffic_yolo.options import SETTINGS, fields_of, form_value, headlines
from traffic_yolo.storage.in_pods import NO_SECRET

PIPELINES = "traffic_yolo_pipelines"
_STEP_OPTIONS = importlib.import_module(f"{PIPELINES}.step_options")
STEP_OPTIONS: dict[str, tuple[type[Any], ...]] = _STEP_OPTIONS.STEP_OPTIONS
# Steps of the pipeline, in order. Of those that have no flags of their own here, `--<step>-settings` takes the options.
STEPS = ("snapshot", "convert", "train", "evaluate", "tune", "validate", "publish")
RETRAIN_STEPS = ("snapshot", "new_data", *STEPS[1:])  # those of the retraining, which shares the names of these
WITH_ALL_FLAGS = ("snapshot", "new_data", "convert", "train", "publish")
OWN_NAMES: dict[str, frozenset[str]] = _STEP_OPTIONS.own_names(RETRAIN_STEPS)
WITH_FLAGS = (*WITH_ALL_FLAGS, "tune")  # of tune, those of the form


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


@click.command()
@click.option("--local", "where", flag_value="local", default=True, help="Run here, under kfp.local (default).")
@click.option("--submit", "where", flag_value="submit", help="Start a run on the server named by --host.")
@click.option("--out", default="runs", show_default=True, type=WRITE, help="Folder of local runs.")
@click.option(
    "--cluster", "cluster_file", default="", type=READ, help="Settings of the cluster, a YAML file (with --submit)."
)
@click.option(
    "--host", default="", help="Address of the Kubeflow Pipelines API (with --submit); else the cluster file's."
)
@click.option("--namespace", default="", help="Kubeflow namespace of the run (with --submit); else that of --cluster.")
@click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment (with --submit).")
@click.option("--nas-claim", default="nas-data", show_default=True, help="PersistentVolumeClaim of the NAS (cluster).")
@click.option(
    "--s3-secret",
    default=NO_SECRET,
    show_default=True,
    help="Kubernetes secret with address and credentials of the object storage (cluster).",
)
@click.option(
    "--gpus",
    default=None,
    type=int,
    help="GPUs of the training task, which fails where it sees none; by default the cluster file's, else 0.",
)
@flags_of_steps
@click.pass_context
def command(
    context: click.Context,
    /,
    where: str,
    out: Path,
    cluster_file: str,
    host: str,
    namespace: str,
    experiment: str,
    nas_claim: str,
    s3_secret: str,
    gpus: int | None,
    **flags: Any,
) -> None:
    """Run the whole pipeline on this machine, or submit it to Kubeflow."""
    from traffic_yolo.commands.run_checks import (
        check_cluster_names,
        check_cluster_run,
        check_gpus,
        check_local_run,
        check_locations,
    )

    settings = _cluster_settings(context, cluster_file, where)
    if settings:
        host, namespace, nas_claim = host or settings.host, namespace or settings.namespace, settings.nas.claim
        s3_secret, gpus = settings.s3_secret or NO_SECRET, settings.gpu.count if gpus is None else gpus
    gpus = gpus or 0
    if where == "submit" and not host:
        raise OptionsError(
            "--submit needs --host, the address of the Kubeflow Pipelines API, or --cluster with its host"
        )
    # Checked here as well as in the tasks: a wrong value should not cost a started pod.
    if where == "local":
        check_locations(flags, [field for step in STEPS for field in fields_of(*STEP_OPTIONS[step]).values()])
    made = resolved_options(flags)
    check_gpus(gpus, made["train"][0], here=where == "local")
    if where == "submit":
        check_cluster_names({"--nas-claim": nas_claim, "--s3-secret": s3_secret})
        model_name = made["publish"][0].model_name
        check_cluster_run(places_in(made), model_name=model_name, has_secret=s3_secret != NO_SECRET)
    else:
        check_local_run(made, out)
    pipeline = importlib.import_module(f"{PIPELINES}.finetune_pipeline").finetune_pipeline
    form = set(inspect.signature(pipeline.pipeline_func).parameters)
    parameters = {**form_of(flags, form, absolute=where == "local"), "gpus": str(gpus)}
    if not settings:  # whose names are in the compiled pipeline
        parameters |= {"nas_claim": nas_claim, "s3_secret": s3_secret}
    if where == "submit":
        submit = importlib.import_module(f"{PIPELINES}.submit").submit
        run = submit(
            pipeline, parameters, host=host, namespace=namespace, experiment=experiment, cluster=settings
        )  # fmt: skip
        click.echo(f"submitted run {run.run_id}, with the images {', '.join(run.images)}\n{run.link}")
        click.echo(made["publish"][0].in_words)
        return
    from traffic_yolo.commands.run_summary import run_summary

    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        folder = local_run.run_locally(pipeline, parameters, out).folder
    except local_run.StoppedByGates as error:
        click.echo(run_summary(error.folder, flags["zoo"]))
        raise
    click.echo(run_summary(folder, flags["zoo"]))


def _cluster_settings(context: click.Context, file: str, where: str) -> ClusterSettings | None:
    """The settings in the file of --cluster; None without one.

    Raises `OptionsError` for a flag beside it that would name again what the file does, and for a local run.
    """
    if not file:
        return None
    if where != "submit":
        raise OptionsError("--cluster is for --submit; a run on this machine uses no cluster")
    for name in ("nas_claim", "s3_secret"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise OptionsError(f"--{name.replace('_', '-')}: the cluster file names it; leave the flag out")
    settings = ClusterSettings.read(file)
    importlib.import_module(f"{PIPELINES}.cluster_package").check_steps_of(settings)
    return settings


def resolved_options(flags: Mapping[str, Any], steps: Sequence[str] = STEPS) -> dict[str, tuple[Any, ...]]:
    """Step -> its options as its task will have them; checks them all, and raises `OptionsError`."""
    made = {}
    for step in steps:
        given = {name: flags[name] for name in _with_flags(step)}
        try:
            made[step] = task_options(STEP_OPTIONS[step], {**given, SETTINGS: flags.get(f"{step}_{SETTINGS}", "")})
        except OptionsError as error:
            text = str(error)
            raise OptionsError(f"--{step}-{text}" if text.startswith(SETTINGS) else text) from error
    return made


def places_in(made: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    """How each location among the steps' options was given (`--source`, `--evaluate-settings: trained_on`), and it.

    Those that a policy in braces names are among them; no name of a layout or of a public data set is.
    """
    for step, every in made.items():
        for options in every:
            for name, field in fields_of(type(options)).items():
                if not field.metadata.get("location") or name == "cache_folder":  # which is on a disk of the pod's own
                    continue
                given = getattr(options, name)
                flag = f"--{name.replace('_', '-')}" if name in _with_flags(step) else f"--{step}-{SETTINGS}: {name}"
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
                value = _absolute(value)
            if name in form and name in OWN_NAMES[step]:
                parameters[name] = form_value(field, value)
            elif value != field.default:
                settings[name] = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True) if settings else ""
        if f"{step}_{SETTINGS}" in form:
            parameters[f"{step}_{SETTINGS}"] = text
    return parameters


def _absolute(location: Any) -> Any:
    """A location with a relative path made absolute; a name of a layout, or text in braces, stays as it is."""
    if isinstance(location, tuple):
        return tuple(_absolute(one) for one in location)
    is_path = location and "://" not in location and not location.lstrip().startswith("{")
    return str(Path(location).resolve()) if is_path and location not in builtin_layouts() else location
