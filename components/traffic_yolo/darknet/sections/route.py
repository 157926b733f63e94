"""[route]: earlier outputs, or one group of the channels of each, one after the other."""

import torch
from torch import Tensor, nn

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape


class RouteSection(LayerSection):
    """Takes the channels of group `group_id` of `groups` from each layer of `layers`, and joins them in that order."""

    def _read(self, context: LayerContext) -> None:
        section = self.section
        layers = section.get_ints("layers")
        if not layers:
            raise section.error("expected layers=, found none")
        self.inputs = tuple(self.reference(value, key="layers", context=context) for value in layers)
        self.groups = section.get_int("groups", 1, at_least=1)
        self.group_id = section.get_int("group_id", 0, at_least=0, at_most=self.groups - 1)
        self.refuse({"dropblock": 0, "stream": -1})
        shapes = [context.output_of(index) for index in self.inputs]
        for index, shape in zip(self.inputs, shapes, strict=True):
            if shape[1:] != shapes[0][1:]:
                found = f"layer {self.inputs[0]} with {shapes[0]}, layer {index} with {shape}"
                raise section.error(f"layers: expected one height and width, found {found}", key="layers")
            if shape.channels % self.groups:
                found = f"layer {index} has {shape.channels}"
                raise section.error(f"groups: expected channels that {self.groups} divides, {found}", key="groups")
        self.output = Shape(sum(shape.channels for shape in shapes) // self.groups, *shapes[0][1:])

    def build(self) -> nn.Module:
        """(B, C_i, H, W) of each input -> (B, sum C_i / groups, H, W). One whole input is passed on, not copied."""
        if self.groups == 1 and len(self.inputs) == 1:
            return nn.Identity()
        return _Route(self.groups, self.group_id)


class _Route(nn.Module):
    def __init__(self, groups: int, group_id: int) -> None:
        super().__init__()
        self.groups = groups
        self.group_id = group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        """See `RouteSection.build`."""
        if self.groups > 1:
            inputs = tuple(x.chunk(self.groups, dim=1)[self.group_id] for x in inputs)
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)
