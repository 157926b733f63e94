"""Changes a network's classes or input size and keeps what it knows: new cfg, new rows in every head.

A head's convolution has, per anchor, four box rows, one objectness row and one row per class. Box and objectness rows
are kept; a class row is kept, copied from a parent class, or started anew. Anchors are in `surgery_anchors`, backbone
cuts in `surgery_partial`.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.yolo import HeadSection
from traffic_yolo.errors import DarknetFormatError, OptionsError

NEW_CLASS_PROBABILITY = 0.01  # what a fresh class row answers everywhere: rare until trained
NEW_CLASS_WEIGHT_STD = 0.01

# Darknet's README, "How to train (to detect your custom objects)".
BATCHES_PER_CLASS = 2000
LEAST_BATCHES = 6000
STEP_SHARES = (0.8, 0.9)


def change_classes(
    network: Network,
    old_names: Sequence[str],
    new_names: Sequence[str],
    *,
    renames: Mapping[str, str] | None = None,
    seeds: Mapping[str, str] | None = None,
    num_images: int = 0,
    seed: int = 0,
) -> Network:
    """A new network for `new_names` in which each class that has a parent (see `class_parents`) keeps its rows.

    `renames` maps old names to new ones, `seeds` new names to the old class they start from; a new class without a
    parent starts with small random rows (from `seed`) and a low bias. The cfg copy gets classes and filters of every
    head, and max_batches and steps by Darknet's published rule (`num_images`: pictures in the training set, 0 where not
    known). Raises `OptionsError` for names that do not fit, and `DarknetFormatError` for a head whose classes stand in
    a tree or a map of their own.
    """
    _refuse_class_files(network)
    parents = class_parents(network.num_classes, old_names, new_names, renames=renames or {}, seeds=seeds or {})
    cfg = _change_class_keys(network, len(new_names), num_images)
    rows_of = {head_convolution(network, head): _head_rows(head, parents) for head in network.heads}
    return rebuild(network, cfg, rows_of, seed=seed)


def change_input_size(cfg: Cfg, resolution_wh: tuple[int, int]) -> Cfg:
    """A copy of `cfg` for another width and height; the weights and the anchors (network pixels) stay as they are.

    Raises `OptionsError` for sizes that are no multiples of the coarsest head's stride, that a deeper backbone cannot
    divide (with the nearest that it can), or where a layer's weights depend on the size (`[connected]`).
    """
    before = read_sections(cfg)
    stride = max((section.head.stride for section in before if isinstance(section, HeadSection)), default=1)
    for name, value in zip(("width", "height"), resolution_wh, strict=True):
        if value < stride or value % stride:
            near = f"{max(1, value // stride) * stride} or {(max(0, value) // stride + 1) * stride}"
            raise OptionsError(f"{name}: expected a multiple of {stride}, found {value}; take {near}")
    changed = _with_size(cfg, resolution_wh)
    try:
        after = read_sections(changed)
    except DarknetFormatError as error:  # a backbone may go deeper than its coarsest head
        fitting = next(_multiples_up(cfg, resolution_wh, stride), None)
        advice = f"; {fitting[0]} x {fitting[1]} fits" if fitting else ""
        raise OptionsError(f"{resolution_wh[0]} x {resolution_wh[1]} does not fit: {error}{advice}") from error
    for old, new in zip(before, after, strict=True):
        if old.num_weights != new.num_weights:
            raise OptionsError(
                f"{cfg.file} line {old.section.line} [{old.section.name}]: its weights depend on the input size"
            )
    return changed


def _with_size(cfg: Cfg, resolution_wh: tuple[int, int]) -> Cfg:
    changed = cfg.copy()
    changed.net.set("width", resolution_wh[0])
    changed.net.set("height", resolution_wh[1])
    return changed


def _multiples_up(cfg: Cfg, resolution_wh: tuple[int, int], stride: int) -> Iterator[tuple[int, int]]:
    """Sizes that the network can be built with: the next multiples of 2, 4, ... times `stride`."""
    for factor in (2, 4, 8, 16):
        step = stride * factor
        size = (-(-resolution_wh[0] // step) * step, -(-resolution_wh[1] // step) * step)
        with contextlib.suppress(DarknetFormatError):
            read_sections(_with_size(cfg, size))
            yield size


def rebuild(network: Network, cfg: Cfg, rows_of: Mapping[int, NDArray[np.int64]], *, seed: int = 0) -> Network:
    """The network of `cfg` with the weights of `network`; `rows_of` maps a convolution's layer index to its new rows.

    A row is the old row it comes from, or -1 for a new one: small random kernels (from `seed`) and a low bias. Header,
    mode and device are kept. Raises `DarknetFormatError` where another layer reads a convolution whose rows change.
    """
    if network.is_fused:
        raise ValueError("expected a network with its batch-norms, found a fused one")
    changed = Network(cfg, seed=seed)
    changed.header = network.header
    changed.train(network.training)
    changed.to(next(network.parameters()).device)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for section, old_layer, new_layer in zip(network.sections, network.layers, changed.layers, strict=True):
            new_section, rows = changed.sections[section.index], rows_of.get(section.index)
            if section.num_weights and section.input.channels != new_section.input.channels:
                raise section.section.error("reads a head's convolution: its weights would not fit the new head")
            pairs = zip(section.weights(old_layer), new_section.weights(new_layer), strict=True)
            for (name, old), (_, new) in pairs:
                new.copy_(old if rows is None else _new_rows(name, old, rows, generator))
    return changed


def class_parents(
    num_classes: int,
    old_names: Sequence[str],
    new_names: Sequence[str],
    *,
    renames: Mapping[str, str],
    seeds: Mapping[str, str],
) -> list[int | None]:
    """For each new class the old class id it keeps or starts from, or None for a class that starts anew.

    In this order: a rename to it, its seed, the same name, the only old name that differs in upper and lower case
    alone. Raises `OptionsError` for repeated names, a count other than `num_classes`, or a name that does not exist.
    """
    if len(old_names) != num_classes:
        raise OptionsError(f"names of the weights: expected {num_classes} as in the cfg, found {len(old_names)}")
    for what, names in (("names of the weights", old_names), ("new class names", new_names)):
        if not names:
            raise OptionsError(f"{what}: expected at least one, found none")
        if repeated := sorted({name for name in names if list(names).count(name) > 1}):
            raise OptionsError(f"{what}: expected each once, found {', '.join(repeated)} more than once")
    origins = {new: old for old, new in renames.items()}
    if len(origins) < len(renames):
        raise OptionsError(
            f"renames: two old classes become one ({dict(renames)}); start it from one of them by a seed"
        )
    for new in seeds:
        if origins.get(new, seeds[new]) != seeds[new]:
            raise OptionsError(
                f"class {new}: renamed from {origins[new]} and seeded from {seeds[new]}; give one of them"
            )
    origins.update(seeds)
    for new, old in origins.items():
        _check_known(old, old_names, "the weights know")
        _check_known(new, new_names, "the new classes are")
    ids = {name: class_id for class_id, name in enumerate(old_names)}
    return [ids[origins[name]] if name in origins else _same_name(name, old_names) for name in new_names]


def _check_known(name: str, names: Sequence[str], what: str) -> None:
    if name not in names:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise OptionsError(f"class {name!r} does not exist: {what} {shown}")


def _same_name(name: str, old_names: Sequence[str]) -> int | None:
    if name in old_names:
        return list(old_names).index(name)
    alike = [class_id for class_id, old in enumerate(old_names) if old.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def head_convolution(network: Network, head: YoloHead) -> int:
    """The index of the convolution before a head; raises `DarknetFormatError` where something else stands there."""
    section = network.sections[head.layer_index - 1]
    if not isinstance(section, ConvolutionalSection) or section.groups != 1:
        raise section.section.error("expected an ungrouped [convolutional] before [yolo] to change it, found this")
    return section.index


def rows_per_anchor(head: YoloHead) -> int:
    """Rows of the head's convolution for one anchor: box numbers, objectness, classes."""
    return head.num_channels // head.num_anchors


