"""One Katib trial that trains: train with one choice of layers, detect on the validation split, measure.

Trials that differ only in thresholds share a training (`training_store`); then this needs no torch and takes seconds.
"""

import dataclasses

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.metrics.objective import MetricOptions
from traffic_yolo.storage import AnyPath, output_path, write_json
from traffic_yolo.storage.lease import LeaseTiming
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.training_store import trained_once
from traffic_yolo.tuning.trial_metrics import read_with_truth, trial_metrics


def run_trial(
    dataset: AnyPath,
    work: AnyPath,
    training: TrainingOptions,
    nms: NmsOptions,
    *,
    options: MetricOptions | None = None,
    store: AnyPath | None = None,
    timing: LeaseTiming | None = None,
) -> dict[str, float]:
    """Every metric of `METRICS` on the validation split; what is undefined is 0.

    `work`: the trial's own folder; it keeps the run when there is no `store`, and `trial.json` with options and
    metrics. `store`: a folder that trials share (on a cluster, on the NAS), see `training_store`.
    """
    folder = output_path(work)
    data = DataSet.open(dataset)
    done = trained_once(data, store or folder, training, timing=timing)
    raw, truth = read_with_truth(done.detections, data)
    metrics = trial_metrics(raw, truth, nms, options or MetricOptions())
    described = {
        "training": dataclasses.asdict(training),
        "nms": dataclasses.asdict(nms),
        "run": str(done.run),
        "metrics": metrics,
    }
    write_json(folder / "trial.json", described)
    return metrics
