"""Our fine-tuning experiment: which layers to train, and at which two thresholds the detector is used.

`python katib/fine_tuning_experiment.py` rewrites the YAML beside this file; `--check` only compares.
"""

import sys
from pathlib import Path

from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.experiment import ExperimentOptions, experiment_yaml

YAML_PATH = Path(__file__).with_suffix(".yaml")

COMMENT = """Written by `python katib/fine_tuning_experiment.py`; change that file, not this one.
Submit with `kubectl -n NAMESPACE create -f`. The namespace carries the label
katib.kubeflow.org/metrics-collector-injection: enabled, and has the claim nas-data (read-write-many).
Trainings are kept in --store: trials that differ in thresholds only train once."""

OPTIONS = ExperimentOptions(
    dataset="/nas/datasets/traffic",
    store="/nas/katib/trainings",
    training=TrainingOptions(
        cfg="/nas/models/start/model.cfg",
        weights="/nas/models/start/model.weights",
        weights_names="/nas/models/start/classes.names",
        batch=64,
        subdivisions=4,
        max_batches=4000,
    ),
)


def main() -> int:
    """Writes or compares the YAML; 1 when it is stale."""
    text = experiment_yaml(OPTIONS, comment=COMMENT)
    if "--check" in sys.argv[1:]:
        if YAML_PATH.is_file() and YAML_PATH.read_text(encoding="utf-8") == text:
            return 0
        print(f"{YAML_PATH.name} is stale; run `python katib/{Path(__file__).name}`", file=sys.stderr)
        return 1
    YAML_PATH.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
