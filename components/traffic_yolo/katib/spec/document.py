"""Reads YAML as an API server would see it: JSON values only, no key twice, no cycles."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import StorageError
from traffic_yolo.limits import limits
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath, input_path
from traffic_yolo.storage.yaml_values import YamlFault, YamlRules, yaml_documents

MAX_VALUES = 100_000  # an API server takes 1.5 MiB; aliases can write far more than that in a few lines
MAX_SHOWN = 40  # characters of a value in a finding


@dataclass(frozen=True)
class YamlProblem:
    """What keeps a text from being one Kubernetes object. `path` is "" for the file as a whole."""

    rule: str
    path: str
    message: str
    fix: str


def read_text(path: AnyPath, *, what: str = "experiment") -> str:
    """The text of a file; `StorageError` where it cannot be read as UTF-8."""
    path = input_path(path, what=what)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StorageError(f"{what} is not UTF-8 text: {path} byte {error.start}") from error
    except OSError as error:
        raise StorageError(f"{what} cannot be read: {path}: {error.strerror}") from error


def parse_object(text: str) -> tuple[dict[str, Any] | None, list[YamlProblem]]:
    """The one object in a YAML text, and every problem; None where there is no object to look at.

    Never raises, whatever the text is.
    """
    repeated: list[tuple[str, int]] = []
    bounds = dataclasses.replace(limits(), yaml_values=MAX_VALUES)
    rules = YamlRules(
        bounds, dates=False, finite=False, on_repeated=lambda key, line: repeated.append((str(key), line))
    )
    try:
        documents = yaml_documents(text, rules)
    except YamlFault as fault:
        line = f"line {fault.line}" if fault.line else ""
        place = f"{line} column {fault.column}: " if fault.column else f"{line}: " if line else ""
        if fault.kind == "size":
            passed = f"more than {getattr(bounds, fault.limit)} of {fault.limit}"
            what = {"yaml_values": f"more than {MAX_VALUES} values", "document_depth": "nested too deeply"}
            return None, [YamlProblem("too-large", "", f"{place}{what.get(fault.limit, passed)}", "make it smaller")]
        if fault.kind in ("tag", "cycle"):
            return None, [YamlProblem("json-value", "", f"{place}no JSON value: {fault.message}", "write it out")]
        return None, [YamlProblem("yaml", "", f"not YAML: {place}{fault.message}", "mend it")]
    return _only_object([document for document in documents if document is not None], repeated)


def _only_object(
    documents: list[Any], repeated: list[tuple[str, int]]
) -> tuple[dict[str, Any] | None, list[YamlProblem]]:
    if len(documents) != 1 or not isinstance(documents[0], dict):
        kinds = ", ".join(type(document).__name__ for document in documents) or "nothing"
        message = (
            f"expected one Kubernetes object, found {kinds if len(documents) < 2 else f'{len(documents)} documents'}"
        )
        return None, [YamlProblem("one-object", "", message, "give a file with one Experiment")]
    problems = [
        YamlProblem("repeated-key", "", f"line {line}: the key {shown(key)} stands there twice", "remove one")
        for key, line in repeated
    ]
    wrong = _not_json(documents[0], "")
    if wrong is not None:
        return None, [*problems, wrong]
    return documents[0], problems


def _not_json(value: Any, path: str) -> YamlProblem | None:
    """The first thing that JSON cannot say."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict) and not isinstance(key, str):
                return YamlProblem("json-value", path, f"the key {_short(key)} is no text", "put it in quotes")
            found = _not_json(item, child(path, key))
            if found is not None:
                return found
        return None
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return None
    return YamlProblem("json-value", path, f"{_short(value)} is no JSON value", "put it in quotes")


def child(path: str, key: str | int) -> str:
    """The path of an entry: `spec.parameters[2].name`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _short(value: Any) -> str:
    return shown(value, most=MAX_SHOWN)
