"""[route]: earlier outputs, or one group of the channels of each, one after the other."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import SectionCase
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM, OPENCV, Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


def _grouped_join(case: SectionCase) -> Iterator[CfgFinding]:
    """Several layers joined and one group taken of each: OpenCV slices the first alone."""
    groups = case.section.get_int("groups", 1)
    if case.target == OPENCV and groups > 1 and len(case.section.get_ints("layers")) > 1:
        advice = "write one [route] for each layer, then one that joins them"
        yield case.finding("error", f"opencv cannot take groups={groups} of several layers", advice, key="groups")


def _missing_group_id(case: SectionCase) -> Iterator[CfgFinding]:
    """DeepStream-Yolo's builder wants `group_id` wherever there is `groups`."""
    if case.target == DEEPSTREAM and case.section.has("groups") and not case.section.has("group_id"):
        message = f"{DEEPSTREAM} needs group_id= beside groups=, found none"
        yield case.finding("error", message, "add group_id=0", key="groups")


class RouteSection(LayerSection):
    """Takes the channels of group `group_id` of `groups` from each layer of `layers`, and joins them in that order."""

    keys = words("group_id groups layers stream wait_stream")
    foreign_keys = words("axis")  # DeepStream-Yolo's
    runtimes = read_by("layers", deepstream=Reads(), opencv=Reads())
    lint_rules = (("grouped-join", _grouped_join), ("missing-group-id", _missing_group_id))

    def _read(self, context: LayerContext) -> None:
        section = self.section
        layers = section.get_ints("layers")
        if not layers:
            raise section.error("expected layers=, found none")
        self.inputs = tuple(self.reference(value, key="layers", context=context) for value in layers)
        self.groups = section.get_int("groups", 1, at_least=1)
        self.group_id = section.get_int("group_id", 0, at_least=0, at_most=self.groups - 1)
        shapes = [context.output_of(index) for index in self.inputs]
        for index, shape in zip(self.inputs, shapes, strict=True):
            if shape[1:] != shapes[0][1:]:
                found = f"layer {self.inputs[0]} with {shapes[0]}, layer {index} with {shape}"
                raise section.error(f"layers: expected one height and width, found {found}", key="layers")
            if shape.channels % self.groups:
                found = f"layer {index} has {shape.channels}"
                raise section.error(f"groups: expected channels that {self.groups} divides, {found}", key="groups")
        self.output = Shape(sum(shape.channels for shape in shapes) // self.groups, *shapes[0][1:])

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """The group's channels of each layer, joined; the groups of a layer are tied, to stay equally long."""
        chosen = []
        for channels in inputs:
            groups = channels.reshape(self.groups, -1)
            if self.groups > 1:
                tying.tie_rows(groups.T)
            chosen.append(groups[self.group_id])
        return np.concatenate(chosen)

    def build(self) -> "nn.Module":
        """(B, C_i, H, W) of each input -> (B, sum C_i / groups, H, W). One whole input is passed on, not copied."""
        from torch import nn

        from traffic_yolo.darknet.modules.route import Route

        if self.groups == 1 and len(self.inputs) == 1:
            return nn.Identity()
        return Route(self.groups, self.group_id)
