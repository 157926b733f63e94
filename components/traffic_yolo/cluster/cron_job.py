"""A CronJob of Kubernetes that runs one command on a schedule, for clusters without Kubeflow Pipelines.

Its pod satisfies PodSecurity `restricted`: not root, no privileges, a root file system that is read only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from traffic_yolo.cluster.cron import Cron
from traffic_yolo.container_images import USER_ID
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.storage import NAS_ROOT_VARIABLE
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH, NO_SECRET, S3_SECRET_KEYS

WORK = "/work"  # an emptyDir: all that the command may write beside the NAS
MOST_NAME = 52  # of a CronJob, whose Jobs have eleven characters more
LATEST_START_S = 3600  # after which a start that was missed (a node that was away) is left out
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class CronJob:
    """What runs, and when. `time_zone`: an IANA name, in which the schedule counts; `arguments`: the whole command.

    Raises `OptionsError` for a name that a CronJob cannot have.
    """

    name: str
    schedule: Cron
    image: str
    arguments: Sequence[str]
    time_zone: str = "Etc/UTC"
    namespace: str = ""
    nas_claim: str = ""
    s3_secret: str = NO_SECRET
    gpus: int = 0

    def __post_init__(self) -> None:
        if len(self.name) > MOST_NAME or not _NAME.fullmatch(self.name):
            raise OptionsError(
                f"name: expected at most {MOST_NAME} of a-z, 0-9 and -, for a CronJob; found {shown(self.name)}"
            )

    def manifest(self) -> dict[str, Any]:
        """The object, as Kubernetes 1.27 and later take it."""
        metadata = {"name": self.name, **({"namespace": self.namespace} if self.namespace else {})}
        return {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": metadata,
            "spec": {
                "schedule": self.schedule.for_cron_job(),
                "timeZone": self.time_zone,
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": LATEST_START_S,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": self._pod()}}},
            },
        }

    def text(self) -> str:
        """The manifest as YAML, with what it does before it."""
        words = f"# {self.schedule.words}, {self.time_zone}: {self.arguments[0]} {self.arguments[1]}"
        return f"{words}\n{yaml.safe_dump(self.manifest(), sort_keys=False, allow_unicode=True, width=120)}"

    def _pod(self) -> dict[str, Any]:
        volumes: list[dict[str, Any]] = [
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            # DataLoader workers hand pictures over through shared memory; a pod has 64 MiB of it by default
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}},
        ]
        mounts: list[dict[str, Any]] = [
            {"name": "work", "mountPath": WORK},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ]
        if self.nas_claim:
            volumes.append({"name": "nas", "persistentVolumeClaim": {"claimName": self.nas_claim}})
            mounts.append({"name": "nas", "mountPath": NAS_MOUNT_PATH})
        limits: dict[str, Any] = {"memory": "32Gi", **({"nvidia.com/gpu": str(self.gpus)} if self.gpus else {})}
        return {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": self.image,
                    "command": list(self.arguments),
                    "workingDir": WORK,
                    "env": self._environment(),
                    "resources": {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": limits},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": mounts,
                }
            ],
            "volumes": volumes,
        }

    def _environment(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = [
            {"name": "HOME", "value": WORK},
            {"name": "MPLCONFIGDIR", "value": f"{WORK}/.matplotlib"},
            {"name": NAS_ROOT_VARIABLE, "value": NAS_MOUNT_PATH},
        ]
        if self.s3_secret != NO_SECRET:
            found += [
                {"name": key, "valueFrom": {"secretKeyRef": {"name": self.s3_secret, "key": key, "optional": True}}}
                for key in S3_SECRET_KEYS
            ]
        return found
