"""Our fine-tuning experiment: which layers to train, and at which two thresholds the detector is used.

`python katib/fine_tuning_experiment.py` rewrites the YAML beside this file; `--check` only compares.
"""

from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.experiment import SearchOptions
from traffic_yolo.tuning.experiment_file import write_or_compare
from traffic_yolo.tuning.fine_tuning_experiment import FineTuningOptions, fine_tuning_document

COMMENT = """Written by `python katib/fine_tuning_experiment.py`; change that file, not this one.
Submit with `kubectl -n NAMESPACE create -f`. The namespace carries the label
katib.kubeflow.org/metrics-collector-injection: enabled, and has the claim nas-data (read-write-many).
Trainings are kept in --store: trials that differ in thresholds only train once.
`traffic-yolo katib check` looks for mistakes; `traffic-yolo katib run --nas-root FOLDER` runs it without a cluster."""

OPTIONS = FineTuningOptions(
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
    # all and neck_and_heads and heads, and the last third of the backbone as well (yolov4-tiny's layer 10)
    fine_tune_layers=("all", "neck_and_heads", "heads", "from:10"),
    search=SearchOptions("fine-tuning", max_trials=60, parallel_trials=2),
)

if __name__ == "__main__":
    raise SystemExit(write_or_compare(fine_tuning_document(OPTIONS), __file__, comment=COMMENT))
