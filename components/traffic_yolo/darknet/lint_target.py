"""A runtime as the lint sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from traffic_yolo.darknet.sections.runtimes import Reads


@dataclass(frozen=True)
class Target:
    """A runtime. `known`: what it reads of each section type of ours that it knows. `short_headers`: aliases of section
    names that it takes. `other_sections`: types that it knows and we do not.
    """

    name: str
    known: Mapping[str, Reads]
    activations: frozenset[str]
    short_headers: frozenset[str]
    other_sections: frozenset[str] = frozenset()

    @property
    def sections(self) -> frozenset[str]:
        """All section types that it knows."""
        return frozenset(self.known) | self.other_sections

    def reads(self, section_name: str) -> Reads:
        """What it reads of a section type; nothing special of [net] and of types that have no class here."""
        if section_name == "net":
            return Reads(required=("width", "height", "channels"))
        return self.known.get(section_name, Reads())
