"""A YAML file that lists several sources of one conversion, each with options of its own.

    sources:
      - name: june
        source: nas://recordings/june
        labels: nas://labels/june.json
        snapshot: june.json
      - {name: public, source: ../public-set, source_format: yolo, label_source: human}

`name` and `source` are needed; the others are those of a source (`options.SourceChoice`), and `snapshot`, which the
source must be found to hold. A relative path counts from the folder of the list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.checked_values import CheckedValue
from traffic_yolo.dataset.options import SOURCE_LIST, SourceChoice
from traffic_yolo.errors import OptionsError
from traffic_yolo.storage import existing_path, input_path, parse_yaml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
HEAD_BYTES = 1 << 16  # within which a list says that it is one
MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class ListedSource:
    """One source of a list; `snapshot`: location of the snapshot that it must hold, "" for none."""

    name: str
    choice: SourceChoice
    snapshot: str = ""


def is_source_list(path: Path) -> bool:
    """Whether a file is such a list: YAML with the key `sources` at the left edge."""
    if not path.is_file() or path.suffix not in (".yaml", ".yml"):
        return False
    with path.open("rb") as file:
        return re.search(rb"^sources\s*:", file.read(HEAD_BYTES), re.MULTILINE) is not None


def read_source_list(path: Path) -> tuple[ListedSource, ...]:
    """The sources that a list names, in its order.

    Raises `OptionsError`, beginning with file and place, for what is no such list: a key that no source has, a name
    that stands twice, a list within a list.
    """
    if path.stat().st_size > MOST_BYTES:
        raise OptionsError(f"{path}: expected a list of sources, found {path.stat().st_size:,} bytes")
    value = parse_yaml(path.read_bytes().decode(errors="replace"), where=str(path), error=OptionsError)
    document = CheckedValue(value, str(path), OptionsError)
    entries = document.section(("sources",), required=("sources",))["sources"]
    listed = tuple(_read(entry, path.parent) for entry in entries.items("a list of one or more", least=1))
    names = [source.name for source in listed]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise entries.refusal("a name of its own for each source", found=f"{twice} twice", advice="rename one")
    return listed


def locations_of(choice: SourceChoice) -> list[str]:
    """Where a source and its labels lie; of a list, those of all."""
    found = [choice.source, *([choice.labels] if choice.labels else [])]
    path = input_path(choice.source, what="source")
    if choice.source_format in ("auto", SOURCE_LIST) and is_source_list(path):
        found += [place for listed in read_source_list(path) for place in locations_of(listed.choice)]
    return found


def _read(entry: CheckedValue, folder: Path) -> ListedSource:
    known = {field.name: field for field in fields(SourceChoice)}
    given = entry.section(("name", *known, "snapshot"), required=("name", "source"), defaults={"snapshot": ""})
    name = given.pop("name")
    if not NAME.fullmatch(name.text()):
        raise name.refusal("letters, digits, '.', '_' and '-'")
    given["source"].text()
    snapshot = given.pop("snapshot").text(empty=True)
    values = {key: value.of_type(int if known[key].type is int else str) for key, value in given.items()}
    for key, value in values.items():
        if known[key].metadata.get("location") == "read":
            values[key] = _placed(value, folder)
    try:
        choice = SourceChoice(**values)
    except OptionsError as error:
        raise entry.fault(str(error)) from error
    if choice.source_format == SOURCE_LIST or is_source_list(existing_path(choice.source, what="source")):
        raise entry.fault("expected a source, found a list of sources; put its entries here")
    return ListedSource(name.text(), choice, _placed(snapshot, folder))


def _placed(location: str, folder: Path) -> str:
    """A location; a relative path is taken from the list's folder."""
    if not location or "://" in location or location in builtin_layouts():
        return location
    return str(folder / location)


def refuse_own_options(choice: SourceChoice, path: Path) -> None:
    """Raises `OptionsError` for options of one source that are given beside a list."""
    defaults: Mapping[str, Any] = {field.name: field.default for field in fields(SourceChoice)}
    for name, default in defaults.items():
        if name not in ("source", "source_format") and getattr(choice, name) != default:
            raise OptionsError(f"{name}: {path} lists several sources: give it there, to the source that it belongs to")