def max_batches_for(num_classes: int, num_images: int = 0) -> int:
    """Darknet's published number of iterations: 2000 a class, at least 6000, at least one for each picture."""
    return max(LEAST_BATCHES, BATCHES_PER_CLASS * num_classes, num_images)


def keep_schedule(source: Cfg, target: Cfg) -> None:
    """Gives `target`, in place, the run's length that `source` states: a change of classes writes Darknet's advice."""
    for key in ("max_batches", "steps", "scales", "seq_scales"):
        if source.net.has(key):
            target.net.set(key, source.net.get_str(key, ""))
        else:
            target.net.remove(key)


def _refuse_class_files(network: Network) -> None:
    """[region] of yolo9000: the files that order its classes would still speak of the old ones."""
    for head in network.heads:
        keys = network.sections[head.layer_index].section
        for key in ("tree", "map"):
            if keys.has(key):
                stale = f"{key}={keys.get_str(key, '')[:80]} orders the old classes and would go stale"
                raise keys.error(f"the classes cannot be changed: {stale}; remove the key first", key=key)


def _change_class_keys(network: Network, num_classes: int, num_images: int) -> Cfg:
    cfg = network.cfg.copy()
    for head in network.heads:
        yolo, convolution = cfg.layers[head.layer_index], cfg.layers[head_convolution(network, head)]
        yolo.set("classes", num_classes)
        yolo.remove("counters_per_class")  # counts of the old classes' boxes
        convolution.set("filters", head.num_anchors * (rows_per_anchor(head) - head.num_classes + num_classes))
    max_batches = max_batches_for(num_classes, num_images)
    cfg.net.set("max_batches", max_batches)
    if cfg.net.get_str("policy", "constant") == "steps":
        cfg.net.set("steps", ",".join(str(round(share * max_batches)) for share in STEP_SHARES))
        if len(cfg.net.get_floats("scales")) != len(STEP_SHARES):
            cfg.net.set("scales", ",".join([".1"] * len(STEP_SHARES)))
        if len(cfg.net.get_ints("seq_scales")) != len(STEP_SHARES):
            cfg.net.remove("seq_scales")  # one for each step; without the key each is 1
    return cfg


