"""The two forms of DeepStream's configuration files, key file and YAML, read into groups of entries with their lines.

Knows the syntax alone: which groups and keys there are, the tables say (`nvinfer_keys`, `app_keys`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath, input_path, parse_yaml

YAML_SUFFIXES = (".yml", ".yaml")
_GROUP = re.compile(r"""(["']?)(?P<name>[^\s#"'][^:#"']*)\1\s*:(\s|$)""")
_KEY = re.compile(r"""\s+(["']?)(?P<name>[^\s#:"'-][^:#"']*)\1\s*:(\s|$)""")


@dataclass(frozen=True)
class Entry:
    """The value of one key, as text, and its line, 1-based; 0 where the form hides it."""

    value: str
    line: int


@dataclass(frozen=True)
class KeyFile:
    """Group -> key -> entry, in file order; of a key that stands twice the last counts, at its own place.

    `repeated`: (group, key, the entry that was replaced). `group_lines`: where each group begins first.
    """

    source: str
    is_yaml: bool
    groups: Mapping[str, Mapping[str, Entry]]
    group_lines: Mapping[str, int]
    repeated: tuple[tuple[str, str, Entry], ...] = ()

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

    A key must not stand twice. Raises `ModelError` for what is no such YAML.
    """
    content = parse_yaml(text, where=source, error=ModelError)
    lines = _yaml_lines(text)
    groups: dict[str, dict[str, Entry]] = {}
    for group, values in _mapping(content, where=source).items():
        where = f"{source}: {group}"
        keys = _mapping({} if values is None else values, where)
        groups[group] = {
            key: Entry(_yaml_text(value, f"{where} {key}"), lines.get((group, key), 0)) for key, value in keys.items()
        }
    return KeyFile(source, True, groups, {group: lines.get((group, ""), 0) for group in groups})


def read_key_file(path: AnyPath, *, what: str) -> KeyFile:
    """The file at `path`, in the form that its suffix says; `ModelError` where it cannot be read."""
    path = input_path(path, what=what)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {what} cannot be read: {error}") from error
    parse = parse_yaml_file if path.suffix in YAML_SUFFIXES else parse_key_file
    return parse(text, source=str(path))


def _yaml_lines(text: str) -> dict[tuple[str, str], int]:
    """(group, key) -> line of the block form; (group, "") -> the group's own."""
    found: dict[tuple[str, str], int] = {}
    group = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _GROUP.match(line):
            group = match["name"].rstrip()
            found.setdefault((group, ""), number)
        elif match := _KEY.match(line):
            found.setdefault((group, match["name"].rstrip()), number)
    return found


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{where}: expected a mapping, as in `property:` with `key: value` lines below it")
    return {str(key): each for key, each in value.items()}


def _yaml_text(value: Any, where: str) -> str:
    """A value as the key-file form spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, int | float | str):
        return "" if value is None else str(value)
    raise ModelError(f"{where}: expected one value (numbers of a list: 3;4;5)")
