"""Layers that pass their input on when no truth is given: [empty], [cost], [contrastive]; and [activation]."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from traffic_yolo.darknet.activations import PLAIN_ACTIVATIONS, read_activation
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn

COST_TYPES = ("sse", "masked", "smooth", "seg", "L1", "wgan")


class EmptySection(LayerSection):
    """An index and nothing else."""

    keys = frozenset()

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.output = self.input

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def build(self) -> "nn.Module":
        """(B, C, H, W), passed on."""
        from torch import nn

        return nn.Identity()


class ActivationSection(EmptySection):
    """An activation as a layer of its own."""

    keys = words("activation")

    def _read(self, context: LayerContext) -> None:
        super()._read(context)
        self.activation = read_activation(self.section, "linear", known=PLAIN_ACTIVATIONS)

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> the same shape. Not in place: the layer before may be read by others."""
        from traffic_yolo.darknet.modules.activations import ACTIVATIONS
        from traffic_yolo.darknet.modules.passing import Apart

        return Apart(ACTIVATIONS[self.activation]())


class CostSection(EmptySection):
    """Compares with a truth in training; nothing can read it."""

    keys = words("ratio scale type")
    runtimes = read_by(opencv=Reads())

    readers: ClassVar[frozenset[str] | None] = frozenset()

    def _read(self, context: LayerContext) -> None:
        super()._read(context)
        cost_type = self.section.get_str("type", "sse")
        if cost_type not in COST_TYPES:
            expected = f"expected one of {', '.join(COST_TYPES)}"
            raise self.section.error(f"type: {expected}, found {cost_type[:40]!r}", key="type")


class ContrastiveSection(EmptySection):
    """Pulls embeddings of one object together in training; nothing can read it, and detection does without it."""

    keys = words("classes cls_normalizer contrastive_neg_max max_delta temperature yolo_layer")

    readers: ClassVar[frozenset[str] | None] = frozenset()

    def _read(self, context: LayerContext) -> None:
        super()._read(context)
        value = self.section.get_int("yolo_layer", 0)
        index = self.reference(value, key="yolo_layer", context=context)
        found = context.previous[index].section.name
        if found != "yolo":
            message = f"yolo_layer: expected a [yolo] layer, found layer {index}, [{found}]"
            raise self.section.error(message, key="yolo_layer")

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """Those read, fixed: training compares them whole."""
        tying.fix(inputs[0], "[contrastive] reads it")
        return inputs[0]
