"""Reads YAML as an API server would see it: JSON values only, no key twice, no cycles."""

import math
from dataclasses import dataclass
from typing import Any

import yaml

from traffic_yolo.errors import StorageError
from traffic_yolo.storage import AnyPath, input_path

MAX_VALUES = 100_000  # an API server takes 1.5 MiB; aliases can write far more than that in a few lines
MAX_DEPTH = 100


@dataclass(frozen=True)
class YamlProblem:
    """What keeps a text from being one Kubernetes object. `path` is "" for the file as a whole."""

    rule: str
    path: str
    message: str
    fix: str


class _Loader(yaml.SafeLoader):
    """SafeLoader that remembers repeated keys and leaves dates as text, as Kubernetes does."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.repeated: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    self.repeated.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        documents = []
        while loader.check_data():  # type: ignore[no-untyped-call]
            documents.append(loader.get_data())
    except yaml.YAMLError as error:
        return None, [YamlProblem("yaml", "", f"not YAML: {_one_line(error)}", "mend the syntax")]
    except RecursionError:
        return None, [YamlProblem("yaml", "", "nested too deeply", f"use at most {MAX_DEPTH} levels")]
    except (ValueError, TypeError, OverflowError, AttributeError, LookupError, ArithmeticError) as error:
        # PyYAML lets Python's own complaint through for values such as 0b, !!int x, or a list as a key
        return None, [YamlProblem("yaml", "", f"not YAML: {_one_line(error)}", "mend the value")]
    finally:
        if loader is not None:
            loader.dispose()
    return _only_object([document for document in documents if document is not None], loader.repeated)


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
        YamlProblem("repeated-key", "", f"line {line}: the key {key!r} stands there twice", "remove one")
        for key, line in repeated
    ]
    wrong = _not_json(documents[0], "", 0, [MAX_VALUES], set())
    if wrong is not None:
        return None, [*problems, wrong]
    return documents[0], problems


def _not_json(value: Any, path: str, depth: int, left: list[int], above: set[int]) -> YamlProblem | None:
    """The first thing that JSON cannot say; `left` counts values down, `above` holds what we are inside of."""
    left[0] -= 1
    if left[0] < 0:
        return YamlProblem("too-large", "", f"more than {MAX_VALUES} values", "use fewer aliases")
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            return YamlProblem("too-large", "", f"nested more than {MAX_DEPTH} levels deep", "flatten it")
        if id(value) in above:
            return YamlProblem("json-value", path, "an alias that contains itself", "write the value out")
        inside = above | {id(value)}
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict) and not isinstance(key, str):
                return YamlProblem("json-value", path, f"the key {_short(key)} is no text", "put it in quotes")
            found = _not_json(item, child(path, key), depth + 1, left, inside)
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
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1} column {mark.column + 1}: {error.problem or error.context}"
    return " ".join(str(error).split()) or type(error).__name__
