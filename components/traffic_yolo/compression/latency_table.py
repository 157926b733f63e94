"""What each convolution of a network takes by its channels: predicts smaller networks, and is kept in a file.

`latency` measures it. Whoever compares networks by it judges all of them by one measurement, on whatever machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.compression.options import RUNTIME
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.errors import OptionsError
from traffic_yolo.storage import AnyPath, input_path, output_path, read_json, write_json
from traffic_yolo.typed_values import why_other

SCHEMA_VERSION = 1
SHARES = (0.25, 0.5, 1.0)  # of the channels read and of the filters at which a convolution is measured
MOST_BUSY = 0.1  # share of the time, above which a measurement is doubtful
MOST_SHOWN = 5  # layers that a terminal is told of
# What the file holds -> its type; `layers` are one object for each convolution
_FIELDS: dict[str, Any] = {
    "schema_version": int,
    "runtime": str,
    "machine": str,
    "busy": float,
    "input_hw": tuple[int, int],
    "shares": list[float],
    "rest_ms": float,
    "layers": list[dict[str, Any]],
}
_LAYER_FIELDS: dict[str, Any] = {"layer": int, "read": int, "filters": int, "ms": list[list[float]]}


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds: `layers[i]` (S, S) by share read and share of filters, of convolution i; `rest` all that is none.

    `channels[i]` are the channels read and the filters of convolution i in the network that was measured, `input_hw`
    its height and width in pixels, `machine` what measured it, in words, `busy` the share of the time that the machine
    spent on other processes meanwhile.
    """

    layers: dict[int, NDArray[np.float64]]
    channels: dict[int, tuple[int, int]]
    rest: float
    input_hw: tuple[int, int]
    machine: str
    busy: float = 0.0

    def predict(self, sections: Sequence[LayerSection], *, parents: Sequence[int] | None = None) -> float:
        """Milliseconds a picture of a network with fewer channels or fewer layers than the one that was measured.

        `parents`: of each section its layer in that network; None: the same layers. What is no convolution counts as it
        was in the whole network, so that one with fewer channels is rather faster than this says.
        """
        found = self.rest
        for section, parent in zip(sections, parents or range(len(sections)), strict=True):
            if isinstance(section, ConvolutionalSection):
                found += self._layer(section, parent)
        return found

    def _layer(self, section: ConvolutionalSection, parent: int) -> float:
        read, filters = self.channels[parent]
        times = self.layers[parent]
        by_filters = [
            np.interp(section.input.channels / read, SHARES, times[:, column]) for column in range(len(SHARES))
        ]
        return float(np.interp(section.filters / filters, SHARES, by_filters))

    def check(self, sections: Sequence[LayerSection], input_hw: tuple[int, int], *, where: str) -> None:
        """Raises `OptionsError`, naming the table's place `where`, for a network that it was not measured on."""
        own = {s.index: (s.input.channels, s.filters) for s in sections if isinstance(s, ConvolutionalSection)}
        measure = "measure this network: traffic-yolo compress measure"
        if input_hw != self.input_hw:
            found, given = (f"{width} x {height}" for height, width in (self.input_hw, input_hw))
            raise OptionsError(
                f"latency_table: {where}: measured at {found} pixels, the network has {given}; {measure}"
            )
        for layer in sorted(own.keys() | self.channels.keys()):
            if own.get(layer) != self.channels.get(layer):
                found, given = (_channels(channels.get(layer)) for channels in (self.channels, own))
                raise OptionsError(
                    f"latency_table: {where}: measured on another network: layer {layer} was {found} there, and is "
                    f"{given} here; {measure}"
                )

    @property
    def text(self) -> str:
        """For people: what was measured, where, and what takes most."""
        height, width = self.input_hw
        whole = {layer: float(times[-1, -1]) for layer, times in self.layers.items()}
        most = sorted(whole, key=lambda layer: -whole[layer])[:MOST_SHOWN]
        total = sum(whole.values()) + self.rest
        lines = [
            f"{total:.2f} ms a picture of {width} x {height} (PyTorch, {self.machine})",
            f"{len(whole)} convolutions {total - self.rest:.2f} ms, all else {self.rest:.2f} ms; most take",
        ]
        if self.busy > MOST_BUSY:
            lines.append(
                f"WARNING: other processes took {self.busy:.0%} of the time meanwhile: the milliseconds are too many, "
                "and not by the same share; measure again on a quiet machine"
            )
        return "\n".join([*lines, *(f"  layer {layer:>3}: {whole[layer]:.3f} ms" for layer in most)])

    def write(self, path: AnyPath) -> None:
        """Writes the file, atomically."""
        write_json(output_path(path), self.document())

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        layers = [
            {"layer": layer, "read": self.channels[layer][0], "filters": self.channels[layer][1], "ms": times.tolist()}
            for layer, times in self.layers.items()
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "runtime": RUNTIME,
            "machine": self.machine,
            "busy": self.busy,
            "input_hw": list(self.input_hw),
            "shares": list(SHARES),
            "rest_ms": self.rest,
            "layers": layers,
        }

    @classmethod
    def read(cls, path: AnyPath) -> "LatencyTable":
        """Reads what `write` wrote; raises `StorageError`, or `OptionsError` for anything else."""
        path = input_path(path, what="latency table")
        content: Any = read_json(path, what="latency table", error=OptionsError)
        reason = _why_none(content)
        if reason:
            raise OptionsError(f"{path}: not a latency table: {reason}; write it by traffic-yolo compress measure")
        layers = content["layers"]
        height, width = content["input_hw"]
        return cls(
            {each["layer"]: np.array(each["ms"], np.float64) for each in layers},
            {each["layer"]: (each["read"], each["filters"]) for each in layers},
            float(content["rest_ms"]),
            (height, width),
            content["machine"],
            float(content["busy"]),
        )


def _why_none(content: Any) -> str:
    """Why a document is no table, in words; "" where it is one."""
    if reason := why_other(content, dict[str, Any]):
        return reason
    for name, hint in _FIELDS.items():
        if reason := why_other(content.get(name), hint):
            return f"{name}{reason}"
    for name, expected in {"schema_version": SCHEMA_VERSION, "runtime": RUNTIME, "shares": list(SHARES)}.items():
        if content[name] != expected:
            return f"{name}: expected {expected}; found {content[name]!r}"
    if content["rest_ms"] < 0 or not 0 <= content["busy"] <= 1 or min(content["input_hw"]) < 1:
        return "rest_ms, busy, input_hw: expected numbers from 0, busy to 1, input_hw from 1"
    seen: set[int] = set()
    for place, layer in enumerate(content["layers"]):
        for name, hint in _LAYER_FIELDS.items():
            if reason := why_other(layer.get(name), hint):
                return f"layers[{place}].{name}{reason}"
        times = layer["ms"]
        if [len(row) for row in times] != [len(SHARES)] * len(SHARES) or min(map(min, times)) <= 0:
            return f"layers[{place}].ms: expected {len(SHARES)} rows of {len(SHARES)} numbers above 0"
        if min(layer["read"], layer["filters"]) < 1 or layer["layer"] in seen:
            return f"layers[{place}]: expected a layer that stands once, with 1 or more channels"
        seen.add(layer["layer"])
    return "" if seen else "layers: expected one or more"


def _channels(channels: tuple[int, int] | None) -> str:
    return "no convolution" if channels is None else f"{channels[0]} -> {channels[1]} channels"
