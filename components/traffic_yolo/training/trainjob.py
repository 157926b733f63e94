"""A training as a TrainJob of Kubeflow Trainer (trainer.kubeflow.org/v1alpha1), built with the API's own models.

The cluster is left to whoever submits it. One command serves first start and restart: the run folder lies on a claim
that all pods share, and `--resume=auto` goes on from its last checkpoint.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml
from kubeflow_trainer_api.models import (
    IoK8sApiCoreV1EmptyDirVolumeSource,
    IoK8sApiCoreV1EnvVar,
    IoK8sApiCoreV1EnvVarSource,
    IoK8sApiCoreV1LocalObjectReference,
    IoK8sApiCoreV1PersistentVolumeClaimVolumeSource,
    IoK8sApiCoreV1ResourceRequirements,
    IoK8sApiCoreV1SecretKeySelector,
    IoK8sApiCoreV1SecurityContext,
    IoK8sApiCoreV1Toleration,
    IoK8sApiCoreV1Volume,
    IoK8sApiCoreV1VolumeMount,
    IoK8sApimachineryPkgApiResourceQuantity,
    IoK8sApimachineryPkgApisMetaV1ObjectMeta,
    TrainerV1alpha1ContainerPatch,
    TrainerV1alpha1JobSetSpecPatch,
    TrainerV1alpha1JobSetTemplatePatch,
    TrainerV1alpha1JobSpecPatch,
    TrainerV1alpha1JobTemplatePatch,
    TrainerV1alpha1PodSpecPatch,
    TrainerV1alpha1PodTemplatePatch,
    TrainerV1alpha1ReplicatedJobPatch,
    TrainerV1alpha1RuntimePatch,
    TrainerV1alpha1RuntimeRef,
    TrainerV1alpha1Trainer,
    TrainerV1alpha1TrainingRuntimeSpecPatch,
    TrainerV1alpha1TrainJob,
    TrainerV1alpha1TrainJobSpec,
)

from traffic_yolo.container_images import image, in_flavour, is_ours, security_context
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import SETTINGS, changed, fields_of, flag_of, is_plain
from traffic_yolo.processors import THREADS_VARIABLE
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH, S3_SECRET_KEYS
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainjob_options import TrainJobOptions

API_VERSION, KIND = "trainer.kubeflow.org/v1alpha1", "TrainJob"
# The runtime torch-distributed names its replicated job, and the container in it, so (manifests/base/runtimes)
NODE = "node"
MANAGER = "traffic-yolo"  # whose patch it is; others, Kueue say, have entries of their own
GRACE_S = 120  # after SIGTERM: the update in progress, a checkpoint of 250 MB onto a NAS; Kubernetes gives 30
SHARED_MEMORY = "8Gi"  # DataLoader's workers hand pictures over through /dev/shm, of which a pod has 64 MiB
COMMENT = """Written by `traffic-yolo train --emit trainjob`. Submit with `kubectl create -f`.
Needs Kubeflow Trainer 2.2 or later (spec.runtimePatches) and a claim that all nodes can write to."""


def training_command(dataset: str, out: str, training: TrainingOptions, *, max_restarts: int) -> list[str]:
    """What each pod runs: torchrun, which takes nodes, ranks and the meeting point from the PET_ variables that the
    Trainer sets, and in each process `traffic-yolo train` with every option that is not at its default: as a flag,
    or in `--settings` where no flag takes its text.

    Locations are the pods'. Runs without a cluster too: `torchrun --standalone --nproc-per-node=2` says the same as
    PET_STANDALONE=1 and PET_NPROC_PER_NODE=2.
    """
    fields, options = fields_of(TrainingOptions), changed(training)
    plain = {name: value for name, value in options.items() if is_plain(fields[name], value)}
    others = {name: value for name, value in options.items() if name not in plain}
    if others:  # no shell reads the command: the text arrives as it is
        plain[SETTINGS] = yaml.safe_dump(others, default_flow_style=True, width=math.inf, allow_unicode=True).strip()
    given = {"dataset": dataset, **plain, "out": out, "resume": "auto"}
    flags = [_flag(name, value) for name, value in given.items()]
    return ["torchrun", f"--max-restarts={max_restarts}", "-m", "traffic_yolo.cli", "train", *flags]


def trainjob_document(
    dataset: str, out: str, training: TrainingOptions, job: TrainJobOptions, *, image_name: str = ""
) -> dict[str, Any]:
    """The TrainJob as a plain document, ready for YAML or for the API server.

    `image_name`: of the pods; by default that of this process's environment. With GPUs the device is cuda and not auto,
    which an image without CUDA would take for CPUs. Raises `OptionsError` for a location that no pod could find: a path
    that is not below the claim's mount.
    """
    _check_locations(dataset, out, training)
    if job.gpus_per_node and training.device == "auto":
        training = dataclasses.replace(training, device="cuda")
    model = TrainerV1alpha1TrainJob(
        apiVersion=API_VERSION,
        kind=KIND,
        metadata=IoK8sApimachineryPkgApisMetaV1ObjectMeta(name=job.job_name, namespace=job.namespace or None),
        spec=TrainerV1alpha1TrainJobSpec(
            runtimeRef=TrainerV1alpha1RuntimeRef(name=job.runtime),
            trainer=TrainerV1alpha1Trainer(
                image=_image_of_pods(job, image_name or image("train")),
                command=training_command(dataset, out, training, max_restarts=job.max_restarts),
                env=[
                    *(IoK8sApiCoreV1EnvVar(name=name, value=value) for name, value in _environment(job).items()),
                    *_credentials(job),
                ],
                numNodes=job.nodes,
                numProcPerNode=job.processes_per_node,
                resourcesPerNode=_resources(job),
            ),
            runtimePatches=[_patch(job)],
        ),
    )
    document: dict[str, Any] = model.to_dict()
    return document


def trainjob_yaml(document: Mapping[str, Any]) -> str:
    """The TrainJob as YAML text with a comment that says how it is submitted."""
    head = "".join(f"# {line}\n" for line in COMMENT.splitlines())
    ordered = {key: document[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    return head + yaml.safe_dump(ordered, sort_keys=False, width=120)


def _check_locations(dataset: str, out: str, training: TrainingOptions) -> None:
    located = [field.name for field in dataclasses.fields(training) if field.metadata.get("location")]
    places = {"dataset": dataset, "out": out, **{name: getattr(training, name) for name in located}}
    for name, place in places.items():
        path = place.removeprefix("file://")
        if place and "://" not in path and not PurePosixPath(path).is_relative_to(NAS_MOUNT_PATH):
            kinds = "nas://" if name == "out" else "nas://, s3://"
            expected = f"{kinds} or a path below {NAS_MOUNT_PATH}, where the pods have the claim"
            raise OptionsError(f"{name}: expected {expected}; found {shown(place)}")


def _flag(name: str, value: Any) -> str:
    known = fields_of(TrainingOptions)
    flag = flag_of(name, known[name]) if name in known else f"--{name.replace('_', '-')}"  # dataset, out, settings
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    return f"{flag}={value}"


def _environment(job: TrainJobOptions) -> dict[str, str]:
    """Torchrun would set OMP_NUM_THREADS=1 for each of several processes: they share the pod's processors evenly."""
    cpus = float(job.cpus_per_node[:-1]) / 1000 if job.cpus_per_node.endswith("m") else None
    if cpus is None:
        cpus = float(job.cpus_per_node) if re.fullmatch(r"[\d.]+", job.cpus_per_node) else 1.0
    return {
        "TRAFFIC_YOLO_NAS_ROOT": NAS_MOUNT_PATH,
        THREADS_VARIABLE: str(max(1, int(cpus) // job.processes_per_node)),
    }


def _credentials(job: TrainJobOptions) -> list[IoK8sApiCoreV1EnvVar]:
    """Variables from the secret's keys, each of which may be missing."""
    if not job.s3_secret:
        return []
    return [
        IoK8sApiCoreV1EnvVar(
            name=key,
            valueFrom=IoK8sApiCoreV1EnvVarSource(
                secretKeyRef=IoK8sApiCoreV1SecretKeySelector(name=job.s3_secret, key=key, optional=True)
            ),
        )
        for key in S3_SECRET_KEYS
    ]


def _resources(job: TrainJobOptions) -> IoK8sApiCoreV1ResourceRequirements:
    amounts = {"cpu": job.cpus_per_node, "memory": job.memory_per_node}
    if job.gpus_per_node:
        amounts["nvidia.com/gpu"] = str(job.gpus_per_node)
    quantities = {name: IoK8sApimachineryPkgApiResourceQuantity(amount) for name, amount in amounts.items()}
    return IoK8sApiCoreV1ResourceRequirements(requests=quantities, limits=quantities)


def _patch(job: TrainJobOptions) -> TrainerV1alpha1RuntimePatch:
    """The claim, shared memory, and the time that a checkpoint after SIGTERM takes, on the runtime's pods."""
    claim = IoK8sApiCoreV1PersistentVolumeClaimVolumeSource(claimName=job.nas_claim)
    memory = IoK8sApiCoreV1EmptyDirVolumeSource(
        medium="Memory", sizeLimit=IoK8sApimachineryPkgApiResourceQuantity(SHARED_MEMORY)
    )
    mounts = {"nas": NAS_MOUNT_PATH, "shm": "/dev/shm"}
    tolerations = [IoK8sApiCoreV1Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")]
    pod = TrainerV1alpha1PodSpecPatch(
        terminationGracePeriodSeconds=GRACE_S,
        tolerations=tolerations if job.gpus_per_node else None,
        imagePullSecrets=[IoK8sApiCoreV1LocalObjectReference(name=job.pull_secret)] if job.pull_secret else None,
        volumes=[
            IoK8sApiCoreV1Volume(name="nas", persistentVolumeClaim=claim),
            IoK8sApiCoreV1Volume(name="shm", emptyDir=memory),
        ],
        containers=[
            TrainerV1alpha1ContainerPatch(
                name=NODE,
                securityContext=IoK8sApiCoreV1SecurityContext.from_dict(security_context()),
                volumeMounts=[IoK8sApiCoreV1VolumeMount(name=n, mountPath=path) for n, path in mounts.items()],
            )
        ],
    )
    # With Istio's proxy in it, a pod would never end
    labels = IoK8sApimachineryPkgApisMetaV1ObjectMeta(labels={"sidecar.istio.io/inject": "false"})
    template = TrainerV1alpha1PodTemplatePatch(metadata=labels, spec=pod)
    replicated = TrainerV1alpha1ReplicatedJobPatch(
        name=NODE, template=TrainerV1alpha1JobTemplatePatch(spec=TrainerV1alpha1JobSpecPatch(template=template))
    )
    jobs = TrainerV1alpha1JobSetTemplatePatch(spec=TrainerV1alpha1JobSetSpecPatch(replicatedJobs=[replicated]))
    return TrainerV1alpha1RuntimePatch(
        manager=MANAGER, trainingRuntimeSpec=TrainerV1alpha1TrainingRuntimeSpecPatch(template=jobs)
    )


def _image_of_pods(job: TrainJobOptions, name: str) -> str:
    """Ours in the flavour that fits the pods; another's as it is."""
    return in_flavour(name, "cuda" if job.gpus_per_node else "cpu") if is_ours(name) else name
