"""A trial that needs no training, and Experiments that run it."""

import copy
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

# Prints its objective as a function of x; what else it does stands in the file `behaviour`.
TRIAL = """
import os, sys, time
from pathlib import Path
values = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:])
here = Path(__file__).parent
x = float(values["x"])
with open(here / "started", "a") as log:
    log.write(f"{os.environ['KATIB_TRIAL_NAME']} {x}\\n")
exec((here / "behaviour.py").read_text())
print("loss is fine")
print(f"score={1 - (x - 0.3) ** 2:.6f}")
print(f"size={x}")
"""
EXPERIMENT: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "small"},
    "spec": {
        "objective": {"type": "maximize", "objectiveMetricName": "score", "additionalMetricNames": ["size"]},
        "algorithm": {"algorithmName": "random", "algorithmSettings": [{"name": "random_state", "value": "1"}]},
        "maxTrialCount": 6,
        "parallelTrialCount": 2,
        "maxFailedTrialCount": 2,
        "parameters": [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1"}}],
        "trialTemplate": {
            "primaryContainerName": "trial",
            "trialParameters": [{"name": "x", "reference": "x", "description": "a number"}],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [
                                {
                                    "name": "trial",
                                    "image": "registry.example/trial:1",
                                    "command": ["python", "/nas/trial.py", "--x=${trialParameters.x}"],
                                    "volumeMounts": [{"name": "nas", "mountPath": "/nas"}],
                                }
                            ],
                            "volumes": [{"name": "nas", "persistentVolumeClaim": {"claimName": "nas"}}],
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    """What stands for the volume /nas of the trial's pod."""
    folder = tmp_path / "nas share"  # a blank: the shell must get it whole
    folder.mkdir()
    (folder / "trial.py").write_text(textwrap.dedent(TRIAL))
    (folder / "behaviour.py").write_text("")
    return folder


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Path]:
    """A function: changes of the spec -> an Experiment's file."""

    def write(**changes: Any) -> Path:
        document = copy.deepcopy(EXPERIMENT)
        document["spec"].update(changes)
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump(document))
        return file

    return write
