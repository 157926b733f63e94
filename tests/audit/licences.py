"""Under which licences what the images hold is given: every distribution that setup.cfg's requirements lead to, as installed.

A licence that would ask for the source of what is built with it, or of a service that uses it (GPL, AGPL), is refused,
unless it is named below with the reason why it does not reach us.
"""

import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IMAGE_EXTRAS = ("train", "kubeflow", "deploy")  # docker/train/Dockerfile
PACKAGE = "traffic-yolo"
# Distributions whose own licence is refused -> why they are there all the same. None is; a reason is one line.
ALLOWED: dict[str, str] = {}
# Distributions that carry the whole text of such a licence -> for what, and why that does not reach us
BUNDLED = {
    "matplotlib": "FreeType, given under its own licence or the GPL: the first is taken",
    "numpy": "GCC's runtime library, under the exception that GCC makes for what it compiles",
    "pillow": "FreeType, given under its own licence or the GPL: the first is taken",
    "torch": "tests of the library cpr, whose licence files the wheel lists and whose sources it does not hold",
}
_REFUSED = re.compile(r"(?<![A-Za-z])A?GPL|GNU (Affero )?General Public", re.IGNORECASE)
_WHOLE_TEXT = re.compile(r"GNU\s+(AFFERO\s+)?GENERAL\s+PUBLIC\s+LICENSE\s+Version\s+\d", re.IGNORECASE)
_LICENCE_FILE = re.compile(r"licen[cs]e|copying|notice|third-?party", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """One distribution as installed. `carries`: licence files of it that hold a refused licence's whole text."""

    name: str
    version: str
    licence: str
    carries: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """Whether every licence that is offered is refused: of `A OR B` one is chosen, of `A AND B` all hold."""
        return all(_REFUSED.search(choice) for choice in re.split(r"\s+OR\s+", self.licence))


def installed(extras: Iterable[str] = IMAGE_EXTRAS) -> list[Distribution]:
    """What this package and its extras require, and what that requires, by name; `LookupError` for what is missing."""
    known = {canonicalize_name(one.metadata["Name"]): one for one in importlib.metadata.distributions()}
    found: dict[str, set[str]] = {}
    waiting = [(PACKAGE, set(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if name in found and wanted <= found[name]:
            continue
        if name not in known:
            raise LookupError(f"{name} is required and not installed; run `make install`")
        found[name] = found.get(name, set()) | wanted
        waiting += [(canonicalize_name(r.name), set(r.extras)) for r in _required(known[name], found[name])]
    return [known[name] for name in sorted(found)]


def _required(distribution: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in (extras or {""})):
            yield requirement


def licence_of(distribution: Distribution) -> Licence:
    """What a distribution's metadata says: an SPDX expression, else its classifiers, else the first line of its text."""
    metadata = distribution.metadata
    classifiers = [
        text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    # A classifier that is no more than "OSI Approved" says nothing
    named = [text for text in classifiers if text != "OSI Approved"]
    free_text = (metadata.get("License") or "").strip().partition("\n")[0]
    licence = metadata.get("License-Expression") or " AND ".join(named) or free_text
    return Licence(
        canonicalize_name(metadata["Name"]), distribution.version, licence, tuple(sorted(_whole_texts(distribution)))
    )


def _whole_texts(distribution: Distribution) -> Iterator[str]:
    for file in distribution.files or []:
        if _LICENCE_FILE.search(file.name) and file.suffix not in (".py", ".pyc", ".so"):
            path = file.locate()
            if path.is_file() and _WHOLE_TEXT.search(path.read_text(encoding="utf-8", errors="replace")):
                yield str(file)


def complaints(found: Iterable[Licence]) -> list[str]:
    """One line for each distribution that is refused, that says nothing, or that carries what nobody has looked at."""
    lines = []
    for one in found:
        if not one.licence:
            lines.append(f"{one.name} {one.version}: states no licence; find out, and name it in ALLOWED")
        elif one.is_refused and one.name not in ALLOWED:
            lines.append(f"{one.name} {one.version}: {one.licence}; replace it, or say in ALLOWED why it may stay")
        if one.carries and one.name not in BUNDLED:
            lines.append(f"{one.name} {one.version}: carries the GPL in {one.carries[0]}; say in BUNDLED for what")
    return lines
