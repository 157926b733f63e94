"""Where a training on a cluster runs: the options of `traffic-yolo train --emit trainjob`."""

import re
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import check_options, option
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH

MOST_NAME = 50  # of a Service's 63 letters the JobSet's own parts take up to 13
MAY_BE_EMPTY = ("namespace", "s3_secret", "pull_secret")
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, which the Trainer's webhook asks of a TrainJob
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGTPE]i?|k)?")


@dataclass(frozen=True)
class TrainJobOptions:
    """A TrainJob's nodes and claims. Raises `OptionsError` for names and amounts that Kubernetes would refuse."""

    job_name: str = option("traffic-yolo-train", "Name of the TrainJob.")
    namespace: str = option("", "Its namespace; empty: the one that it is submitted to.")
    runtime: str = option("torch-distributed", "ClusterTrainingRuntime that it runs by.")
    nodes: int = option(1, "Pods that train together.", least=1)
    processes_per_node: int = option(1, "Processes in each; with GPUs one process takes one.", least=1)
    gpus_per_node: int = option(0, "GPUs of each pod; 0: on CPUs.", least=0)
    cpus_per_node: str = option("4", "Processors of each pod, requested and as a limit.")
    memory_per_node: str = option("16Gi", "Memory of each pod, requested and as a limit.")
    nas_claim: str = option("nas-data", f"PersistentVolumeClaim (read-write-many), mounted at {NAS_MOUNT_PATH}.")
    s3_secret: str = option("", "Secret with address and credentials of the object storage, for s3:// locations.")
    pull_secret: str = option("", "Secret with which the image is pulled.")
    max_restarts: int = option(3, "How often torchrun starts all processes anew after one has failed.", least=0)

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("job_name", "namespace", "runtime", "nas_claim", "s3_secret", "pull_secret"):
            value = getattr(self, name)
            if not (value or name in MAY_BE_EMPTY) or (value and not _NAME.fullmatch(value)) or len(value) > MOST_NAME:
                expected = f"at most {MOST_NAME} of a-z, 0-9 and -, beginning with a letter"
                raise OptionsError(f"{name}: expected {expected}, found {shown(value)}")
        for name, example in (("cpus_per_node", "4 or 500m"), ("memory_per_node", "16Gi")):
            if not _QUANTITY.fullmatch(getattr(self, name)):
                raise OptionsError(f"{name}: expected an amount such as {example}, found {shown(getattr(self, name))}")
        if self.gpus_per_node and self.processes_per_node > self.gpus_per_node:
            raise OptionsError(
                f"processes_per_node: expected at most gpus_per_node={self.gpus_per_node}, found "
                f"{self.processes_per_node}; each process needs a GPU of its own"
            )


@dataclass(frozen=True)
class TrainJobTaskOptions:
    """How a task of a pipeline follows its TrainJob. Raises `OptionsError` for values that make no sense."""

    timeout_hours: float = option(72.0, "Longest time to wait, since it was made.", least=0)
    keep: bool = option(
        True, "Whether it stays on the cluster: when it is over, and suspended where the task ends before it."
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.timeout_hours == 0:
            raise OptionsError("timeout_hours: expected a time above 0, found 0")
