"""One thing that the lint of a Darknet cfg reports."""

from dataclasses import dataclass
from typing import Any

from traffic_yolo.finding import FileFinding


@dataclass(frozen=True, slots=True)
class CfgFinding(FileFinding):
    """A finding in a section, "" for none; `layer` counts from 0, -1 for none.

    error: the target stops, or computes something else; warning: results may differ from Darknet's; info: a difference
    in behaviour that no change of the cfg removes.
    """

    section: str
    layer: int

    @property
    def statement(self) -> str:
        """The message, after the section and the layer that it is about."""
        about = [
            *([f"[{self.section}]"] if self.section else []),
            *([f"layer {self.layer}"] if self.layer >= 0 else []),
        ]
        return ": ".join([*([" ".join(about)] if about else []), self.message])

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values for JSON; line and layer are null where there is none."""
        return {**FileFinding.to_json(self), "layer": self.layer if self.layer >= 0 else None}
