"""What commands that start a pipeline, or have it started on a schedule, have in common: flags, checks, parameters."""

import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.commands.json_result import json_option, print_json
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.commands.step_flags import OWN_NAMES, PIPELINES, STEP_OPTIONS, form_of, places_in, resolved_options
from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.options import check_value, fields_of
from traffic_yolo.storage.in_pods import NO_SECRET

Command = TypeVar("Command", bound=Callable[..., Any])
Where = Literal["local", "submit"]
HOST_VARIABLE, NAMESPACE_VARIABLE = "TRAFFIC_YOLO_KFP_HOST", "TRAFFIC_YOLO_KFP_NAMESPACE"
FAILED_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
DEFAULT_CLAIM = "nas-data"


def server_options(command: Command) -> Command:
    """Adds where the server of Kubeflow Pipelines is, and whose namespace is meant; `Server.of` takes them."""
    for decorate in (
        click.option(
            "--namespace", default="", help=f"Kubeflow namespace; else --cluster's, else {NAMESPACE_VARIABLE}."
        ),
        click.option(
            "--host", default="", help=f"Address of the Kubeflow Pipelines API; else --cluster's, else {HOST_VARIABLE}."
        ),
        click.option("--cluster", "cluster_file", default="", type=READ, help="Settings of the cluster, a YAML file."),
    ):
        command = decorate(command)
    return command


def pod_options(command: Command) -> Command:
    """Adds what a pod is given on a cluster; `Pods.of` takes them."""
    for decorate in (
        click.option(
            "--gpus",
            default=None,
            type=int,
            help="GPUs of the task that trains (in evaluate: of each that detects), which fails where it sees none; by "
            "default the cluster file's, else 0.",
        ),
        *STORAGE_OPTIONS,
    ):
        command = decorate(command)
    return command


STORAGE_OPTIONS = (
    click.option(
        "--s3-secret",
        default=NO_SECRET,
        show_default=True,
        help="Kubernetes secret with address and credentials of the object storage (cluster).",
    ),
    click.option(
        "--nas-claim", default=DEFAULT_CLAIM, show_default=True, help="PersistentVolumeClaim of the NAS (cluster)."
    ),
)


def watch_options(command: Command) -> Command:
    """Adds whether a run is waited for, and how it is told; `Watching.of` takes them."""
    for decorate in (
        json_option,
        click.option("--follow", is_flag=True, help="Wait, and print what the tasks print."),
        click.option("--wait", is_flag=True, help="Wait for the run's end: exit code 0 where it succeeded, else 1."),
    ):
        command = decorate(command)
    return command


def run_options(command: Command) -> Command:
    """Adds where a pipeline that runs here or on a cluster is to run, and all that either needs; `begin` takes them."""
    for decorate in (
        pod_options,
        watch_options,
        click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment (with --submit)."),
        server_options,
        click.option("--out", default="runs", show_default=True, type=WRITE, help="Folder of local runs."),
        click.option("--submit", "where", flag_value="submit", help="Start a run on the server named by --host."),
        click.option("--local", "where", flag_value="local", default=True, help="Run here, under kfp.local (default)."),
    ):
        command = decorate(command)
    return command


@dataclass(frozen=True)
class Server:
    """A server that is meant, and the settings of its cluster where there is a file of them."""

    host: str
    namespace: str
    cluster: ClusterSettings | None = None

    @classmethod
    def of(cls, flags: dict[str, Any], *, asked_by: str = "") -> "Server":
        """Takes the flags of `server_options` out of `flags`; a flag wins over the file, that over the environment.

        `asked_by`: the flag that wants a server, for the message. Raises `OptionsError` where none is named.
        """
        host, namespace = flags.pop("host"), flags.pop("namespace")
        file = flags.pop("cluster_file")
        cluster = ClusterSettings.read(file) if file else None
        if cluster:
            importlib.import_module(f"{PIPELINES}.cluster_package").check_steps_of(cluster)
        host = host or (cluster.host if cluster else "") or os.environ.get(HOST_VARIABLE, "") or _host_in_pod()
        if not host:
            what = f"{asked_by} needs --host" if asked_by else "--host: expected"
            raise OptionsError(
                f"{what}{',' if asked_by else ''} the address of the Kubeflow Pipelines API, or --cluster with its "
                f"host, or {HOST_VARIABLE}; found nothing"
            )
        namespace = namespace or (cluster.namespace if cluster else "") or os.environ.get(NAMESPACE_VARIABLE, "")
        return cls(host, namespace, cluster)

    def connected(self) -> Any:
        """The connection to it; raises `ClusterError`."""
        return importlib.import_module(f"{PIPELINES}.server_connection").Connection(self.host, self.namespace)


