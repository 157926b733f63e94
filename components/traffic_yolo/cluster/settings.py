"""What one cluster gives to the tasks of a run: images, claims, secrets, nodes, amounts, times. One file, one truth.

`ClusterSettings.read` takes the file (`docs/cluster.example.yaml` shows all of it). Every value is held to
Kubernetes' own rules here, so that no pod is refused for it later. Names of secrets stand in it, never their content.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from traffic_yolo.checked_values import NUMBER_AS_TEXT, CheckedValue
from traffic_yolo.cluster import kubernetes_rules as rules
from traffic_yolo.cluster.server_release import Release, release
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath, read_yaml
from traffic_yolo.storage import shown as shown_location

MOST_GPUS = 9999
MOST_RETRIES = 100
ACCESS_MODES = ("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod")
PLACES = ("node", "volume")
PULL_POLICIES = ("", "Always", "IfNotPresent", "Never")


def setting(default: Any, help_text: str, *, number_as_text: bool = False) -> Any:
    """A field of the settings; `default` may be a type that makes one.

    `number_as_text`: a number is taken as the text of it.
    """
    metadata = {"help": help_text, NUMBER_AS_TEXT: number_as_text}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Images:
    """Where the images lie, and who may fetch them."""

    prefix: str = setting("", "Registry and path before the images' names; empty: TRAFFIC_YOLO_IMAGE_PREFIX.")
    pull_secrets: tuple[str, ...] = setting((), "Secrets with which a node fetches them.")
    pull_policy: str = setting("", "Always, IfNotPresent or Never; empty: the cluster's rule.")

    def __post_init__(self) -> None:
        if self.prefix:
            rules.check_image_prefix("prefix", self.prefix)
        for name in self.pull_secrets:
            rules.check_name("pull_secrets", name)
        _one_of("pull_policy", self.pull_policy, PULL_POLICIES)


@dataclass(frozen=True)
class Nas:
    """The claims of the share: tasks that only read get the second one, where there is one."""

    claim: str = setting("nas-data", "PersistentVolumeClaim that is mounted at /nas and can be written.")
    read_only_claim: str = setting("", "Claim of a read-only volume of the same share; empty: all tasks get `claim`.")

    def __post_init__(self) -> None:
        rules.check_claim("claim", self.claim)
        if self.read_only_claim:
            rules.check_claim("read_only_claim", self.read_only_claim)
        if self.claim == self.read_only_claim:
            raise OptionsError(f"read_only_claim: expected another claim than `claim`, found {shown(self.claim)} twice")


@dataclass(frozen=True)
class Scratch:
    """Room for temporary files at /scratch: a claim that pods share, or room that comes and goes with each pod.

    A volume belongs to root as a rule, and a pipeline cannot say `fsGroup`: the first task looks whether its user can
    write there.
    """

    claim: str = setting("", "Claim that all pods share.")
    size: str = setting("", "Size of the room that each pod gets for itself, such as 200Gi.")
    place: str = setting("node", "Where that is: node (its disk) or volume (an ephemeral one).")
    storage_class: str = setting("", "StorageClass of the volume; empty: the cluster's default.")
    access_mode: str = setting("ReadWriteOnce", f"Access mode of the volume: {', '.join(ACCESS_MODES)}.")

    def __post_init__(self) -> None:
        if bool(self.claim) == bool(self.size):
            raise OptionsError("claim or size: expected one of them")
        _one_of("place", self.place, PLACES)
        if self.storage_class and self.place != "volume":
            raise OptionsError("storage_class: only place: volume takes one; leave it out")
        if self.claim:
            rules.check_claim("claim", self.claim)
            if self.place == "volume":
                raise OptionsError("place: a claim is where it is; leave place out, or give size in the claim's place")
        else:
            rules.check_bytes("size", self.size)
        if self.storage_class:
            rules.check_name("storage_class", self.storage_class)
        _one_of("access_mode", self.access_mode, ACCESS_MODES)


@dataclass(frozen=True)
class Toleration:
    """A taint of nodes that pods bear; the fields are Kubernetes'."""

    key: str = setting("", "The taint's key; empty: any, with operator Exists.")
    operator: str = setting("Equal", "Equal or Exists.")
    value: str = setting("", "The taint's value, with operator Equal.")
    effect: str = setting("", "NoSchedule, PreferNoSchedule, NoExecute; empty: any.")
    seconds: int | None = setting(None, "How long NoExecute is borne; left out: for ever.")

    def __post_init__(self) -> None:
        _one_of("operator", self.operator, ("Equal", "Exists"))
        _one_of("effect", self.effect, rules.EFFECTS)
        if self.key:
            rules.check_label_key("key", self.key)
        elif self.operator != "Exists":
            raise OptionsError("key: expected a taint's key, or operator Exists for every taint")
        rules.check_label_value("value", self.value)
        if self.operator == "Exists" and self.value:
            raise OptionsError("value: operator Exists takes none; leave it out, or use Equal")
        if self.seconds is not None and self.effect != "NoExecute":
            raise OptionsError("seconds: only effect NoExecute takes them")