def _head_rows(head: YoloHead, parents: Sequence[int | None]) -> NDArray[np.int64]:
    """For each row of the new convolution the old row it comes from, -1 for a new one."""
    old_size = rows_per_anchor(head)
    first_class = old_size - head.num_classes
    per_anchor = [*range(first_class), *(-1 if parent is None else first_class + parent for parent in parents)]
    return np.array(
        [-1 if row < 0 else anchor * old_size + row for anchor in range(head.num_anchors) for row in per_anchor]
    )


def _new_rows(name: str, old: Tensor, rows: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
    """The array `name` (see `ConvolutionalSection.weights`) of a head's convolution with its rows chosen anew."""
    new = old[torch.from_numpy(np.maximum(rows, 0)).to(old.device)].clone()
    fresh = torch.from_numpy(rows < 0).to(old.device)
    if name == "kernels":
        values = generator.normal(0, NEW_CLASS_WEIGHT_STD, (int((rows < 0).sum()), *old.shape[1:]))
        new[fresh] = torch.from_numpy(values).to(old.device, old.dtype)
    elif name == "biases":
        new[fresh] = float(np.log(NEW_CLASS_PROBABILITY / (1 - NEW_CLASS_PROBABILITY)))
    else:
        new[fresh] = 0.0 if name == "means" else 1.0
    return new
