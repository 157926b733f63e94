"""The TrainJob: what the API's models and, where it is at hand, the CRD's schema say of it; its command is a real one."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from examples import slow
from quick_yaml import load_yaml
from written_data_set import write_manifest

from traffic_yolo.cli import traffic_yolo
from traffic_yolo.commands import train
from traffic_yolo.container_images import image
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.history import read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.sampling import SampleOrder
from traffic_yolo.training.trainjob_options import TrainJobOptions

pytest.importorskip("kubeflow_trainer_api", reason="kubeflow-trainer-api is not installed")

from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from traffic_yolo.training.trainjob import NODE, training_command, trainjob_document, trainjob_yaml

TRAINING = TrainingOptions(weights="/nas/start/model.weights", max_batches=4000, precision="bfloat16", mosaic=0.25)
JOB = TrainJobOptions(nodes=2, processes_per_node=4, gpus_per_node=4, cpus_per_node="16", namespace="vision")
WHERE = ("/nas/datasets/traffic", "/nas/runs/one")


def document(job: TrainJobOptions = JOB) -> dict[str, Any]:
    return trainjob_document(*WHERE, TRAINING, job)


def test_it_says_nodes_processes_resources_image_and_claim() -> None:
    found = document()
    assert (found["apiVersion"], found["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert found["metadata"] == {"name": "traffic-yolo-train", "namespace": "vision"}
    trainer = found["spec"]["trainer"]
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (image("train", "cuda"), 2, 4)
    amounts = {"cpu": "16", "memory": "16Gi", "nvidia.com/gpu": "4"}
    assert trainer["resourcesPerNode"] == {"requests": amounts, "limits": amounts}
    assert {entry["name"]: entry["value"] for entry in trainer["env"]} == {
        "TRAFFIC_YOLO_NAS_ROOT": "/nas", "TRAFFIC_YOLO_THREADS": "4",
    }  # fmt: skip
    (patch,) = found["spec"]["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    assert job["name"] == NODE
    assert pod["volumes"][0] == {"name": "nas", "persistentVolumeClaim": {"claimName": "nas-data"}}
    assert pod["containers"][0]["volumeMounts"][0] == {"name": "nas", "mountPath": "/nas"}


def test_pods_that_ask_for_gpus_never_fall_back_on_cpus() -> None:
    assert "--device=cuda" in document()["spec"]["trainer"]["command"]
    command = document(TrainJobOptions())["spec"]["trainer"]["command"]
    assert not any(flag.startswith("--device") for flag in command)


@pytest.mark.parametrize(
    "job", [JOB, TrainJobOptions(), TrainJobOptions(cpus_per_node="500m")], ids=["gpus", "cpus", "half"]
)
def test_the_models_lose_no_key_of_it(job: TrainJobOptions) -> None:
    """They drop unknown keys without a word, as an API server does: so every key must come back, with its value."""
    found = document(job)
    assert TrainerV1alpha1TrainJob.from_dict(json.loads(json.dumps(found))).to_dict() == found  # type: ignore[union-attr]
    assert None not in list(leaves(found))
    assert load_yaml(trainjob_yaml(found)) == found


def test_kubernetes_own_parts_have_kubernetes_schema() -> None:
    """Volumes, mounts, environment and resources of the patch and the trainer, put together as the pod they become."""
    validate = pytest.importorskip("kubernetes_validate", reason="the extra kubeflow is not installed").validate
    for job in (JOB, TrainJobOptions()):
        spec = document(job)["spec"]
        (patched,) = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        pod = dict(patched["template"]["spec"]["template"]["spec"])
        (container,) = pod.pop("containers")
        trainer = spec["trainer"]
        container |= {name: trainer[name] for name in ("image", "command", "env")}
        container["resources"] = trainer["resourcesPerNode"]
        metadata = {"name": "pod", **patched["template"]["spec"]["template"]["metadata"]}
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**pod, "containers": [container]}}
        validate(whole, "1.31", strict=True)


def test_the_crd_s_own_schema_takes_it() -> None:
    """TRAFFIC_YOLO_TRAINJOB_CRD: kubeflow/trainer's manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml."""
    path = os.environ.get("TRAFFIC_YOLO_TRAINJOB_CRD", "")
    if not path:
        pytest.skip("TRAFFIC_YOLO_TRAINJOB_CRD names no CRD")
    from jsonschema import Draft202012Validator

    crd = yaml.load(Path(path).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schema = closed(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    validator = Draft202012Validator(schema)
    for job in (JOB, TrainJobOptions()):
        assert [error.message for error in validator.iter_errors(document(job))] == []
    wrong = document()
    wrong["spec"]["trainer"]["numNode"] = 1
    assert [error.message for error in validator.iter_errors(wrong)] != []


def test_its_command_is_one_that_the_command_line_takes() -> None:
    command = document()["spec"]["trainer"]["command"]
    assert command[:5] == ["torchrun", "--max-restarts=3", "-m", "traffic_yolo.cli", "train"]
    context = train.command.make_context("train", command[5:])
    names = set(TrainingOptions.__dataclass_fields__)
    on_gpus = dataclasses.replace(TRAINING, device="cuda")
    assert TrainingOptions(**{name: value for name, value in context.params.items() if name in names}) == on_gpus
    assert (context.params["dataset"], str(context.params["out"])) == WHERE
    assert context.params["resume"] == "auto"
    assert training_command(*WHERE, on_gpus, max_restarts=3) == command


@slow
def test_two_nodes_train_together_by_the_manifest_s_own_command(
    make_rectangles: Callable[..., Path], tiny_cfg_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the Trainer's torch plugin gives each pod (torch.go, EnforceMLPolicy), here for two on this machine."""
    nas = tmp_path / "nas"
    nas.mkdir()
    (nas / "tiny.cfg").write_text(tiny_cfg_text)
    dataset = make_rectangles(nas / "dataset")
    shutil.copytree(dataset / "images" / "recording", dataset / "images" / "val")
    annotations = dataset / "annotations" / "instances_val.json"
    annotations.write_text(annotations.read_text().replace("recording/", "val/"))
    write_manifest(dataset)
    order = SampleOrder(4, seed=0)
    of_second = {order.index(place) for place in (2, 3)} & {order.index(place) for place in (6, 7)}
    (dataset / "images" / "recording" / f"{min(of_second)}.png").unlink()  # the first node never comes upon it
    monkeypatch.delenv("TRAFFIC_YOLO_NAS_ROOT", raising=False)  # who writes the manifest need not have the NAS
    options = "--cfg nas://tiny.cfg --batch 4 --max-batches 2 --max-bad-pictures 0.25 --device cpu"
    job = f"train --dataset nas://dataset {options} --out nas://run --emit trainjob --nodes 2 --cpus-per-node 1"
    emitted = CliRunner().invoke(traffic_yolo, job.split(), catch_exceptions=False)
    trainer = load_yaml(emitted.output)["spec"]["trainer"]

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pod = {**os.environ, **{entry["name"]: entry["value"] for entry in trainer["env"]}, "PATH": programs}
    pod |= {
        "TRAFFIC_YOLO_NAS_ROOT": str(nas), "PET_NNODES": str(trainer["numNodes"]),
        "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        pods = [
            subprocess.Popen(
                [*trainer["command"], *trainer.get("args", [])], env=pod | {"PET_NODE_RANK": str(rank)}, cwd=tmp_path,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for rank in range(trainer["numNodes"])
        ]  # fmt: skip
        for process in pods:  # where one fails, the other waits for it
            stack.callback(process.kill)
        ended = [(*process.communicate(timeout=300), process.returncode) for process in pods]
    assert [code for _, _, code in ended] == [0, 0], ended
    (first, _, _), (second, _, _) = ended
    assert "cpu (1 threads, 2 processes)" in first
    assert "training pictures skipped: 1 missing" in first.splitlines()
    assert second == ""
    assert sorted(path.name for path in nas.iterdir()) == ["dataset", "run", "tiny.cfg"]
    assert {"model.cfg", "model.weights", "report.html", "verdict.json"} <= {
        path.name for path in (nas / "run").iterdir()
    }
    assert not (nas / "run" / "run.lock").exists()
    assert [row.iteration for row in read_history(nas / "run" / "history.csv")] == [1, 2]
    delivered = Network.from_cfg(nas / "run" / "model.cfg")
    assert delivered.load_weights(nas / "run" / "model.weights").header.seen in (4, 8)  # either may be best


def test_switches_are_passed_in_both_directions() -> None:
    for field in TrainingOptions.__dataclass_fields__.values():
        if field.type is bool:
            changed = TrainingOptions(**{field.name: not field.default})
            flag = f"--{'' if not field.default else 'no-'}{field.name.replace('_', '-')}"
            assert flag in training_command(*WHERE, changed, max_restarts=0)


def test_train_emit_prints_it_and_trains_nothing(tmp_path: Path) -> None:
    arguments = [f"--dataset={WHERE[0]}", f"--out={WHERE[1]}", "--emit=trainjob", "--nodes=3", "--batch=8"]
    result = CliRunner().invoke(train.command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    found = load_yaml(result.output)
    assert found["spec"]["trainer"]["numNodes"] == 3
    assert "--batch=8" in found["spec"]["trainer"]["command"]
    assert result.output.startswith("# Written by `traffic-yolo train --emit trainjob`")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--dataset=nas://d --out=s3://bucket/run",
            "--out: s3://bucket/run: no output can be written into object storage",
        ),
        ("--dataset=nas://d --out=runs/one", "--out: expected nas:// or a path below /nas, .* found 'runs/one'"),
        ("--dataset=gs://d --out=nas://run", "--dataset: .*gs://"),
        ("--dataset=nas://d --out=nas://run --settings=nas://settings.yaml", "--settings: .*TRAFFIC_YOLO_NAS_ROOT"),
    ],
    ids=["object-storage", "relative", "unknown-scheme", "settings-are-read-here"],
)
def test_emit_takes_locations_of_the_pods_and_refuses_others(
    flags: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_NAS_ROOT", raising=False)
    result = CliRunner().invoke(train.command, [*flags.split(), "--emit=trainjob"])
    assert isinstance(result.exception, OptionsError)
    assert re.match(message, str(result.exception)), result.exception


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"job_name": "My_Job"},
            "job_name: expected at most 50 of a-z, 0-9 and -, beginning with a letter, found 'My_Job'",
        ),
        ({"job_name": "a" * 51}, "job_name: expected at most 50"),
        ({"nas_claim": ""}, "nas_claim: expected at most 50"),
        ({"nodes": 0}, "nodes: expected at least 1, found 0"),
        ({"cpus_per_node": "many"}, "cpus_per_node: expected an amount such as 4 or 500m, found 'many'"),
        (
            {"gpus_per_node": 1, "processes_per_node": 2},
            "processes_per_node: expected at most gpus_per_node=1, found 2",
        ),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=f"^{re.escape(message)}"):
        TrainJobOptions(**values)