@dataclass(frozen=True)
class Gpu:
    """The accelerators of tasks that ask for some, and the nodes that have them."""

    resource: str = setting("nvidia.com/gpu", "Name of the resource: nvidia.com/gpu, or a MIG profile's.")
    count: int = setting(0, "How many a run takes that does not say: the form's default.")
    node_selector: dict[str, str] = setting(dict, "Labels of their nodes, besides those of all tasks.")
    tolerations: tuple[Toleration, ...] = setting((), "Taints of their nodes, besides those of all tasks.")

    def __post_init__(self) -> None:
        rules.check_resource_name("resource", self.resource)
        _in_range("count", self.count, 0, MOST_GPUS)
        _check_selector(self.node_selector)


@dataclass(frozen=True)
class Amounts:
    """Processors and memory. Kubeflow's driver knows no others: no ephemeral storage."""

    cpu: str = setting("", "Processors, such as 500m or 8.", number_as_text=True)
    memory: str = setting("", "Memory, such as 32Gi.", number_as_text=True)

    def __post_init__(self) -> None:
        if self.cpu:
            rules.check_cpu("cpu", self.cpu)
        if self.memory:
            rules.check_bytes("memory", self.memory)


@dataclass(frozen=True)
class Retries:
    """How often a task is begun again, and how long between."""

    count: int = setting(2, "How often; 0: never.")
    backoff: str = setting("30s", "Time before the first.")
    factor: float = setting(2.0, "How much longer each time.")
    most: str = setting("10m", "Longest time between two.")

    def __post_init__(self) -> None:
        _in_range("count", self.count, 0, MOST_RETRIES)
        if not 1 <= self.factor <= MOST_RETRIES:
            raise OptionsError(f"factor: expected a number from 1 to {MOST_RETRIES}, found {self.factor:g}")
        if rules.seconds("backoff", self.backoff) > rules.seconds("most", self.most):
            raise OptionsError(f"backoff: expected at most `most`, {self.most}, found {self.backoff}")


@dataclass(frozen=True)
class Step:
    """What a step's task gets; what is left out is the pipeline's own."""

    requests: Amounts = setting(Amounts, "What the node must have free.")
    limits: Amounts = setting(Amounts, "What it may not pass.")
    timeout: str = setting("", "Longest time of its pod, such as 48h.")
    retries: Retries | None = setting(None, "How often it is begun again.")

    def __post_init__(self) -> None:
        for name in ("cpu", "memory"):
            check_request(name, getattr(self.requests, name), getattr(self.limits, name))
        if self.timeout:
            rules.seconds("timeout", self.timeout)


@dataclass(frozen=True)
class RunAs:
    """The user in the container. Since 2.16; what else PodSecurity `restricted` wants, the server adds itself."""

    user: int | None = setting(None, "Its number; left out: the image's.")
    group: int | None = setting(None, "Its group's number.")
    non_root: bool = setting(True, "Whether the node refuses a container whose user is root.")

    def __post_init__(self) -> None:
        for name in ("user", "group"):
            if getattr(self, name) is not None:
                _in_range(name, getattr(self, name), 0, rules.MOST_ID)
        if self.non_root and self.user == 0:
            raise OptionsError("user: 0 is root, and non_root is true; give another user, or non_root: false")


@dataclass(frozen=True)
class Summary:
    """The task that ends every run, whatever happened to it. Since 2.14."""

    webhook_secret: str = setting("", "Secret with the address that is told how the run ended; empty: nobody is.")
    webhook_key: str = setting("url", "Its key.")

    def __post_init__(self) -> None:
        if self.webhook_secret:
            rules.check_name("webhook_secret", self.webhook_secret)
        rules.check_secret_key("webhook_key", self.webhook_key)