@dataclass(frozen=True)
class Pods:
    """What the pods of a run are given. `has_names`: whether the compiled pipeline has claim and secret already."""

    nas_claim: str
    s3_secret: str
    gpus: int
    has_names: bool = False

    @classmethod
    def of(cls, context: click.Context, flags: dict[str, Any], cluster: ClusterSettings | None = None) -> "Pods":
        """Takes the flags of `pod_options` out of `flags`, and what the cluster's file says in their place.

        Raises `OptionsError` for a flag that would name again what the file does.
        """
        claim, secret, gpus = flags.pop("nas_claim"), flags.pop("s3_secret"), flags.pop("gpus", None)
        if not cluster:
            return cls(claim, secret, gpus or 0)
        for name in ("nas_claim", "s3_secret"):
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise OptionsError(f"--{name.replace('_', '-')}: the cluster file names it; leave the flag out")
        gpus = cluster.gpu.count if gpus is None else gpus
        return cls(cluster.nas.claim, cluster.s3_secret or NO_SECRET, gpus, has_names=True)

    @property
    def has_secret(self) -> bool:
        """Whether they get credentials for object storage."""
        return self.s3_secret != NO_SECRET

    def check_names(self) -> None:
        """Raises `OptionsError` for a name that Kubernetes does not allow."""
        from traffic_yolo.commands.run_checks import check_cluster_names

        check_cluster_names({"--nas-claim": self.nas_claim, "--s3-secret": self.s3_secret})

    def parameters(self, form: frozenset[str]) -> dict[str, Any]:
        """Those of the parameters in a form that are about them."""
        given: dict[str, Any] = {"gpus": str(self.gpus)}
        if not self.has_names:
            given |= {"nas_claim": self.nas_claim, "s3_secret": self.s3_secret}
        return {name: value for name, value in given.items() if name in form}


@dataclass(frozen=True)
class Watching:
    """What is told of a run that was started. `wait`: until its end; `follow`: with what its tasks print."""

    wait: bool
    follow: bool
    as_json: bool

    @classmethod
    def of(cls, flags: dict[str, Any]) -> "Watching":
        """Takes the flags of `watch_options` out of `flags`."""
        follow = flags.pop("follow")
        return cls(flags.pop("wait", False) or follow, follow, flags.pop("as_json"))

    def check_unused(self) -> None:
        """Raises `OptionsError` where a flag is given that a run on this machine does not know."""
        for name, given in {"--follow": self.follow, "--wait": self.wait}.items():
            if given:
                raise OptionsError(f"{name} is for --submit; a run on this machine is waited for in any case")

    def tell(self, line: str) -> None:
        """Prints a line that is not the result."""
        click.echo(line, err=self.as_json)


@dataclass(frozen=True)
class ReadyPipeline:
    """A pipeline and the parameters of a run of it, checked; `notes`: what a user should know of the run, in lines.

    `as_json`: whether the result of a run on this machine is to be JSON.
    """

    pipeline: Any
    parameters: dict[str, Any]
    notes: tuple[str, ...] = ()
    as_json: bool = False


def ready_pipeline(
    name: str, steps: Sequence[str], flags: Mapping[str, Any], pods: Pods, *, where: Where, out: Path | None = None
) -> ReadyPipeline:
    """The pipeline `name` with the parameters that the flags of its `steps` come to.

    Checked here as well as in the tasks, for a wrong value should not cost a started pod; raises `TrafficYoloError`.
    `out`: the folder of local runs.
    """
    for step in steps:
        for field_name, field in fields_of(*STEP_OPTIONS[step]).items():
            if field_name in OWN_NAMES[step] and field_name in flags:
                check_value(field, flags[field_name])  # before what looks at places, which loads for seconds
    from traffic_yolo.commands import run_checks

    if where == "local":
        run_checks.check_locations(flags, [one for step in steps for one in fields_of(*STEP_OPTIONS[step]).values()])
    made = resolved_options(flags, steps)
    run_checks.check_gpus(pods.gpus, made["train"][0], here=where == "local")
    if where == "submit":
        pods.check_names()
        model_name = made["publish"][0].model_name
        run_checks.check_cluster_run(places_in(made), model_name=model_name, has_secret=pods.has_secret)
    else:
        assert out is not None
        run_checks.check_local_run(made, out)
    pipeline = importlib.import_module(f"{PIPELINES}.catalogue").pipeline_named(name)
    form = frozenset(inspect.signature(pipeline.pipeline_func).parameters)
    parameters = form_of(flags, form, absolute=where == "local", steps=steps)
    return ReadyPipeline(pipeline, {**parameters, **pods.parameters(form)}, (made["publish"][0].in_words,))


