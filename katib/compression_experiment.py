"""Our compression experiment: how much of a model is pruned, in which way, and which layers are trained on.

`python katib/compression_experiment.py` rewrites the YAML beside this file; `--check` only compares.
"""

from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.compression_experiment import CompressionOptions, compression_document, compression_search
from traffic_yolo.tuning.experiment_file import write_or_compare
from traffic_yolo.tuning.latency_limit import LatencyLimit

COMMENT = """Written by `python katib/compression_experiment.py`; change that file, not this one.
Before it: `traffic-yolo compress measure --model nas://models/start --out nas://katib/compression/latency.json`.
Submit with `kubectl -n NAMESPACE create -f`. The namespace carries the label
katib.kubeflow.org/metrics-collector-injection: enabled, and has the claim nas-data (read-write-many).
Prunings, trainings and what came of each trial are kept in --store; `traffic-yolo compress front` draws them.
`traffic-yolo katib check` looks for mistakes; `traffic-yolo katib run --nas-root FOLDER` runs it without a cluster."""

OPTIONS = CompressionOptions(
    model="/nas/models/start",
    dataset="/nas/datasets/traffic",
    store="/nas/katib/compression",
    pruning=PruneOptions(latency_table="/nas/katib/compression/latency.json"),
    training=TrainingOptions(batch=64, subdivisions=4, max_batches=2000),
    limit=LatencyLimit(most_latency_share=0.6),
    search=compression_search(max_trials=30, parallel_trials=2),
)

if __name__ == "__main__":
    raise SystemExit(write_or_compare(compression_document(OPTIONS), __file__, comment=COMMENT))
