"""What a fine-tuning may change, and how fast, as one value: stages of layers, each with rates of their own.

    plan   = stage *("," stage)                          "heads@100,all+backbone:0.1"
    stage  = layers *("+" group ":" factor) ["@" updates]  every stage but the last says how many updates it lasts
    layers = "all" | "neck_and_heads" | "heads" | "last:" count | "from:" index
    group  = "backbone" | "neck" | "heads"                 its learning rate is multiplied by the factor

`last:3` are the last three layers with weights, `from:10` is layer 10 and all after it. `re:<expression>` is a plan of
one stage: the layers whose whole name, `<index>_<section>` such as `12_convolutional`, the expression matches. It needs
characters that Katib's values and a training store's key do not have, so it is for settings files and Python.

Knows the text and the graph's three groups; who freezes what, when, under the cfg's own keys is in `layer_plan`.
"""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traffic_yolo.errors import OptionsError
from traffic_yolo.patterns import compiled, matched
from traffic_yolo.training.layer_groups import GROUPS, backbone_end, group_of_layers

if TYPE_CHECKING:  # the options import this module, and `--help` must not load torch
    from traffic_yolo.darknet.network import Network

WORDS = ("all", "neck_and_heads", "heads")
NUMBERED = ("last", "from")
EXPRESSION = "re:"
MOST_FACTOR = 10.0
MOST_STAGES = 20
MOST_UPDATES = 2**31 - 1  # Darknet's iterations are C's int
OPTION = "fine_tune_layers"
GRAMMAR = "all, neck_and_heads, heads, last:<count> or from:<index>, with +<group>:<factor> and @<updates>"

_COUNT = re.compile(r"[0-9]{1,10}")
_FACTOR = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?|\.[0-9]{1,6}")


@dataclass(frozen=True)
class Stage:
    """One stage: the layers' text, factors by group, and how many updates it lasts (None: to the end)."""

    layers: str
    factors: tuple[tuple[str, float], ...] = ()
    updates: int | None = None

    def __str__(self) -> str:
        factors = "".join(f"+{group}:{factor:g}" for group, factor in self.factors)
        return f"{self.layers}{factors}" + ("" if self.updates is None else f"@{self.updates}")

    def layers_of(self, network: "Network") -> frozenset[int]:
        """Darknet indices of the layers; raises `OptionsError` for a number or an expression that leaves none."""
        sections = network.sections
        weighted = [section.index for section in sections if section.num_weights]
        everything = range(len(sections))
        if self.layers == "all":
            return frozenset(everything)
        if self.layers == "heads":
            return frozenset(head.layer_index - 1 for head in network.heads)
        if self.layers == "neck_and_heads":
            return frozenset(range(backbone_end(sections) + 1, len(sections)))
        if self.layers.startswith(EXPRESSION):
            pattern = compiled(self.layers.removeprefix(EXPRESSION))
            names = {section.index: f"{section.index}_{section.section.name}" for section in sections}
            found = frozenset(index for index in weighted if matched(pattern, names[index]))
            if not found:
                raise OptionsError(
                    f"{OPTION}: {self.layers} matches no layer with weights; names are {names[weighted[0]]} to "
                    f"{names[weighted[-1]]}"
                )
            return found
        kind, _, text = self.layers.partition(":")
        number = int(text)
        if kind == "last":
            if number > len(weighted):
                raise OptionsError(
                    f"{OPTION}: expected last:<count> with a count up to {len(weighted)}, found {self.layers}"
                )
            return frozenset(range(weighted[-number], len(sections)))
        if number > weighted[-1]:
            raise OptionsError(
                f"{OPTION}: expected from:<index> with an index up to {weighted[-1]}, found {self.layers}"
            )
        return frozenset(range(number, len(sections)))