def begin(
    context: click.Context,
    name: str,
    steps: Sequence[str],
    flags: dict[str, Any],
    *,
    where: Where,
    out: Path,
    experiment: str,
) -> ReadyPipeline | None:
    """What is to run on this machine, ready; None where it was started on the server (`start`).

    Raises `OptionsError` for flags of a server that a run on this machine would take no notice of.
    """
    watching = Watching.of(flags)
    if where == "submit":
        server = Server.of(flags, asked_by="--submit")
        pods = Pods.of(context, flags, server.cluster)
        start(ready_pipeline(name, steps, flags, pods, where=where), server, watching, experiment)
        return None
    watching.check_unused()
    if flags.pop("cluster_file"):
        raise OptionsError("--cluster is for --submit; a run on this machine uses no cluster")
    ready = ready_pipeline(name, steps, flags, Pods.of(context, flags), where=where, out=out)
    return replace(ready, as_json=watching.as_json)


def start(ready: ReadyPipeline, server: Server, watching: Watching, experiment: str) -> None:
    """Starts a run on the server, tells of it as it is to be told, and ends with the exit code for that."""
    connection = server.connected()
    submit = importlib.import_module(f"{PIPELINES}.submit").submit
    try:
        run = submit(connection, ready.pipeline, ready.parameters, experiment=experiment, cluster=server.cluster)
    except KeyboardInterrupt:
        click.echo(f"interrupted: a run may have been started all the same; look at {connection.ui}/#/runs", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    state = "uploaded" if run.version.is_uploaded else "which was there"
    watching.tell(f"version {run.version.name} of {run.pipeline}, {state}")
    watching.tell(f"submitted run {run.run_id}, with the images {', '.join(run.images)}\n{run.link}")
    for note in ready.notes:
        watching.tell(note)
    told = {key: value for key, value in asdict(run).items() if key != "version"}
    told |= {"version": run.version.name, "version_id": run.version.version_id, "is_uploaded": run.version.is_uploaded}
    told |= {"namespace": connection.namespace, "experiment": experiment}
    finish(connection, run.run_id, watching, {**told, "pipeline_id": run.version.pipeline_id})


def finish(connection: Any, run_id: str, watching: Watching, told: Mapping[str, Any]) -> None:
    """Waits for a run where that is wanted, prints the result, and ends with its exit code. `told`: what is known."""
    end = _waited_for(connection, run_id, watching) if watching.wait else None
    if watching.as_json:
        ended = asdict(end) if end else {"state": "", "failures": []}
        print_json({**told, **ended})
    else:
        click.echo(run_id)
    if end and not end.is_success:
        for failure in end.failures:
            click.echo(f"run {end.state.lower()}: {failure.task}: {failure.line}", err=True)
        raise SystemExit(FAILED_EXIT_CODE)


def _waited_for(connection: Any, run_id: str, watching: Watching) -> Any:
    """How a run ended. Whatever ends the wait before, the run goes on, and a line says how to see and how to end it."""
    watch = importlib.import_module(f"{PIPELINES}.run_watch").RunWatch(
        connection, run_id, tell=watching.tell, follow=watching.follow
    )
    where = f"--host {connection.host}" + (f" --namespace {connection.namespace}" if connection.namespace else "")
    goes_on = (
        f"the run goes on; `traffic-yolo pipeline wait {run_id} {where}` waits for it again, `pipeline terminate` in "
        "place of `pipeline wait` ends it"
    )
    try:
        return watch.to_the_end()
    except ClusterError as error:
        raise ClusterError(f"{error}; {goes_on}") from error
    except KeyboardInterrupt:
        click.echo(f"interrupted: {goes_on}", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None


def _host_in_pod() -> str:
    """The address of the server in whose cluster this process is a pod, "" elsewhere."""
    from traffic_yolo.cluster.api_server import is_in_cluster
    from traffic_yolo.run_report.tasks import API_VARIABLE, IN_CLUSTER

    return (os.environ.get(API_VARIABLE) or IN_CLUSTER) if is_in_cluster() else ""
