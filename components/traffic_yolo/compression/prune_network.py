"""A network without the channels, or the residual blocks, that matter least: the pruning itself, in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.compression import latency
from traffic_yolo.compression.carry import CarryError, inexact_units, take_out
from traffic_yolo.compression.choice import least_important, smallest_ratio
from traffic_yolo.compression.importance import Family, check_batch_norm, families, importance
from traffic_yolo.compression.latency_table import LatencyTable
from traffic_yolo.compression.loss_changes import LossChanges
from traffic_yolo.compression.masking import scales_of
from traffic_yolo.compression.options import (
    AUTO,
    BLOCKS,
    GLOBAL,
    KEPT,
    KEPT_BY_OBS,
    OBS,
    RANDOM,
    REGULAR,
    REGULAR_MULTIPLE,
    SCALE,
    TAYLOR,
    PruneOptions,
)
from traffic_yolo.compression.planes import Planes
from traffic_yolo.compression.refit import Refit, refit
from traffic_yolo.compression.surgeon import surgeon_order
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import ChannelTies, channel_ties
from traffic_yolo.darknet.freeze_plan import FROZEN, read_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.show import layer_bflops
from traffic_yolo.darknet.surgery_blocks import ResidualBlock, cfg_without_blocks, remove_blocks, residual_blocks
from traffic_yolo.darknet.surgery_channels import cfg_without_channels
from traffic_yolo.errors import NothingToPruneError, OptionsError
from traffic_yolo.pruned_from import LayerChange, NetworkSize

NEARLY = 0.9  # of the channels asked for: multiples of 8 leave some more
EQUAL_SCALES = 0.01  # scales that differ by less, as a share of the largest, rank nothing: untrained ones are all 1

Sections = list[Any]


@dataclass(frozen=True)
class Measures:
    """What can be measured on training pictures, once it is known that something may go; None: nothing can.

    `loss` needs labels of the network's classes, `planes` only pictures.
    """

    loss: Callable[[], LossChanges] | None = None
    planes: Callable[[], Planes] | None = None


NO_PICTURES = Measures()


@dataclass(frozen=True)
class Pruned:
    """A pruned network and what became of it; `errors` as of `carry`, or of the fits' constants.

    `latency_ms`: before and after; predicted where a table was given, measured where milliseconds were the goal, else
    None. `importance`: what was ranked by, auto resolved, and `keep_at_least` likewise, None of blocks. `refits`:
    measured on `refitted_on` pictures. `warnings`: what a user should know, a line each.
    """

    network: Network
    layers: tuple[LayerChange, ...]
    errors: tuple[CarryError, ...]
    blocks: tuple[ResidualBlock, ...]
    units: int
    free_units: int
    latency_ms: tuple[float, float] | None = None
    importance: str = SCALE
    refits: tuple[Refit, ...] = ()
    refitted_on: int = 0
    keep_at_least: float | None = None
    warnings: tuple[str, ...] = ()


def prune_network(network: Network, options: PruneOptions, measures: Measures = NO_PICTURES) -> Pruned:
    """`network` (in eval mode) pruned; raises as `prune`.

    Importance taylor goes by `measures.loss`, obs by both measures. Raises `OptionsError` where what is asked for is
    not there.
    """
    check_batch_norm(network)
    if options.importance == AUTO:
        options = replace(options, importance=_automatic(options, measures))
    if (options.importance in (TAYLOR, OBS) and measures.loss is None) or (
        options.importance == OBS and measures.planes is None
    ):
        raise OptionsError(
            f"importance={options.importance}: goes by training pictures; give --dataset, or importance scale"
        )
    given = read_table(options.latency_table, network) if options.latency_table else None
    if options.prune_kind == BLOCKS:
        pruned = _without_blocks(network, options, measures)
    else:
        measured = latency.measure(network) if options.latency_ms is not None and given is None else None
        pruned = _without_channels(network, options, given or measured, measures)
    if given is not None:
        parents = layers_left(len(network.sections), [(block.first, block.last) for block in pruned.blocks])
        times = (given.predict(network.sections), given.predict(pruned.network.sections, parents=parents))
    elif options.latency_ms is not None:
        times = (latency.latency_ms(network), latency.latency_ms(pruned.network))
    else:
        times = None
    return replace(pruned, latency_ms=times, importance=options.importance)


def _automatic(options: PruneOptions, measures: Measures) -> str:
    """What auto stands for: obs where others will stand in for what goes, taylor where the loss alone can be asked."""
    if measures.loss is None:
        return SCALE
    will_stand_in = measures.planes is not None and options.refit_pictures > 0 and options.prune_kind != BLOCKS
    return OBS if will_stand_in else TAYLOR


def read_table(place: str, network: Network) -> LatencyTable:
    """The table of layers at `place`, measured on `network`; raises `OptionsError` for one of another network."""
    table = LatencyTable.read(place)
    height, width = network.input_hw
    table.check(network.sections, (height, width), where=place)
    return table


def layers_left(layers: int, blocks: Sequence[tuple[int, int]]) -> list[int]:
    """Of so many layers those that stand outside of `blocks`, each from its first layer to its last."""
    gone = {layer for first, last in blocks for layer in range(first, last + 1)}
    return [layer for layer in range(layers) if layer not in gone]


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


def _without_channels(
    network: Network, options: PruneOptions, table: LatencyTable | None, measures: Measures
) -> Pruned:
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
    planes = measures.planes() if measures.planes and (options.importance == OBS or options.refit_pictures) else None
    changes = _changes(options, measures)

    def ranks(kept: float) -> NDArray[np.float64]:
        if options.importance != OBS:
            return importance(network, ties, options.importance, seed=options.prune_seed, changes=changes)
        assert planes is not None, "obs goes by measured planes"
        assert changes is not None, "obs goes by measured changes"
        return surgeon_order(network, ties, found, planes, changes, keep_at_least=kept)

    units, matters, kept = _chosen(network, ties, options, table, found, ranks)
    warnings = _warnings(network, options, matters[np.concatenate([family.units for family in found])])
    if not units:
        raise NothingToPruneError(
            f"{network.cfg.file}: nothing to take out: prune_ratio, keep_at_least and prune_kind leave every channel; "
            "ask for more"
        )
    carried = take_out(network, ties, units)
    layers = tuple(
        LayerChange(section.index, section.section.line, section.output.channels, after.output.channels)
        for section, after in zip(network.sections, carried.network.sections, strict=True)
        if isinstance(section, ConvolutionalSection)
    )
    refits: tuple[Refit, ...] = ()
    if planes is not None and options.refit_pictures:
        refits = tuple(refit(network, carried.network, ties, units, planes, exact_only=options.exact_only))
    fitted = {each.layer for each in refits}
    errors = [error for error in carried.errors if error.layer not in fitted]
    errors += [each.error for each in refits if each.error is not None]
    return Pruned(
        carried.network,
        layers,
        tuple(sorted(errors, key=lambda error: error.layer)),
        (),
        len(units),
        len(free),
        refits=refits,
        refitted_on=planes.pictures if planes is not None and refits else 0,
        keep_at_least=kept,
        warnings=warnings,
    )


def _chosen(
    network: Network,
    ties: ChannelTies,
    options: PruneOptions,
    table: LatencyTable | None,
    found: Sequence[Family],
    ranks: Callable[[float], NDArray[np.float64]],
) -> tuple[frozenset[int], NDArray[np.float64], float]:
    """The units that go, their ranks, and the share of each layer that stays: the largest that allows what is asked.

    `ranks`: (num_units,), given the share of each layer that stays.
    """
    shares = KEPT_BY_OBS if options.importance == OBS else KEPT
    if options.keep_at_least is not None:
        shares = (options.keep_at_least,)
    free = sum(len(family.units) for family in found)
    choose = partial(
        least_important,
        found,
        is_global=options.prune_scope == GLOBAL,
        multiple=REGULAR_MULTIPLE if options.prune_kind == REGULAR else 1,
    )

    def sections_without(units: frozenset[int]) -> Sections:
        return read_sections(cfg_without_channels(network.cfg, network.sections, ties, units))

    def can_reach(kept: float) -> bool:
        """Whether what is asked for is there with all taken out that may go; ranks, which take long, say no more."""
        units = choose(np.zeros(ties.num_units), 1.0, keep_at_least=kept)
        if options.bflops_ratio is None and options.latency_ms is None:
            return len(units) >= NEARLY * options.prune_ratio * free
        try:
            _ratio(network, options, table, lambda _: sections_without(units))
        except OptionsError:
            return False
        return True

    kept = next((share for share in shares if can_reach(share)), shares[-1])
    matters = ranks(kept)
    ratio = _ratio(network, options, table, lambda ratio: sections_without(choose(matters, ratio, keep_at_least=kept)))
    return choose(matters, ratio, keep_at_least=kept), matters, kept


def _changes(options: PruneOptions, measures: Measures) -> LossChanges | None:
    """What the importance goes by, measured now; None where it goes by something else."""
    return measures.loss() if measures.loss is not None and options.importance in (TAYLOR, OBS) else None


def _without_blocks(network: Network, options: PruneOptions, measures: Measures) -> Pruned:
    frozen = _frozen(network)
    blocks = [block for block in residual_blocks(network.sections) if not frozen & set(block.layers)]
    if not blocks:
        raise OptionsError(f"{network.cfg.file}: no residual block can be taken out; prune channels (prune_kind)")
    changes = _changes(options, measures)
    matters = np.array([_block_importance(network, block, options, changes) for block in blocks])
    order = np.argsort(matters, kind="stable").tolist()

    def chosen(ratio: float) -> list[ResidualBlock]:
        return sorted((blocks[index] for index in order[: int(ratio * len(blocks) + 1e-9)]), key=lambda b: b.first)

    def sections_at(ratio: float) -> Sections:
        return read_sections(cfg_without_blocks(network.cfg, chosen(ratio)))

    gone = chosen(_ratio(network, options, None, sections_at))
    if not gone:
        raise NothingToPruneError(f"{network.cfg.file}: nothing to take out: {len(blocks)} blocks may go; ask for more")
    warnings = _warnings(network, options, matters)
    return Pruned(remove_blocks(network, gone), (), (), tuple(gone), len(gone), len(blocks), warnings=warnings)


def _warnings(network: Network, options: PruneOptions, matters: NDArray[np.float64]) -> tuple[str, ...]:
    """That the scales of what may go say nothing of it. `matters`: their importance, (units,)."""
    least, most = float(matters.min()), float(matters.max())
    if options.importance != SCALE or most - least > EQUAL_SCALES * most or len(matters) < 2:
        return ()
    what = "block" if options.prune_kind == BLOCKS else "channel"
    return (
        f"{network.cfg.file}: the batch-norm scales of all that may go are equal ({least:.4g} to {most:.4g}), as in a "
        f"network that was hardly trained: they do not say which {what} matters; train it first, with --sparsity or "
        "without",
    )


def _block_importance(
    network: Network, block: ResidualBlock, options: PruneOptions, changes: LossChanges | None
) -> float:
    """The mean importance of the last convolution before the shortcut: what the block adds."""
    if options.importance == RANDOM:
        return float(np.random.default_rng([options.prune_seed, block.first]).random())
    for index in reversed(block.layers):
        section, layer = network.sections[index], network.layers[index]
        scales = scales_of(layer) if isinstance(section, ConvolutionalSection) else None
        if scales is not None:
            if changes is not None:
                owner = getattr(section, "shared_with", None)
                return changes.of_layer(index if owner is None else owner)
            if options.importance == SCALE:
                return float(scales.abs().mean())
            return float(layer.get_parameter("conv.weight").detach().abs().mean())
    return 0.0


def _ratio(
    network: Network,
    options: PruneOptions,
    table: LatencyTable | None,
    sections_at: Callable[[float], Sections],
) -> float:
    """The share of what may go that goes: as asked for, or the smallest that reaches the goal."""
    if options.bflops_ratio is not None:
        whole = sum(map(layer_bflops, network.sections))
        goal = whole * (1 - options.bflops_ratio)
        what = f"bflops_ratio={options.bflops_ratio:g} of {whole:.4g} BFLOPs"
        return smallest_ratio(lambda ratio: sum(map(layer_bflops, sections_at(ratio))), goal, what=what)
    if options.latency_ms is not None:
        assert table is not None
        return smallest_ratio(lambda ratio: table.predict(sections_at(ratio)), options.latency_ms, what="latency_ms")
    return options.prune_ratio
