"""One trial of the compression: pruned, trained and judged for real, once; what the next trials find in the store."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from traffic_yolo.commands.trial import command
from traffic_yolo.compression.latency_table import LatencyTable
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.prune_network import network_size
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network, read_sections
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.spec.template import fill
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.compression_experiment import CompressionOptions, compression_document
from traffic_yolo.tuning.compression_record import CompressionRecord, read_records
from traffic_yolo.tuning.compression_trial import run_compression_trial
from traffic_yolo.tuning.fine_tuning_experiment import WORK_FOLDER
from traffic_yolo.tuning.latency_limit import LatencyLimit
from traffic_yolo.tuning.metrics import COMPRESSION_METRICS, metric_format
from traffic_yolo.tuning.pruning_store import pruning_key
from traffic_yolo.tuning.shared_store import count_events

TRAINING = TrainingOptions(batch=2, max_batches=2, seed=3, fine_tune_layers="all")
LIMIT = LatencyLimit(most_latency_share=0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, untrained_model: Path) -> Path:
    """The untrained model with heads whose boxes stay within all numbers when batch-norm is measured anew."""
    folder = shutil.copytree(untrained_model, tmp_path_factory.mktemp("calm") / "model")
    network = Network.read(folder / "model.cfg", folder / "model.weights")
    for head in network.heads:
        network.layers[head.layer_index - 1].get_parameter("conv.weight").data /= 700
    network.save_weights(folder / "model.weights")
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A table in which a convolution takes the product of its shares, and all else 1 ms."""
    sections = [s for s in read_sections(Cfg.read(model / "model.cfg")) if isinstance(s, ConvolutionalSection)]
    times = np.outer([0.25, 0.5, 1.0], [0.25, 0.5, 1.0])
    channels = {section.index: (section.input.channels, section.filters) for section in sections}
    made = LatencyTable(dict.fromkeys(channels, times), channels, 1.0, (96, 160), "made")
    path = tmp_path_factory.mktemp("table") / "latency.json"
    made.write(path)
    return path


@pytest.fixture(scope="module")
def pruning(table: Path) -> PruneOptions:
    return PruneOptions(prune_ratio=0.3, prune_kind="regular", reestimate_pictures=2, latency_table=str(table))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def first(
    small_data_set: Path, model: Path, store: Path, pruning: PruneOptions, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, float]:
    """One real trial, whose pruning and training the tests after it find in the store."""
    work = tmp_path_factory.mktemp("work")
    return run_compression_trial(model, small_data_set, work, pruning, TRAINING, LIMIT, store=store)


def only_record(store: Path) -> CompressionRecord:
    (found,) = read_records(store)
    return found


def test_a_trial_says_what_the_trained_network_costs(first: dict[str, float], store: Path, table: Path, model: Path):
    assert tuple(first) == tuple(COMPRESSION_METRICS)
    (run,) = store.glob("training-*/run")
    cfg = Cfg.read(run / "model.cfg")
    size, whole = network_size(cfg), network_size(Cfg.read(model / "model.cfg"))
    assert (first["bflops"], first["weights"]) == (size.bflops, size.weights)
    assert size.bflops < 0.95 * whole.bflops
    milliseconds = LatencyTable.read(table).predict(read_sections(cfg))
    assert first["latency_ms"] == pytest.approx(milliseconds)
    assert milliseconds < only_record(store).whole["latency_ms"]
    most = 0.5 * only_record(store).whole["latency_ms"]
    assert first["map_at_latency"] == pytest.approx(first["map"] if milliseconds <= most else 1 - milliseconds / most)


def test_its_record_says_what_was_done_and_by_what_it_was_judged(
    first: dict[str, float], store: Path, small_data_set: Path
):
    record = only_record(store)
    assert record.metrics == first
    assert record.what == "regular 0.3, reestimate_pictures 2; all, 2 updates"
    assert record.judged_by.machine == "made"
    assert record.judged_by.data == DataSet.open(small_data_set).fingerprint
    assert (store / record.run / "model.weights").is_file()
    assert 0 < record.units < record.free_units
    assert json.loads((store / record.run / "pruned.json").read_text())["units"] == record.units


