"""Which layers a cfg tells Darknet to leave alone (`stopbackward`, `dont_update`, `train_only_bn`), read and written.

What the keys do, by Darknet's training on a GPU (network_kernels.cu backward_network_gpu, update_network_gpu):
`stopbackward=1` ends the backward pass at its layer, so that this one and all before it get no gradient; larger
numbers do so up to that iteration. `dont_update=N` skips the layer's updates up to iteration N. `train_only_bn=1` skips
them for its layer and all before it, where batch-norm statistics still follow the pictures. A CPU build knows
`stopbackward` alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.errors import OptionsError

KEYS = ("stopbackward", "dont_update", "train_only_bn")
NEVER = 2_000_000_000  # dont_update of a layer that is never to change: above any max_batches, within C's int

TRAINED = "trained"
FROZEN = "frozen"
STATISTICS_ONLY = "statistics only"


@dataclass(frozen=True)
class FreezePlan:
    """The three keys by layer index: `stopbackward` and `dont_update` with their values, `train_only_bn` where set."""

    stopbackward: Mapping[int, int] = field(default_factory=dict)
    dont_update: Mapping[int, int] = field(default_factory=dict)
    train_only_bn: frozenset[int] = frozenset()

    def state(self, index: int, *, max_batches: int = 0) -> str:
        """What happens to a layer's weights: "trained", "frozen", "frozen to iteration N", or "statistics only".

        With a `max_batches` above 0, a freeze that outlasts it counts as "frozen".
        """
        if any(value == 1 and index <= layer for layer, value in self.stopbackward.items()):
            return FROZEN
        ends = [value for layer, value in self.stopbackward.items() if value > 1 and index <= layer]
        ends.append(self.dont_update.get(index, 0))
        end = max(ends)
        if end >= (max_batches or NEVER):
            return FROZEN
        if self.train_only_bn and index <= max(self.train_only_bn):
            return STATISTICS_ONLY
        return f"frozen to iteration {end}" if end > 0 else TRAINED

    def state_at(self, index: int, iteration: int) -> str:
        """What happens to a layer's weights in the update after `iteration` others: TRAINED, FROZEN or STATISTICS_ONLY.

        network_kernels.cu: a number counts while it is above the updates done; `stopbackward=1` counts for ever.
        """
        ends = [value for layer, value in self.stopbackward.items() if index <= layer]
        if any(end == 1 or end > iteration for end in ends) or self.dont_update.get(index, 0) > iteration:
            return FROZEN
        return STATISTICS_ONLY if self.train_only_bn and index <= max(self.train_only_bn) else TRAINED

    def for_good(self, *, max_batches: int) -> "FreezePlan":
        """What of it outlasts `max_batches`; without a number in `max_batches` (0), what lasts for ever."""
        most = max_batches or NEVER
        return FreezePlan(
            {index: value for index, value in self.stopbackward.items() if value == 1 or value >= most},
            {index: value for index, value in self.dont_update.items() if value >= most},
            self.train_only_bn,
        )


def read_freeze_plan(cfg: Cfg) -> FreezePlan:
    """The plan that stands in a cfg; raises `DarknetFormatError` for values that are no whole numbers."""
    values = {
        key: {index: value for index, layer in enumerate(cfg.layers) if (value := layer.get_int(key, 0)) != 0}
        for key in KEYS
    }
    return FreezePlan(values["stopbackward"], values["dont_update"], frozenset(values["train_only_bn"]))


def write_freeze_plan(cfg: Cfg, plan: FreezePlan) -> Cfg:
    """A copy of `cfg` with this plan in place of whatever it had; raises `OptionsError` for a layer it has not."""
    written = cfg.copy()
    layers = {*plan.stopbackward, *plan.dont_update, *plan.train_only_bn}
    if wrong := sorted(layer for layer in layers if not 0 <= layer < len(cfg.layers)):
        raise OptionsError(f"freeze plan: expected layers 0 to {len(cfg.layers) - 1} of {cfg.file}, found {wrong[0]}")
    for index, section in enumerate(written.layers):
        values = {
            "stopbackward": plan.stopbackward.get(index, 0),
            "dont_update": plan.dont_update.get(index, 0),
            "train_only_bn": int(index in plan.train_only_bn),
        }
        for key, value in values.items():
            if value:
                section.set(key, value)
            elif section.has(key):
                section.remove(key)
    return written


def plan_for_trainable(
    sections: Sequence[LayerSection], trainable: Collection[int], *, adapt_statistics: bool = False
) -> FreezePlan:
    """The plan by which Darknet trains the layers `trainable` (indices) and no other layer with weights.

    All layers before the first trainable one with weights are frozen by one `stopbackward=1`, right before it: Darknet
    skips their backward pass, which saves its time and memory. `adapt_statistics` writes `train_only_bn=1` there
    instead: their batch-norm statistics follow the new pictures. Other layers get `dont_update`; so does a convolution
    that carries the `stopbackward`, because Darknet would go on with its weight decay there. Raises `OptionsError`
    where no trainable layer has weights.
    """
    weighted = [section.index for section in sections if section.num_weights]
    kept = [index for index in weighted if index in trainable]
    if not kept:
        raise OptionsError("freeze plan: expected at least one trainable layer with weights, found none")
    end = kept[0] - 1
    frozen_after = {index: NEVER for index in weighted if index > end and index not in trainable}
    if not any(index <= end for index in weighted):
        return FreezePlan(dont_update=frozen_after)
    if adapt_statistics:
        return FreezePlan(dont_update=frozen_after, train_only_bn=frozenset([end]))
    boundary = {end: NEVER} if end in weighted else {}
    return FreezePlan(stopbackward={end: 1}, dont_update={**boundary, **frozen_after})
