"""The two forms of DeepStream's configuration files, key file and YAML, read into groups of entries with their lines.

Knows the syntax alone: which groups and keys there are, the tables say (`nvinfer_keys`, `app_keys`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.limits import limits
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath, input_path
from traffic_yolo.storage.yaml_values import YamlFault, YamlRules, yaml_documents

YAML_SUFFIXES = (".yml", ".yaml")
_GROUP = re.compile(r"""(["']?)(?P<name>[^\s#"'][^:#"']*)\1\s*:(\s|$)""")
_OPENCV_DIRECTIVE = re.compile(r"^%YAML:", re.MULTILINE)
_KEY = re.compile(r"""\s+(["']?)(?P<name>[^\s#:"'-][^:#"']*)\1\s*:(\s|$)""")


@dataclass(frozen=True)
class Entry:
    """The value of one key, as text, and its line, 1-based; 0 where the form hides it. `nested`: a list or mapping."""

    value: str
    line: int
    nested: bool = False


@dataclass(frozen=True)
class KeyFile:
    """Group -> key -> entry, in file order; of a key that stands twice the last counts, at its own place.

    `repeated`: (group, key, the entry that was replaced). `group_lines`: where each group begins first. `loose`: what
    stands beside the groups of a YAML file, where no parser looks.
    """

    source: str
    is_yaml: bool
    groups: Mapping[str, Mapping[str, Entry]]
    group_lines: Mapping[str, int]
    repeated: tuple[tuple[str, str, Entry], ...] = ()
    loose: Mapping[str, Entry] = field(default_factory=dict)

    def values(self) -> dict[str, dict[str, str]]:
        """Group -> key -> value alone."""
        return {group: {key: entry.value for key, entry in keys.items()} for group, keys in self.groups.items()}

    def line(self, group: str, key: str = "") -> int:
        """The line of a key, of its group where the key is not there, or 0."""
        entry = self.groups.get(group, {}).get(key)
        return entry.line if entry is not None else self.group_lines.get(group, 0)


def parse_key_file(text: str, *, source: str) -> KeyFile:
    """Reads `[group]`, `key=value` and `#` comments as GLib does; a group that stands twice is one.

    Raises `ModelError` with the line number for anything else.
    """
    groups: dict[str, dict[str, Entry]] = {}
    lines: dict[str, int] = {}
    repeated = []
    group = None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r").lstrip()
        where = f"{source} line {number}"
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.rstrip().endswith("]"):
            group = line.rstrip()[1:-1]
            groups.setdefault(group, {})
            lines.setdefault(group, number)
            continue
        key, separator, value = line.partition("=")
        key = key.strip()
        if not separator or not key:
            raise ModelError(f"{where}: expected [group], key=value or a # comment, found {line!r}")
        if group is None:
            raise ModelError(f"{where}: {key} stands before any [group]")
        # At its last place: `threshold` and `pre-cluster-threshold` overwrite each other in file order
        before = groups[group].pop(key, None)
        if before is not None:
            repeated.append((group, key, before))
        groups[group][key] = Entry(value.lstrip(), number)
    return KeyFile(source, False, groups, lines, tuple(repeated))


def parse_yaml_file(text: str, *, source: str) -> KeyFile:
    """Reads the YAML form: the groups as mappings at the top, lists as text (`infer-dims: 3;416;416`).

    Of a key that stands twice the last counts, as for the parsers of DeepStream. Raises `ModelError` for what is no
    such YAML.
    """
    twice: list[tuple[str, int]] = []
    rules = YamlRules(limits(), dates=False, on_repeated=lambda key, line: twice.append((str(key), line)))
    # OpenCV's writers begin with a directive that is none of YAML's, and that yaml-cpp passes over
    text = _OPENCV_DIRECTIVE.sub("#", text, count=1)
    try:
        documents = yaml_documents(text, rules)
    except YamlFault as fault:
        line = f" line {fault.line}" if fault.line else ""
        reason = "not YAML: " if fault.kind == "syntax" else ""
        raise ModelError(f"{source}{line}: {reason}{fault.message}") from fault
    content = documents[0] if documents else None
    if not isinstance(content, dict):
        raise ModelError(f"{source}: expected a mapping, as in `property:` with `key: value` lines below it")
    places = _yaml_places(text)
    groups: dict[str, dict[str, Entry]] = {}
    loose: dict[str, Entry] = {}
    for name, values in content.items():
        group = str(name)
        if isinstance(values, dict) or values is None:
            groups[group] = {str(key): _entry(value, places, group, str(key)) for key, value in (values or {}).items()}
        else:
            loose[group] = Entry(_text(values), _last(places, group, ""))
    lines = {group: _first(places, group, "") for group in groups}
    repeated = []
    for key, number in twice:
        for place in places:
            if place.key == key and place.line < number and place.group == _group_at(places, number):
                repeated.append((place.group, key, Entry(place.text, place.line)))
    return KeyFile(source, True, groups, lines, tuple(repeated), loose)


def read_key_file(path: AnyPath, *, what: str) -> KeyFile:
    """The file at `path`, in the form that its suffix says; `ModelError` where it cannot be read."""
    path = input_path(path, what=what)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {what} cannot be read: {error}") from error
    parse = parse_yaml_file if path.suffix in YAML_SUFFIXES else parse_key_file
    return parse(text, source=str(path))


@dataclass(frozen=True)
class _Place:
    """A line of the block form: `key` "" for the group's own; `text`: what stands behind the colon."""

    group: str
    key: str
    line: int
    text: str


def _yaml_places(text: str) -> list[_Place]:
    found = []
    group = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _GROUP.match(line):
            group = match["name"].rstrip()
            found.append(_Place(group, "", number, ""))
        elif match := _KEY.match(line):
            value = line[match.end() :].partition(" #")[0].strip()
            found.append(_Place(group, match["name"].rstrip(), number, value))
    return found


def _lines_of(places: list[_Place], group: str, key: str) -> list[int]:
    return [place.line for place in places if (place.group, place.key) == (group, key)]


def _first(places: list[_Place], group: str, key: str) -> int:
    return next(iter(_lines_of(places, group, key)), 0)


def _last(places: list[_Place], group: str, key: str) -> int:
    return next(reversed(_lines_of(places, group, key)), 0)


def _group_at(places: list[_Place], line: int) -> str:
    return next((place.group for place in reversed(places) if place.line <= line), "")


def _entry(value: Any, places: list[_Place], group: str, key: str) -> Entry:
    return Entry(_text(value), _last(places, group, key), isinstance(value, list | dict))


def _text(value: Any) -> str:
    """A value as the key-file form spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return shown(value)
    return "" if value is None else str(value)