@pytest.mark.usefixtures("first")
def test_the_experiments_own_command_finds_pruning_and_training_in_the_store(
    small_data_set: Path, model: Path, store: Path, pruning: PruneOptions, first: dict[str, float], tmp_path: Path
):
    """Placeholders filled as Katib fills them, the ratio with the rounding of a search that steps."""
    options = CompressionOptions(str(model), str(small_data_set), str(store), pruning, TRAINING, LIMIT)
    values = {"prune_ratio": "0.30000000000000004", "prune_kind": "regular", "fine_tune_layers": "all"}
    job = fill(compression_document(options)["spec"]["trialTemplate"]["trialSpec"], values)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    before = count_events(store)
    arguments = [argument.replace(WORK_FOLDER, str(tmp_path)) for argument in container["command"][2:]]
    answered = CliRunner().invoke(command, arguments)
    assert answered.exit_code == 0, answered.output
    read = dict(re.findall(metric_format(COMPRESSION_METRICS), answered.output, flags=re.MULTILINE))
    assert {name: float(value) for name, value in read.items()} == pytest.approx(first, abs=1e-6)
    after = count_events(store)
    spared = {event for event, count in after.items() if count != before[event]}
    assert spared == {"reused", "pruning_reused"}
    assert only_record(store).metrics == pytest.approx(first)
    assert json.loads((tmp_path / "trial.json").read_text())["run"] == only_record(store).run


def test_a_ratio_at_which_nothing_goes_is_the_whole_model(
    small_data_set: Path, model: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not a failed trial: it is what the others are compared with. Its training is stood in for by its start."""

    def start_as_trained(_dataset: Path, out: Path, training: TrainingOptions) -> None:
        out.mkdir(parents=True)
        for name, place in {"model.cfg": training.cfg, "model.weights": training.weights}.items():
            shutil.copyfile(place, out / name)
        shutil.copyfile(training.weights_names, out / "classes.names")

    monkeypatch.setattr("traffic_yolo.tuning.trained_run.train", start_as_trained)
    pruning = PruneOptions(prune_ratio=0.0, latency_table=str(table))
    found = run_compression_trial(model, small_data_set, tmp_path, pruning, TRAINING, LIMIT)
    record = only_record(tmp_path)
    assert (record.units, record.kind, record.what) == (0, "whole", "whole; all, 2 updates")
    assert found["latency_ms"] == record.whole["latency_ms"]
    assert found["weights"] == record.whole["weights"]
    assert found["map_at_latency"] == pytest.approx(-1.0)  # twice of what is allowed
    assert (tmp_path / record.run / "model.weights").read_bytes() == (model / "model.weights").read_bytes()


def test_a_table_of_another_size_or_network_is_refused_before_anything_is_made(
    small_data_set: Path, model: Path, pruning: PruneOptions, tmp_path: Path
):
    wide = dataclasses.replace(TRAINING, width=320)
    with pytest.raises(OptionsError, match="width: 320: the latency table was measured at 160 x 96, the network's own"):
        run_compression_trial(model, small_data_set, tmp_path, pruning, wide, LIMIT)
    other = json.loads(Path(pruning.latency_table).read_text())
    other["layers"][0]["filters"] += 1
    (tmp_path / "other.json").write_text(json.dumps(other))
    changed = dataclasses.replace(pruning, latency_table=str(tmp_path / "other.json"))
    with pytest.raises(OptionsError, match=r"latency_table: .*other\.json: measured on another network: layer 0 was"):
        run_compression_trial(model, small_data_set, tmp_path, changed, TRAINING, LIMIT)
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_everything_that_moves_a_pruning_is_in_its_key(
    small_data_set: Path, model: Path, pruning: PruneOptions, tmp_path: Path
):
    data, parent = DataSet.open(small_data_set), ModelFolder.open(model)

    def key(**changes: Any) -> Any:
        return pruning_key(parent, data, dataclasses.replace(pruning, **changes))

    for changes in ({"prune_ratio": 0.4}, {"prune_kind": "channels"}, {"importance": "l1"}, {"keep_at_least": 0.2}):
        assert key(**changes) != key()
    shutil.copyfile(pruning.latency_table, tmp_path / "moved.json")
    assert key(latency_table=str(tmp_path / "moved.json")) == key()
    other = dataclasses.replace(data, manifest={**data.manifest, "fingerprint": "other"})
    assert pruning_key(parent, other, pruning) != key()
    unseen = dataclasses.replace(pruning, reestimate_pictures=0, refit_pictures=0, importance="scale")
    assert pruning_key(parent, other, unseen) == pruning_key(parent, data, unseen)
    looks_at_pictures = ({"importance": "auto"}, {"importance": "taylor"}, {"importance": "obs"}, {"refit_pictures": 4})
    for changes in looks_at_pictures:
        judged = dataclasses.replace(unseen, **changes)
        assert pruning_key(parent, other, judged) != pruning_key(parent, data, judged)
    moved = shutil.copytree(model, tmp_path / "model")
    assert pruning_key(ModelFolder.open(moved), data, pruning) == key()
    (moved / "model.weights").write_bytes(b"other")
    assert pruning_key(ModelFolder.open(moved), data, pruning) != key()
