"""One Katib trial of the compression: prune by one ratio and kind, train on, judge on the validation split.

Trials share prunings and trainings through the store, and one table of layers, so that all are judged by one
measurement.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traffic_yolo.compression import latency
from traffic_yolo.compression.latency_table import LatencyTable
from traffic_yolo.compression.options import START_FILES, PruneOptions
from traffic_yolo.compression.prune_network import layers_left, network_size, read_table
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.objective import MetricOptions
from traffic_yolo.model_folder import CFG_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.options import changed
from traffic_yolo.storage import AnyPath, input_path, output_path, sha256_of_file, write_json
from traffic_yolo.storage.lease import LeaseTiming
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.compression_record import CompressionRecord, JudgedBy
from traffic_yolo.tuning.latency_limit import LatencyLimit, ap_at_latency
from traffic_yolo.tuning.metrics import COMPRESSION_METRICS
from traffic_yolo.tuning.pruning_store import PrunedOnce, pruned_once
from traffic_yolo.tuning.shared_store import key_of
from traffic_yolo.tuning.thresholds_experiment import FLOOR
from traffic_yolo.tuning.training_store import trained_once
from traffic_yolo.tuning.trial_metrics import read_with_truth, trial_metrics

RATIO_DIGITS = 6  # a search that steps by .1 may give 0.30000000000000004: the same pruning


def run_compression_trial(
    model: AnyPath,
    dataset: AnyPath,
    work: AnyPath,
    pruning: PruneOptions,
    training: TrainingOptions,
    limit: LatencyLimit,
    *,
    store: AnyPath | None = None,
    timing: LeaseTiming | None = None,
) -> dict[str, float]:
    """Every metric of `COMPRESSION_METRICS` of the model folder `model` pruned and trained on; AP on the split val.

    A ratio at which nothing goes gives the whole model, trained as long. With `pruning.latency_table` milliseconds are
    predicted by it, else the networks are measured on this machine (PyTorch, processor). In the place of the start of
    `training`, which may be the model's files, comes the pruned model. `work`: the trial's own folder, which has
    `trial.json`; `store`: the one that trials share, by default `work`.

    Raises `OptionsError`, before anything is trained, for a table of another network or of another size.
    """
    folder = output_path(work)
    parent, data = ModelFolder.open(model), DataSet.open(dataset)
    whole = Network.read(parent.cfg_path, parent.weights_path).eval()
    table = _table(pruning, training, whole)
    pruning = dataclasses.replace(pruning, prune_ratio=round(pruning.prune_ratio, RATIO_DIGITS))
    kept = output_path(store or folder)
    pruned = pruned_once(parent, data, kept, pruning, timing=timing)
    start: dict[str, Any] = {name: str(pruned.model / file) for name, file in START_FILES.items()}
    done = trained_once(data, kept, dataclasses.replace(training, **start), timing=timing)
    raw, truth = read_with_truth(done.detections, data)
    ap = trial_metrics(raw, truth, NmsOptions(FLOOR), MetricOptions())
    cfg = Cfg.read(done.run / CFG_NAME)
    size, whole_size = network_size(cfg), network_size(whole.cfg)
    whole_ms, taken_ms = _latencies(table, whole, pruned, done.run)
    values = {
        "map_at_latency": ap_at_latency(ap["map"], taken_ms, limit.milliseconds(whole_ms)),
        "map": ap["map"],
        "map50": ap["map50"],
        "latency_ms": taken_ms,
        "bflops": size.bflops,
        "weights": float(size.weights),
    }
    record = CompressionRecord(
        judged_by=_judged_by(parent, data, pruning, table),
        pruning=_told(pruning),
        training={
            "fine_tune_layers": training.fine_tune_layers,
            **{name: value for name, value in changed(training).items() if name not in START_FILES},
        },
        metrics={name: values[name] for name in COMPRESSION_METRICS},
        whole={"latency_ms": whole_ms, "bflops": whole_size.bflops, "weights": float(whole_size.weights)},
        run=str(done.run.relative_to(kept)),
        units=pruned.pruned.units if pruned.pruned else 0,
        free_units=pruned.pruned.free_units if pruned.pruned else 0,
    )
    record.write(kept)
    write_json(folder / "trial.json", dataclasses.asdict(record))
    return dict(record.metrics)


def _table(pruning: PruneOptions, training: TrainingOptions, whole: Network) -> LatencyTable | None:
    """The table that the milliseconds are predicted by, held to the network; None where they are measured."""
    if not pruning.latency_table:
        return None
    height, width = whole.input_hw
    for name, own in {"width": width, "height": height}.items():
        given = getattr(training, name)
        if given not in (None, own):
            raise OptionsError(
                f"{name}: {given}: the latency table was measured at {width} x {height}, the network's own size; leave "
                "it out, or resize the model first (traffic-yolo darknet resize) and measure that one"
            )
    return read_table(pruning.latency_table, whole)


def _told(pruning: PruneOptions) -> dict[str, Any]:
    """The options of a pruning that say what it was."""
    has_goal = pruning.bflops_ratio is not None or pruning.latency_ms is not None  # in the place of the ratio
    told = {"prune_kind": pruning.prune_kind, "prune_ratio": pruning.prune_ratio, **changed(pruning)}
    left_out = {"latency_table", *(["prune_ratio"] if has_goal else [])}
    return {name: value for name, value in told.items() if name not in left_out}


def _latencies(table: LatencyTable | None, whole: Network, pruned: PrunedOnce, run: Path) -> tuple[float, float]:
    """Milliseconds a picture of the whole network and of the trained one."""
    if table is None:
        trained = Network.read(run / CFG_NAME, run / WEIGHTS_NAME).eval()
        return latency.latency_ms(whole), latency.latency_ms(trained)
    parents = layers_left(len(whole.sections), _blocks(pruned))
    trained_sections = read_sections(Cfg.read(run / CFG_NAME))
    return table.predict(whole.sections), table.predict(trained_sections, parents=parents)


def _blocks(pruned: PrunedOnce) -> Sequence[tuple[int, int]]:
    return pruned.pruned.blocks if pruned.pruned else ()


def _judged_by(parent: ModelFolder, data: DataSet, pruning: PruneOptions, table: LatencyTable | None) -> JudgedBy:
    place = pruning.latency_table
    digest = sha256_of_file(input_path(place, what="latency table")) if table else ""
    machine = table.machine if table else latency.machine()
    model = key_of({name: parent.sha256(name) for name in (CFG_NAME, WEIGHTS_NAME)})
    return JudgedBy(model, data.fingerprint, digest, machine)