@pytest.mark.parametrize(
    ("dataset", "out", "weights", "name"),
    [
        ("data", WHERE[1], "", "dataset"),
        (WHERE[0], "/tmp/run", "", "out"),
        (*WHERE, "model.weights", "weights"),
        (*WHERE, "file:///home/model.weights", "weights"),
    ],
)
def test_a_location_that_no_pod_has_is_refused_by_the_name_of_its_flag(
    dataset: str, out: str, weights: str, name: str
) -> None:
    kinds = "nas://" if name == "out" else "nas://, s3://"
    expected = f"^{name}: expected {kinds} or a path below /nas, where the pods have the claim; found"
    with pytest.raises(OptionsError, match=expected):
        trainjob_document(dataset, out, TrainingOptions(weights=weights), JOB)
    trainjob_document("nas://data", "nas://run", TrainingOptions(), JOB)


def test_flags_of_the_manifest_hide_none_of_the_training() -> None:
    names = [parameter.name for parameter in train.command.params if isinstance(parameter, click.Option)]
    assert len(names) == len(set(names))


def leaves(value: Any) -> Any:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def closed(schema: Any) -> Any:
    """The schema with no key allowed but those that it names: the API server drops others without a word."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(part) for key, part in schema.items() if key not in ("format", "default")}
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
        found["type"] = ["integer", "string"]
    if isinstance(schema.get("properties"), dict) and "type" in schema and schema["properties"]:
        found.setdefault("additionalProperties", False)
    return found
