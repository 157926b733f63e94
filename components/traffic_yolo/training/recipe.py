"""The numbers that a training takes where nobody gave them: what was measured for fine-tuning, or the cfg's own.

`docs/training.md` has the measurements behind the constants (`make bench-accuracy`). A cfg's numbers were made to train
from nothing on a large data set for weeks; applied to weights that are good already they do harm for the first
thousands of updates. So a fine-tuning (recipe default, whole start weights) has numbers of its own. All other trainings
take the cfg's; recipe default only cuts them to a run that the pictures justify, recipe darknet takes them as they are.
"""

import math
from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.plan import FineTunePlan

BATCH = 16  # of every measurement
FULL_RATE = 1e-3  # adamw, all layers, batch 16: measured, beside half and twice as much
HEADS_RATE = 3e-3  # adamw, heads alone, batch 16: measured
HEADS_SHARE = 0.1  # of the parameters: from here down the rate is that of the heads
SGD_SHARE = 0.1  # of the cfg's rate: 1e-4 for Yolo-Fastest gained where the cfg's 1e-3 lost
EPOCHS = 40  # a picture is seen so often; 200 updates of 78 pictures are 41
LEAST_UPDATES, MOST_UPDATES = 200, 6000
LEAST_FROM_NOTHING, PER_CLASS = 6000, 2000  # updates; Darknet's README, "How to train to detect your custom objects"
WARM_UP_SHARE = 10  # the warm-up is at most one part in so many of a run
# Of weights that pruning wrote, which are trained in every layer: .714 AP50 in the place of .632
# and .701 of .662 with what the rate test took (docs/compression.md)
AFTER_PRUNING_RATE = 2e-3  # adamw, all layers, batch 16


@dataclass(frozen=True)
class Known:
    """What is known before the first update: `trainable_share` of the parameters, in (0, 1].

    `is_just_pruned`: pruning itself wrote the start weights.
    """

    num_pictures: int
    num_classes: int
    trainable_share: float = 1.0
    is_just_pruned: bool = False


@dataclass(frozen=True)
class Numbers:
    """The defaults of one run; None in `learning_rate`, `policy`, `power` leaves them to the cfg."""

    batch: int
    subdivisions: int
    max_batches: int
    burn_in: int
    optimizer: str
    learning_rate: float | None = None
    policy: str | None = None
    batch_norm: str = "train"
    ema_alpha: float | None = None


def fine_tuning_plan(max_batches: int) -> FineTunePlan:
    """What a fine-tuning changes unless the user or the cfg's own keys say so: the heads for half the run, then all.

    Measured beside all at once, heads alone and fixed batch-norm statistics. In 40 updates all at half the rate gains
    more; in 200, the least that a fine-tuning has, this does, in six tenths of the time. Not of weights that pruning
    wrote: what they lost is in every layer (.526 AP50 of the demo's network at half the BFLOPs, all at once .613).
    """
    return FineTunePlan.parse(f"heads@{max_batches // 2},all" if max_batches > 1 else "all")


def fine_tuning_updates(num_pictures: int, batch: int) -> int:
    """The length of a fine-tuning: each picture `EPOCHS` times, within bounds."""
    return _clamped(math.ceil(EPOCHS * num_pictures / batch), LEAST_UPDATES, MOST_UPDATES)


def fine_tuning_numbers(
    net: Section, known: Known, *, batch: int | None, max_batches: int | None, optimizer: str | None
) -> Numbers:
    """The numbers for whole start weights, given those that the user chose."""
    batch = batch or BATCH
    updates = max_batches or fine_tuning_updates(known.num_pictures, batch)
    optimizer = optimizer or "adamw"
    return Numbers(
        batch=batch,
        subdivisions=slices(batch, mini_batch_of(net)),
        max_batches=updates,
        burn_in=updates // WARM_UP_SHARE,
        optimizer=optimizer,
        learning_rate=fine_tuning_rate(net, known, optimizer=optimizer, batch=batch),
        policy="cosine",
    )


def fine_tuning_rate(net: Section, known: Known, *, optimizer: str, batch: int) -> float:
    """The rate for a share of the parameters and a batch.

    adamw: between the two measured rates, evenly in the logarithm of the share; with the root of the batch (Malladi et
    al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms"). sgd: a part of the cfg's rate.
    """
    if optimizer == "sgd":
        return net.get_float("learning_rate", 0.001) * SGD_SHARE
    few = min(1.0, math.log(max(known.trainable_share, 1e-9)) / math.log(HEADS_SHARE))
    full = AFTER_PRUNING_RATE if known.is_just_pruned else FULL_RATE
    rate = full * (HEADS_RATE / full) ** few
    return _rounded(rate * math.sqrt(batch / BATCH))


def cfg_numbers(
    net: Section, known: Known, *, batch: int | None, max_batches: int | None, optimizer: str | None
) -> Numbers:
    """The cfg's numbers, cut to what the pictures justify, for a training without whole start weights.

    A cfg with batch=1 was set for detecting (Darknet's README, "Testing"): such a batch is `BATCH`.
    """
    of_cfg = net.get_int("batch", 1, at_least=1)
    batch = batch or (of_cfg if of_cfg > 1 else BATCH)
    enough = max(LEAST_FROM_NOTHING, PER_CLASS * known.num_classes, known.num_pictures)
    updates = max_batches or min(net.get_int("max_batches", enough, at_least=1), enough)
    return Numbers(
        batch=batch,
        subdivisions=slices(batch, mini_batch_of(net)),
        max_batches=updates,
        burn_in=min(net.get_int("burn_in", 0, at_least=0), updates // WARM_UP_SHARE),
        optimizer=optimizer or ("adamw" if net.get_int("adam", 0) else "sgd"),
    )


def darknet_numbers(
    net: Section, *, batch: int | None, subdivisions: int | None, max_batches: int | None, optimizer: str | None
) -> Numbers:
    """The cfg's numbers as they are; raises `DarknetFormatError` where it has no max_batches and nobody gave one."""
    if max_batches is None and not net.has("max_batches"):
        raise net.error(
            "recipe darknet takes max_batches from here, and there is none; add the key or give max_batches"
        )
    batch = batch or net.get_int("batch", 1, at_least=1)
    parts = subdivisions or net.get_int("subdivisions", 1, at_least=1)
    if batch % parts:  # Darknet would leave pictures out without a word
        raise OptionsError(f"batch: expected a multiple of subdivisions={parts}, found {batch} ({net.file}, [net])")
    return Numbers(
        batch=batch,
        subdivisions=parts,
        max_batches=max_batches or net.get_int("max_batches", 1, at_least=1),
        burn_in=net.get_int("burn_in", 0, at_least=0),
        optimizer=optimizer or ("adam" if net.get_int("adam", 0) else "sgd"),
    )


def mini_batch_of(net: Section) -> int | None:
    """Pictures that the cfg runs at once, which its author's memory held; None where it is set for detecting."""
    batch = net.get_int("batch", 1, at_least=1)
    return max(1, batch // net.get_int("subdivisions", 1, at_least=1)) if batch > 1 else None


def slices(batch: int, most: int | None) -> int:
    """The fewest equal slices of a batch with at most `most` pictures each; None: one slice."""
    return next(
        parts for parts in range(1, batch + 1) if batch % parts == 0 and (most is None or batch // parts <= most)
    )


def _clamped(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


def _rounded(rate: float) -> float:
    """Two digits: the printed settings are what runs."""
    return float(f"{rate:.2g}")
