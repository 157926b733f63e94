"""Lint rules for keys and values, whatever they mean: against the tables of the parser that reads the file."""

import difflib
from collections.abc import Iterator

from traffic_yolo.deepstream.config.app_keys import APP_GROUPS, YAML_SOURCE_KEYS, AppGroup, app_group_of
from traffic_yolo.deepstream.config.findings import ConfigFinding, ConfigSubject
from traffic_yolo.deepstream.config.nvinfer_keys import (
    ALL_CLASSES,
    CLASS_ATTRIBUTES,
    CLASS_KEYS,
    PROPERTY,
    PROPERTY_KEYS,
    TEXT_ONLY_KEYS,
    Key,
)
from traffic_yolo.errors import ModelError

ALIKE = 0.8  # of difflib's ratio, from which on another key is meant
# Names that the .txt parser still takes, and what it takes them for
OLDER_NAMES = {
    "threshold": "pre-cluster-threshold", "input-dims": "infer-dims: 3;height;width",
    "uff-input-dims": "infer-dims: 3;height;width", "enable-dbscan": "cluster-mode: 1",
    "is-classifier": "network-type: 1",
}  # fmt: skip
READER = {"nvinfer": "nvinfer", "deepstream-app": "deepstream-app"}


def known_keys(subject: ConfigSubject, group: str) -> dict[str, Key] | None:
    """The keys that the parser of this file knows in `group`; None for a group that it does not know."""
    is_yaml = subject.file.is_yaml
    if subject.kind == "nvinfer":
        if group == PROPERTY:
            keys = PROPERTY_KEYS
        elif group == ALL_CLASSES or _is_class_group(group):
            keys = CLASS_KEYS
        else:
            return None
        return {name: key for name, key in keys.items() if not (is_yaml and name in TEXT_ONLY_KEYS)}
    if is_yaml and group == "source":
        return YAML_SOURCE_KEYS
    found = app_group_of(group)
    if found is None or (is_yaml and not found.in_yaml):
        return None
    return found.known(is_yaml=is_yaml)