@dataclass(frozen=True)
class ClusterSettings:
    """All of it. Raises `OptionsError` for what Kubernetes or Kubeflow Pipelines would refuse."""

    min_server: str = setting("2.17", "Oldest release of Kubeflow Pipelines that has to take the runs, in quotes.")
    host: str = setting("", "Address of its API; empty: --host.")
    namespace: str = setting("", "Namespace of the runs; empty: --namespace.")
    service_account: str = setting("", "Service account of the runs' pods; empty: the server's.")
    images: Images = setting(Images, "Where the images lie.")
    nas: Nas = setting(Nas, "The share.")
    s3_secret: str = setting("", "Secret with address and credentials of the object storage; empty: without.")
    scratch: Scratch | None = setting(None, "Room for temporary files; left out: the node's disk.")
    shared_memory: str = setting("4Gi", "Size of /dev/shm of the training, which counts as its memory.")
    gpu: Gpu = setting(Gpu, "Accelerators.")
    node_selector: dict[str, str] = setting(dict, "Labels of the nodes for all tasks.")
    tolerations: tuple[Toleration, ...] = setting((), "Taints that all tasks bear.")
    run_as: RunAs | None = setting(None, "The user in the containers; left out: the image's.")
    summary: Summary | None = setting(None, "`summary: {}` ends every run with a summary; left out: none.")
    default: Step = setting(Step, "What every step gets.")
    steps: dict[str, Step] = setting(dict, "Step -> what it gets instead: train, convert, evaluate ...")

    def __post_init__(self) -> None:
        release("min_server", self.min_server)
        if self.host and not self.host.startswith(("http://", "https://")):
            raise OptionsError(f"host: expected https://…, found {shown(self.host)}")
        if self.namespace:
            rules.check_dns_label("namespace", self.namespace)
        for name in ("service_account", "s3_secret"):
            if getattr(self, name):
                rules.check_name(name, getattr(self, name))
        rules.check_bytes("shared_memory", self.shared_memory)
        _check_selector(self.node_selector)
        self._check_claims()
        for name in self.steps:
            self.step(name)

    def _check_claims(self) -> None:
        """A pod cannot mount one claim twice: the driver gives both volumes its name."""
        scratch = self.scratch.claim if self.scratch else ""
        if scratch and scratch in (self.nas.claim, self.nas.read_only_claim):
            raise OptionsError(f"scratch.claim: expected another claim than the share's, found {shown(scratch)}")

    @property
    def release(self) -> Release:
        """`min_server` as a pair of numbers."""
        return release("min_server", self.min_server)

    def step(self, name: str) -> Step:
        """What a step gets: its own values, else those of `default`. Raises `OptionsError` where they do not fit."""
        own, default = self.steps.get(name, Step()), self.default
        try:
            return Step(
                requests=_filled(own.requests, default.requests),
                limits=_filled(own.limits, default.limits),
                timeout=own.timeout or default.timeout,
                retries=own.retries or default.retries,
            )
        except OptionsError as error:
            raise OptionsError(f"steps.{name}, with what default gives it: {error}") from error

    @classmethod
    def read(cls, path: AnyPath) -> "ClusterSettings":
        """The settings in a YAML file. Raises `OptionsError` with the file and the place in it, `StorageError`."""
        document = f"cluster file {shown_location(str(path))}"
        value = read_yaml(path, what="cluster file", error=OptionsError)
        found = CheckedValue(value, document, OptionsError).of_type(cls)
        assert isinstance(found, cls)
        return found


def check_request(name: str, request: str, limit: str) -> None:
    """Raises `OptionsError` where a request passes the limit, which Kubernetes refuses; empty texts are no amounts."""
    if request and limit and rules.amount(name, request) > rules.amount(name, limit):
        raise OptionsError(f"requests.{name}: expected at most the limit, {limit}, found {request}")


def _filled(own: Amounts, default: Amounts) -> Amounts:
    return dataclasses.replace(default, **{name: value for name, value in dataclasses.asdict(own).items() if value})


def _check_selector(selector: dict[str, str]) -> None:
    for key, value in selector.items():
        rules.check_label_key("node_selector", key)
        rules.check_label_value(f"node_selector.{key}", value)


def _one_of(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise OptionsError(f"{name}: expected one of {', '.join(filter(None, words))}, found {shown(value)}")


def _in_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise OptionsError(f"{name}: expected a whole number from {least} to {most}, found {shown(value)}")
