"""Our thresholds experiment: the two thresholds alone, on the raw detections of an evaluation; seconds a trial, no GPU.

`python katib/thresholds_experiment.py` rewrites the YAML beside this file; `--check` only compares.
"""

from traffic_yolo.tuning.experiment_file import write_or_compare
from traffic_yolo.tuning.thresholds_experiment import ThresholdsOptions, thresholds_document

COMMENT = """Written by `python katib/thresholds_experiment.py`; change that file, not this one.
Submit with `kubectl -n NAMESPACE create -f`. The namespace carries the label
katib.kubeflow.org/metrics-collector-injection: enabled, and has the claim nas-data.
`traffic-yolo katib check` looks for mistakes; `traffic-yolo katib run --nas-root FOLDER` runs it without a cluster."""

OPTIONS = ThresholdsOptions(evaluation="/nas/evaluations/traffic", dataset="/nas/datasets/traffic")

if __name__ == "__main__":
    raise SystemExit(write_or_compare(thresholds_document(OPTIONS), __file__, comment=COMMENT))
