"""The step `prune`: a model folder without the channels, or the residual blocks, that matter least."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.compression import latency
from traffic_yolo.compression.carry import CarryError, inexact_units, take_out
from traffic_yolo.compression.choice import least_important, smallest_ratio
from traffic_yolo.compression.importance import check_batch_norm, families, importance
from traffic_yolo.compression.masking import scales_of
from traffic_yolo.compression.options import BLOCKS, GLOBAL, REGULAR, REGULAR_MULTIPLE, PruneOptions
from traffic_yolo.compression.reestimate import reestimate
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.freeze_plan import FROZEN, read_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.show import layer_bflops
from traffic_yolo.darknet.surgery_blocks import ResidualBlock, cfg_without_blocks, remove_blocks, residual_blocks
from traffic_yolo.darknet.surgery_channels import cfg_without_channels
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import OptionsError
from traffic_yolo.export.export_model import export_model
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.progress import stage
from traffic_yolo.pruned_from import PRUNED_NAME, LayerChange, NetworkSize, PrunedFrom
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, sha256_of_file
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn

Sections = list[Any]


@dataclass(frozen=True)
class Pruned:
    """A pruned network and what became of it; `errors` as of `carry`, `latency_ms` None where none was asked for."""

    network: Network
    layers: tuple[LayerChange, ...]
    errors: tuple[CarryError, ...]
    blocks: tuple[ResidualBlock, ...]
    units: int
    free_units: int
    latency_ms: tuple[float, float] | None = None


def prune(model: AnyPath, out: AnyPath, options: PruneOptions, *, dataset: AnyPath | None = None) -> PrunedFrom:
    """Writes the model folder `out` of the model folder `model`, pruned; it appears whole or not at all.

    `dataset`: where batch-norm is measured anew, and on whose pictures the ONNX file is compared. What the weights have
    seen goes along. Raises `OptionsError` for a network that cannot be pruned so, or a goal that cannot be reached.
    """
    target = output_path(out)
    folder = ModelFolder.open(model)
    data = None if dataset is None else DataSet.open(dataset)
    network = Network.read(folder.cfg_path, folder.weights_path).eval()
    pruned = prune_network(network, options)
    pictures = 0
    if data is not None and options.reestimate_pictures:
        with stage("measuring batch-norm anew"):
            pictures = reestimate(pruned.network, data, pictures=options.reestimate_pictures, seed=options.prune_seed)
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-") as scratch:
        source = Path(scratch, "pruned")
        source.mkdir()
        pruned.network.cfg.write(source / CFG_NAME)
        pruned.network.save_weights(source / WEIGHTS_NAME)
        document = _document(folder, network, pruned, options, sha256_of_file(source / WEIGHTS_NAME), pictures)
        document.write(source / PRUNED_NAME)
        shutil.copyfile(folder.names_path, source / CLASSES_NAME)
        # verdict.json stays behind: it is of weights that are no more
        if (folder.path / TRAINED_ON_NAME).is_file():
            shutil.copyfile(folder.path / TRAINED_ON_NAME, source / TRAINED_ON_NAME)
        else:  # public weights are known by the hash of their file, which is another one now
            TrainedOn("", (), (), folder.path.name, folder.sha256(WEIGHTS_NAME)).write(source / TRAINED_ON_NAME)
        exported = export_model(source, Path(scratch, "exported"), dataset=dataset).path
        with atomic_folder(target) as written:
            shutil.copytree(exported, written, dirs_exist_ok=True)
    return document


def _document(
    parent: ModelFolder, network: Network, pruned: Pruned, options: PruneOptions, weights_sha256: str, pictures: int
) -> PrunedFrom:
    return PrunedFrom(
        parent_weights_sha256=parent.sha256(WEIGHTS_NAME),
        parent_cfg_sha256=parent.sha256(CFG_NAME),
        weights_sha256=weights_sha256,
        options=asdict(options),
        before=network_size(network.cfg),
        after=network_size(pruned.network.cfg),
        latency_ms=pruned.latency_ms,
        layers=pruned.layers,
        blocks=tuple((block.first, block.last) for block in pruned.blocks),
        carry_errors=tuple((error.layer, error.bound, error.share) for error in pruned.errors),
        units=pruned.units,
        free_units=pruned.free_units,
        reestimated_on=pictures,
    )


def prune_network(network: Network, options: PruneOptions) -> Pruned:
    """`network` (in eval mode) pruned; raises as `prune`."""
    check_batch_norm(network)
    if options.prune_kind == BLOCKS:
        return _without_blocks(network, options)
    table = latency.measure(network) if options.latency_ms is not None else None
    pruned = _without_channels(network, options, table)
    if table is None:
        return pruned
    times = (latency.latency_ms(network), latency.latency_ms(pruned.network))
    return Pruned(**{**vars(pruned), "latency_ms": times})


def network_size(cfg: Cfg) -> NetworkSize:
    """Layers, weights, BFLOPs and the weights file's bytes of a cfg's network."""
    sections = read_sections(cfg)
    weights = sum(section.num_weights for section in sections)
    return NetworkSize(len(sections), weights, sum(map(layer_bflops, sections)), 20 + 4 * weights)


def _frozen(network: Network) -> frozenset[int]:
    """Layers with weights that the cfg keeps from training for good: what they lost would never come back."""
    plan, most = read_freeze_plan(network.cfg), network.cfg.net.get_int("max_batches", 0)
    return frozenset(
        section.index
        for section in network.sections
        if section.num_weights and plan.state(section.index, max_batches=most) == FROZEN
    )


def _without_channels(network: Network, options: PruneOptions, table: latency.LatencyTable | None) -> Pruned:
    ties = channel_ties(network.sections)
    found = families(network, ties, frozen=_frozen(network))
    free = {unit for family in found for unit in family.units.tolist()}
    if options.exact_only:
        inexact = inexact_units(network, ties, free)
        if not free - inexact:
            raise OptionsError(
                f"exact_only: every channel of {network.cfg.file} that may go leaves a value which a padded "
                "convolution reads; prune without it"
            )
        found = tuple(family.without(inexact) for family in found)
        found = tuple(family for family in found if len(family.units))
    matters = importance(network, ties, options.importance, seed=options.prune_seed)

    def chosen(ratio: float) -> frozenset[int]:
        return least_important(
            found,
            matters,
            ratio,
            is_global=options.prune_scope == GLOBAL,
            multiple=REGULAR_MULTIPLE if options.prune_kind == REGULAR else 1,
            keep_at_least=options.keep_at_least,
        )

    def sections_at(ratio: float) -> Sections:
        return read_sections(cfg_without_channels(network.cfg, network.sections, ties, chosen(ratio)))

    units = chosen(_ratio(network, options, table, sections_at))
    if not units:
        raise OptionsError(
            f"{network.cfg.file}: nothing to take out: prune_ratio, keep_at_least and prune_kind leave every channel; "
            "ask for more"
        )
    carried = take_out(network, ties, units)
    layers = tuple(
        LayerChange(section.index, section.section.line, section.output.channels, after.output.channels)
        for section, after in zip(network.sections, carried.network.sections, strict=True)
        if isinstance(section, ConvolutionalSection)
    )
    return Pruned(carried.network, layers, carried.errors, (), len(units), len(free))


def _without_blocks(network: Network, options: PruneOptions) -> Pruned:
    frozen = _frozen(network)
    blocks = [block for block in residual_blocks(network.sections) if not frozen & set(block.layers)]
    if not blocks:
        raise OptionsError(f"{network.cfg.file}: no residual block can be taken out; prune channels (prune_kind)")
    order = np.argsort([_block_importance(network, block, options) for block in blocks], kind="stable").tolist()

    def chosen(ratio: float) -> list[ResidualBlock]:
        return sorted((blocks[index] for index in order[: int(ratio * len(blocks) + 1e-9)]), key=lambda b: b.first)

    def sections_at(ratio: float) -> Sections:
        return read_sections(cfg_without_blocks(network.cfg, chosen(ratio)))

    gone = chosen(_ratio(network, options, None, sections_at))
    if not gone:
        raise OptionsError(f"{network.cfg.file}: nothing to take out: {len(blocks)} blocks may go; ask for more")
    return Pruned(remove_blocks(network, gone), (), (), tuple(gone), len(gone), len(blocks))


def _block_importance(network: Network, block: ResidualBlock, options: PruneOptions) -> float:
    """The mean importance of the last convolution before the shortcut: what the block adds."""
    if options.importance == "random":
        return float(np.random.default_rng([options.prune_seed, block.first]).random())
    for index in reversed(block.layers):
        section, layer = network.sections[index], network.layers[index]
        scales = scales_of(layer) if isinstance(section, ConvolutionalSection) else None
        if scales is not None:
            if options.importance == "scale":
                return float(scales.abs().mean())
            return float(layer.get_parameter("conv.weight").detach().abs().mean())
    return 0.0


def _ratio(
    network: Network,
    options: PruneOptions,
    table: latency.LatencyTable | None,
    sections_at: Callable[[float], Sections],
) -> float:
    """The share of what may go that goes: as asked for, or the smallest that reaches the goal."""
    if options.bflops_ratio is not None:
        whole = sum(map(layer_bflops, network.sections))
        goal = whole * (1 - options.bflops_ratio)
        what = f"bflops_ratio={options.bflops_ratio:g} of {whole:.4g} BFLOPs"
        return smallest_ratio(lambda ratio: sum(map(layer_bflops, sections_at(ratio))), goal, what=what)
    if table is not None:
        assert options.latency_ms is not None
        return smallest_ratio(lambda ratio: table.predict(sections_at(ratio)), options.latency_ms, what="latency_ms")
    return options.prune_ratio
