"""The files of a pruned model: Darknet pair, names, how it was pruned, what its weights have seen."""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

from traffic_yolo.compression.loss_changes import measure_loss_changes
from traffic_yolo.compression.options import AUTO, BY_LOSS, PruneOptions
from traffic_yolo.compression.planes import PICTURES, measure_planes
from traffic_yolo.compression.prune_network import NO_PICTURES, Measures, Pruned, network_size, prune_network
from traffic_yolo.compression.reestimate import reestimate
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.freeze_plan import read_freeze_plan, write_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import OptionsError, TrainingError
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.progress import stage
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom
from traffic_yolo.storage import sha256_of_file
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn
from traffic_yolo.training.loss import check_heads
from traffic_yolo.training.options import DEFAULT_LOSS


def write_pruned(parent: ModelFolder, out: Path, options: PruneOptions, data: DataSet | None) -> PrunedFrom:
    """Prunes a model and writes what training goes on from into the folder `out`, which is made; no ONNX file.

    `data`: on whose pictures channels are ranked, kernels fitted and batch-norm measured anew; None: nowhere. Raises
    `OptionsError` for a network that cannot be pruned so, or a goal that cannot be reached.
    """
    network = Network.read(parent.cfg_path, parent.weights_path).eval()
    pruned = prune_network(network, options, _measures(parent, network, options, data))
    pictures = 0
    if data is not None and options.reestimate_pictures:
        with stage("measuring batch-norm anew"):
            pictures = reestimate(pruned.network, data, pictures=options.reestimate_pictures, seed=options.prune_seed)
    out.mkdir(parents=True)
    _cfg_to_train_on(pruned.network.cfg).write(out / CFG_NAME)
    pruned.network.save_weights(out / WEIGHTS_NAME)
    document = _document(parent, network, pruned, options, sha256_of_file(out / WEIGHTS_NAME), pictures)
    document.write(out / PRUNED_NAME)
    shutil.copyfile(parent.names_path, out / CLASSES_NAME)
    # verdict.json stays behind: it is of weights that are no more
    if (parent.path / TRAINED_ON_NAME).is_file():
        shutil.copyfile(parent.path / TRAINED_ON_NAME, out / TRAINED_ON_NAME)
    else:  # public weights are known by the hash of their file, which is another one now
        TrainedOn("", (), (), parent.path.name, parent.sha256(WEIGHTS_NAME)).write(out / TRAINED_ON_NAME)
    return document


def _cfg_to_train_on(cfg: Cfg) -> Cfg:
    """The cfg without freezes that end during a training: what was lost is in all layers that may ever change."""
    lasting = read_freeze_plan(cfg).for_good(max_batches=cfg.net.get_int("max_batches", 0))
    written = write_freeze_plan(cfg, lasting)
    for section in written.layers:
        if section.has("burnin_update"):
            section.remove("burnin_update")
    return written


def _measures(parent: ModelFolder, network: Network, options: PruneOptions, data: DataSet | None) -> Measures:
    """What can be measured on training pictures; without the loss where auto has to do without.

    Raises, where taylor or obs is asked for, `OptionsError` for a model of other classes than the data set's and
    `TrainingError` for heads that have no loss here.
    """
    if data is None:
        return NO_PICTURES
    pictures = options.refit_pictures or PICTURES  # obs, where it was asked for, goes by them without a fit too
    planes = partial(measure_planes, network, data, pictures=pictures, seed=options.prune_seed)
    is_auto = options.importance == AUTO
    if options.importance not in BY_LOSS or (is_auto and not data.split("train")):
        return Measures(planes=planes)
    if data.classes != parent.classes:
        if not is_auto:
            raise OptionsError(
                f"importance={options.importance}: expected a model of the data set's classes "
                f"({', '.join(data.classes)}), found {', '.join(parent.classes)} in {parent.path}; cut and train it "
                "first, or give importance scale"
            )
        return Measures(planes=planes)
    try:
        check_heads(network.heads, network.cfg.net, kind=DEFAULT_LOSS)
    except TrainingError:
        if not is_auto:
            raise
        return Measures(planes=planes)
    return Measures(partial(measure_loss_changes, network, data, seed=options.prune_seed), planes)


def _document(
    parent: ModelFolder, network: Network, pruned: Pruned, options: PruneOptions, weights_sha256: str, pictures: int
) -> PrunedFrom:
    return PrunedFrom(
        parent_weights_sha256=parent.sha256(WEIGHTS_NAME),
        parent_cfg_sha256=parent.sha256(CFG_NAME),
        weights_sha256=weights_sha256,
        options={**asdict(options), "importance": pruned.importance, "keep_at_least": pruned.keep_at_least},
        before=network_size(network.cfg),
        after=network_size(pruned.network.cfg),
        latency_ms=pruned.latency_ms,
        layers=pruned.layers,
        blocks=tuple((block.first, block.last) for block in pruned.blocks),
        carry_errors=tuple((error.layer, error.bound, error.share) for error in pruned.errors),
        units=pruned.units,
        free_units=pruned.free_units,
        reestimated_on=pictures,
        refitted_on=pruned.refitted_on,
        refits=tuple((each.layer, each.lost, each.left) for each in pruned.refits),
        warnings=pruned.warnings,
    )
