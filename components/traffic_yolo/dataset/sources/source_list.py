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
from traffic_yolo.dataset.options import SOURCE_LIST, SourceChoice
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown, shown_names
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
    entries = value.get("sources") if isinstance(value, dict) else None
    if not isinstance(value, dict) or set(value) != {"sources"} or not isinstance(entries, list) or not entries:
        found = shown_names(value) if isinstance(value, dict) else shown(value)
        raise OptionsError(f"{path}: expected 'sources', a list of one or more, and nothing else; found {found}")
    listed = tuple(_read(entry, f"{path}: sources[{index}]", path.parent) for index, entry in enumerate(entries))
    names = [source.name for source in listed]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise OptionsError(f"{path}: expected a name of its own for each source, found {twice} twice; rename one")
    return listed


def locations_of(choice: SourceChoice) -> list[str]:
    """Where a source and its labels lie; of a list, those of all."""
    found = [choice.source, *([choice.labels] if choice.labels else [])]
    path = input_path(choice.source, what="source")
    if choice.source_format in ("auto", SOURCE_LIST) and is_source_list(path):
        found += [place for listed in read_source_list(path) for place in locations_of(listed.choice)]
    return found


def _read(entry: Any, where: str, folder: Path) -> ListedSource:
    known = {field.name: field for field in fields(SourceChoice)}
    wanted = ("name", *known, "snapshot")
    if not isinstance(entry, dict) or set(entry) - set(wanted):
        found = shown_names(key for key in entry if key not in wanted) if isinstance(entry, dict) else shown(entry)
        raise OptionsError(f"{where}: unknown: {found}; expected some of {', '.join(wanted)}")
    for key, given in entry.items():
        is_number = key in known and known[key].type is int
        if is_number and type(given) is not int:
            raise OptionsError(f"{where}: {key}: expected a whole number, found {shown(given)}")
        if not is_number and not isinstance(given, str):
            raise OptionsError(f"{where}: {key}: expected a text, found {shown(given)}; put it in quotes")
    for key in ("name", "source"):
        if not entry.get(key):
            raise OptionsError(f"{where}: expected '{key}', found {shown_names(entry) or 'nothing'}")
    if not NAME.fullmatch(entry["name"]):
        raise OptionsError(f"{where}: name: expected letters, digits, '.', '_' and '-', found {shown(entry['name'])}")
    values = {key: given for key, given in entry.items() if key in known}
    for key, given in values.items():
        if known[key].metadata.get("location") == "read":
            values[key] = _placed(given, folder)
    try:
        choice = SourceChoice(**values)
    except OptionsError as error:
        raise OptionsError(f"{where}: {error}") from error
    if choice.source_format == SOURCE_LIST or is_source_list(existing_path(choice.source, what="source")):
        raise OptionsError(f"{where}: expected a source, found a list of sources; put its entries here")
    return ListedSource(entry["name"], choice, _placed(entry.get("snapshot", ""), folder))


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