@dataclass(frozen=True)
class FineTunePlan:
    """Stages in order; `str()` gives the one canonical text of what `parse` reads."""

    stages: tuple[Stage, ...]

    @classmethod
    def parse(cls, text: str) -> "FineTunePlan":
        """The plan of a text; raises `OptionsError` that quotes the part that is none."""
        if text.startswith(EXPRESSION):
            try:
                compiled(text.removeprefix(EXPRESSION))
            except ValueError as error:
                raise OptionsError(f"{OPTION}: {text[:80]!r} is no expression: {error}") from error
            return cls((Stage(text),))
        parts = text.split(",")
        if len(parts) > MOST_STAGES:
            raise OptionsError(f"{OPTION}: expected at most {MOST_STAGES} stages, found {len(parts)}")
        stages = tuple(_read_stage(part) for part in parts)
        for stage in stages[:-1]:
            if stage.updates is None:
                raise OptionsError(f"{OPTION}: expected @<updates> in every stage but the last, found '{stage}'")
        if stages[-1].updates is not None:
            raise OptionsError(f"{OPTION}: the last stage lasts to the end: leave out its @, found '{stages[-1]}'")
        return cls(stages)

    def __str__(self) -> str:
        return ",".join(str(stage) for stage in self.stages)

    @property
    def starts(self) -> tuple[int, ...]:
        """How many updates were done when each stage begins; the first is 0."""
        starts = [0]
        for stage in self.stages[:-1]:
            starts.append(starts[-1] + (stage.updates or 0))
        return tuple(starts)

    @property
    def trains_everything(self) -> bool:
        """Whether no layer is ever frozen, which random weights need."""
        return all(stage.layers == "all" for stage in self.stages)

    def stage_at(self, iteration: int) -> int:
        """The number of the stage of the update that follows `iteration` updates."""
        return sum(start <= iteration for start in self.starts) - 1

    def trainable_at(self, network: "Network", iteration: int) -> frozenset[int]:
        """Darknet indices of the layers that the update after `iteration` others changes; see `Stage.layers_of`."""
        return self.stages[self.stage_at(iteration)].layers_of(network)

    def rates_at(self, network: "Network", iteration: int) -> dict[int, float]:
        """By layer index, what the learning rate is multiplied by there; layers that are left out have 1."""
        factors = dict(self.stages[self.stage_at(iteration)].factors)
        groups = group_of_layers(network)
        return {index: factors[group] for index, group in groups.items() if group in factors}


def _read_stage(text: str) -> Stage:
    body, at, updates_text = text.partition("@")
    layers, *factor_texts = body.split("+")
    updates = None
    if at:
        if not _COUNT.fullmatch(updates_text) or not 0 < int(updates_text) <= MOST_UPDATES:
            raise OptionsError(f"{OPTION}: expected a number of updates above 0 after @, found {text[:80]!r}")
        updates = int(updates_text)
    return Stage(_canonical_layers(layers, text), _read_factors(factor_texts, layers, text), updates)


def _canonical_layers(layers: str, text: str) -> str:
    if layers in WORDS:
        return layers
    kind, separator, number = layers.partition(":")
    if kind not in NUMBERED or not separator or not _COUNT.fullmatch(number) or (kind == "last" and not int(number)):
        raise OptionsError(f"{OPTION}: expected {GRAMMAR}, found {text[:80]!r}")
    return f"{kind}:{int(number)}"


def _read_factors(texts: list[str], layers: str, text: str) -> tuple[tuple[str, float], ...]:
    factors: dict[str, float] = {}
    frozen = {"heads": ("backbone", "neck"), "neck_and_heads": ("backbone",)}.get(layers, ())
    for each in texts:
        group, _, number = each.partition(":")
        if group not in GROUPS or not _FACTOR.fullmatch(number) or not 0 < float(number) <= MOST_FACTOR:
            expected = f"+<group>:<factor> with a group of {', '.join(GROUPS)} and a factor above 0, up to 10"
            raise OptionsError(f"{OPTION}: expected {expected}, found {text[:80]!r}")
        if group in factors or group in frozen:
            why = "twice" if group in factors else f"which {layers} freezes"
            raise OptionsError(f"{OPTION}: a rate for {group} {why}, found {text[:80]!r}")
        factors[group] = float(number)
    assert all(math.isfinite(factor) for factor in factors.values())
    return tuple((group, factors[group]) for group in GROUPS if factors.get(group, 1.0) != 1.0)
