"""What each layer of one network does in each update: the fine-tuning plan, the cfg's own keys and batch-norm joined.

A plan that the user gave goes before the keys of the cfg, as every option does. Where none is given the cfg's keys
hold: `stopbackward`, `dont_update`, `train_only_bn` (see `darknet.freeze_plan`) and `burnin_update=N`, by which Darknet
leaves a layer alone for N times the warm-up. A layer's own `learning_rate` multiplies the rate in any case (parser.c
parse_network_cfg_custom: learning_rate_scale).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from traffic_yolo.darknet.freeze_plan import NEVER, STATISTICS_ONLY, TRAINED, FreezePlan, read_freeze_plan
from traffic_yolo.darknet.freeze_plan import plan_for_trainable as darknet_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.batch_norm import BatchNormPolicy
from traffic_yolo.training.freeze import freeze, set_training_mode
from traffic_yolo.training.plan import FineTunePlan


@dataclass(frozen=True)
class LayerStates:
    """Darknet indices, in one update: `trainable` layers change their weights, `statistics` their batch-norm's.

    `factors`: what the learning rate is multiplied by, for the layers where it is not 1.
    """

    trainable: frozenset[int]
    statistics: frozenset[int]
    factors: Mapping[int, float]


class LayerPlan:
    """The states of all layers of `network` over a run. Immutable; made before the first update."""

    def __init__(
        self,
        network: Network,
        *,
        plan: FineTunePlan,
        obey_freeze_keys: bool,
        batch_norm: BatchNormPolicy,
        burn_in: int = 0,
    ) -> None:
        """`obey_freeze_keys`: whether the cfg's freeze keys count, which a plan given by the user replaces.

        Raises `OptionsError` for layers that the network has not, or where nothing would ever train, and
        `DarknetFormatError` for keys that are no numbers.
        """
        self._sections = network.sections
        self._plan, self._batch_norm = plan, batch_norm
        self._of_cfg = read_freeze_plan(network.cfg) if obey_freeze_keys else FreezePlan()
        layers = network.cfg.layers
        self._own_rates = {
            index: layer.get_float("learning_rate", 1.0, at_least=0) for index, layer in enumerate(layers)
        }
        self._asleep = {
            index: layer.get_int("burnin_update", 0, at_least=0) * burn_in if obey_freeze_keys else 0
            for index, layer in enumerate(layers)
        }
        self.changes = self._find_changes()
        self._states = tuple(self._states_at(network, iteration) for iteration in self.changes)
        weighted = {section.index for section in network.sections if section.num_weights}
        if not self.ever_trainable & weighted:
            raise OptionsError(
                f"fine_tune_layers={plan}: no layer with weights would train; look at stopbackward, dont_update and "
                f"train_only_bn in {network.cfg.file}, or give fine_tune_layers, which goes before them"
            )

    def _find_changes(self) -> tuple[int, ...]:
        ends = [*self._of_cfg.stopbackward.values(), *self._of_cfg.dont_update.values(), *self._asleep.values()]
        batch_norm = self._batch_norm.frozen_until or 0
        return tuple(sorted({0, batch_norm, *self._plan.starts, *(end for end in ends if 1 < end < NEVER)}))

    def _states_at(self, network: Network, iteration: int) -> LayerStates:
        planned = self._plan.trainable_at(network, iteration)
        trainable, following = set(), set()
        for index in planned:
            state = self._of_cfg.state_at(index, iteration)
            if state == TRAINED and self._asleep[index] <= iteration:
                trainable.add(index)
            if state in (TRAINED, STATISTICS_ONLY):
                following.add(index)
        factors = self._plan.rates_at(network, iteration)
        for index, own in self._own_rates.items():
            if own != 1:
                factors[index] = factors.get(index, 1.0) * own
        statistics = frozenset(following) if self._batch_norm.follows_at(iteration) else frozenset[int]()
        return LayerStates(frozenset(trainable), statistics, {i: f for i, f in factors.items() if i in trainable})

    def number_at(self, iteration: int) -> int:
        """Which of the states holds in the update that follows `iteration` updates."""
        return sum(change <= iteration for change in self.changes) - 1

    def at(self, iteration: int) -> LayerStates:
        """The states in the update that follows `iteration` updates."""
        return self._states[self.number_at(iteration)]

    @property
    def all_states(self) -> tuple[LayerStates, ...]:
        """The states in order: the first from the first update on, each other from its place in `changes` on."""
        return self._states

    @property
    def ever_trainable(self) -> frozenset[int]:
        """Layers whose weights some update changes."""
        return frozenset().union(*(states.trainable for states in self._states))

    @property
    def untouched(self) -> frozenset[int]:
        """Layers that stay bit for bit as they were: neither weights nor statistics ever change."""
        touched = self.ever_trainable.union(*(states.statistics for states in self._states))
        return frozenset(range(len(self._sections))) - touched

    def apply(self, network: Network, iteration: int) -> None:
        """Puts `network` into the states of the update that follows `iteration` updates, in place.

        Call it before every update: it switches gradients and the modes of layers, which a validation may change.
        """
        states = self.at(iteration)
        freeze(network, states.trainable)
        set_training_mode(network, states.trainable, states.statistics)

    def exported(self) -> FreezePlan:
        """The keys by which Darknet would leave alone what this plan never trains: of the cfg that a training delivers.

        A layer that waited for a later stage has none: it is trained by then, and the next training that reads the cfg
        would let it wait again, for as many updates of a run that may be shorter. Darknet has no key for a layer that
        stops training, nor for factors of a group: those are left out.
        """
        return self._of_cfg if self._plan.trains_everything else darknet_plan(self._sections, self.ever_trainable)