def groups_and_keys(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Groups and keys that the parser passes over: what they ask for does not happen."""
    for key, entry in subject.file.loose.items():
        text = f"{key} stands in no group; {READER[subject.kind]} passes over it"
        below = "property:" if subject.kind == "nvinfer" and key in PROPERTY_KEYS else f"{ALL_CLASSES}:"
        severity = "error" if subject.kind == "nvinfer" and key in {**PROPERTY_KEYS, **CLASS_KEYS} else "warning"
        advice = f"write it below {below}" if severity == "error" else "remove it"
        yield ConfigFinding("wrong-place", severity, subject.file.source, entry.line, text, advice, "", key)  # type: ignore[arg-type]
    for group, entries in subject.file.groups.items():
        known = known_keys(subject, group)
        if known is None:
            yield _unknown_group(subject, group)
            continue
        for key in entries:
            if key not in known and not key.startswith(_prefixes(subject, group)):
                yield _unknown_key(subject, group, key, known)


def values(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Values that the parser stops at, and texts that hold a comment."""
    for group, entries in subject.file.groups.items():
        known = known_keys(subject, group) or {}
        for key, entry in entries.items():
            spec = known.get(key)
            if spec is None or (spec.kind == "text" and "#" not in entry.value and not entry.nested):
                continue
            where = f"[{group}] {key}"
            if entry.nested:
                yield subject.finding(
                    "value", "error", group, key, f"{where}: expected one value, found a list or a mapping",
                    "write the numbers of a list with ; between them",
                )  # fmt: skip
                continue
            before, mark, _ = entry.value.partition("#")
            if mark and before.rstrip() != before:
                yield _comment(subject, group, key, spec, before.strip())
                continue
            if spec.kind == "text":
                continue
            if subject.file.is_yaml and entry.value in ("true", "false"):
                yield subject.finding(
                    "value", "error", group, key, f"{where} is {entry.value}, and the YAML parser wants 0 or 1",
                    f"write {key}: {int(entry.value == 'true')}",
                )  # fmt: skip
                continue
            try:
                spec.check(entry.value, where=where)
            except ModelError as error:
                reader = READER[subject.kind]
                yield subject.finding("value", "error", group, key, str(error), f"{reader} stops at this line; mend it")


def repeated(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Keys that stand twice: the last counts."""
    for group, key, before in subject.file.repeated:
        last = subject.file.groups[group][key]
        if before.value.rstrip() == last.value.rstrip():
            continue
        yield subject.finding(
            "repeated-key", "warning", group, key,
            f"[{group}] {key} is {before.value.rstrip()} on line {before.line} and {last.value.rstrip()} here, "
            f"which is the one that counts",
            "remove the other",
        )  # fmt: skip


KEY_RULES = (groups_and_keys, values, repeated)


def _is_class_group(group: str) -> bool:
    """[class-attrs-<number>]; both parsers read a number and pass over what follows it."""
    rest = group.removeprefix(CLASS_ATTRIBUTES)
    return rest != group and rest[:1].isdecimal()


def _prefixes(subject: ConfigSubject, group: str) -> tuple[str, ...]:
    found = app_group_of(group) if subject.kind == "deepstream-app" else None
    return found.prefixes if found is not None else ()


def _unknown_group(subject: ConfigSubject, group: str) -> ConfigFinding:
    names = [PROPERTY, ALL_CLASSES] if subject.kind == "nvinfer" else list(APP_GROUPS)
    reader = READER[subject.kind]
    if subject.kind == "nvinfer" and group.startswith(CLASS_ATTRIBUTES):
        return subject.finding(
            "unknown-group", "error", group, "", f"[{group}] names no class, and nvinfer stops",
            f"write [{ALL_CLASSES}] or [{CLASS_ATTRIBUTES}0], [{CLASS_ATTRIBUTES}1], ...",
        )  # fmt: skip
    if subject.kind == "deepstream-app" and subject.file.is_yaml and app_group_of(group) is not None:
        instead = "the sources stand in a CSV file: source: with csv-file-path below it"
        text = f"{group}: is a group of the .txt form alone; the YAML parser passes over it"
        return subject.finding(
            "wrong-form", "error", group, "", text, instead if group.startswith("source") else "write the .txt form"
        )
    if subject.kind == "deepstream-app" and group.startswith("source"):
        return subject.finding(
            "unknown-group", "error", group, "", f"[{group}] is not of the form [source<number>]; deepstream-app stops",
            "number the sources from [source0] on",
        )  # fmt: skip
    plain = group.lower().replace("_", "-")
    close = difflib.get_close_matches(plain.rstrip("0123456789"), names, n=1, cutoff=ALIKE)
    if close and close[0] not in subject.file.groups:
        return subject.finding(
            "unknown-group", "error", group, "", f"{reader} knows no group [{group}] and passes over it",
            f"did you mean [{close[0]}]?",
        )  # fmt: skip
    return subject.finding(
        "unknown-group", "warning", group, "", f"{reader} knows no group [{group}] and passes over it", "remove it"
    )


def _unknown_key(subject: ConfigSubject, group: str, key: str, known: dict[str, Key]) -> ConfigFinding:
    where = f"[{group}] {key}"
    reader = READER[subject.kind]
    if key in OLDER_NAMES and subject.file.is_yaml and key in _all_keys(subject, group):
        return subject.finding(
            "wrong-form", "error", group, key, f"{where} is a key of the .txt form alone, and passed over here",
            f"write {OLDER_NAMES[key]}",
        )  # fmt: skip
    if place := _other_place(subject, group, key):
        # What it asks for happens nowhere, unless the right place says it too
        return subject.finding(
            "wrong-place", "error", group, key, f"{where} is passed over: it is a key of {place}", "move it there"
        )
    plain = key.lower().replace("_", "-")
    close = difflib.get_close_matches(plain, known, n=1, cutoff=ALIKE)
    if close and not subject.has(group, close[0]):
        return subject.finding(
            "unknown-key", "error", group, key, f"{reader} knows no {where} and passes over it",
            f"did you mean {close[0]}?",
        )  # fmt: skip
    return subject.finding(
        "unknown-key", "warning", group, key, f"{reader} knows no {where} and passes over it", "remove it"
    )


def _other_place(subject: ConfigSubject, group: str, key: str) -> str:
    """Where a key belongs that is passed over here; "" where it belongs nowhere, or stands at its place as well."""
    if subject.file.is_yaml and key in _all_keys(subject, group):
        return "the .txt form alone"
    if subject.kind == "nvinfer":
        if group != PROPERTY and key in PROPERTY_KEYS:
            return "" if subject.has(PROPERTY, key) else f"[{PROPERTY}]"
        if group == PROPERTY and key in CLASS_KEYS:
            return "" if subject.has(ALL_CLASSES, key) else f"[{ALL_CLASSES}]"
        if key in ("enable", "config-file", "ll-lib-file", "gie-kitti-output-dir", "config-file-path", "plugin-type"):
            return "deepstream-app's own file"
        return ""
    if group.startswith(("primary-gie", "secondary-gie")) and key in PROPERTY_KEYS:
        return f"nvinfer's own file (what config-file names), [{PROPERTY}]"
    if group.startswith(("primary-gie", "secondary-gie")) and key in CLASS_KEYS:
        return f"nvinfer's own file (what config-file names), [{ALL_CLASSES}]"
    return ""


def _all_keys(subject: ConfigSubject, group: str) -> dict[str, Key]:
    if subject.kind == "nvinfer":
        return PROPERTY_KEYS if group == PROPERTY else CLASS_KEYS
    found: AppGroup | None = app_group_of(group)
    return {} if found is None else found.known(is_yaml=False)


def _comment(subject: ConfigSubject, group: str, key: str, spec: Key, before: str) -> ConfigFinding:
    where = f"[{group}] {key}"
    if spec.kind == "int":
        return subject.finding(
            "comment-in-value", "warning", group, key,
            f"{where} holds a comment; a whole number ends at the blank, so {before} is read; other keys do not",
            "put the comment on a line of its own",
        )  # fmt: skip
    effect = "the comment is part of the text" if spec.kind == "text" else f"{READER[subject.kind]} stops here"
    return subject.finding(
        "comment-in-value", "error", group, key, f"{where} holds a comment: a # begins one only at a line's beginning, "
        f"so {effect}", "put the comment on a line of its own",
    )  # fmt: skip
