"""Rules that ask others: the API models of Katib, key by key, and Kubernetes' schemas for the trial's own object."""

import re
import types
import typing
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from jsonschema.validators import Draft202012Validator
from kubeflow_katib_api.models import (
    IoK8sApimachineryPkgApiResourceQuantity,
    IoK8sApimachineryPkgUtilIntstrIntOrString,
    V1beta1Experiment,
)
from kubernetes_validate import utils as schemas
from pydantic import BaseModel, ValidationError
from referencing import Registry, Resource

from traffic_yolo.cluster.access import mapping_at, text_at
from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.check.rules_search import nearest
from traffic_yolo.katib.check.rules_template import trial_parameters
from traffic_yolo.katib.spec.document import child
from traffic_yolo.katib.spec.template import TEST_VALUE, containers, fill

TRIAL_SPEC = "spec.trialTemplate.trialSpec"
QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")


@rule("unknown-key", "error", "nobody")
def unknown_key(subject: Subject) -> Iterator[Violation]:
    """Katib's API has every key: an API server drops or keeps unknown ones without a word, and Katib ignores them."""
    try:
        experiment = V1beta1Experiment.model_validate(subject.document)
    except ValidationError:
        experiment = None  # `wrong-type` says why; the keys can be compared all the same
    after = experiment.model_dump(by_alias=True, exclude_none=True, mode="json") if experiment else None
    yield from _lost_keys(subject.document, after, V1beta1Experiment, "")


@rule("wrong-type", "error", "later")
def wrong_type(subject: Subject) -> Iterator[Violation]:
    """Every value has the type that Katib's API gives it: numbers of parameters are texts, counts are not."""
    try:
        V1beta1Experiment.model_validate(subject.document)
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_context=False):
            if _is_of_either_type(entry["loc"], entry["input"]):
                continue
            path = _path(entry["loc"])
            found = shown(entry["input"])
            either = _EITHER.get(_model_at(entry["loc"]))
            if either is not None:
                yield Violation(path, "neither a number nor a text that fits", either, found, "correct it")
                continue
            kind = entry["type"].removesuffix("_type").removesuffix("_parsing")
            yield Violation(path, entry["msg"], _KINDS.get(kind, kind), found, _fix(kind, entry["input"]))


@rule("trial-schema", "error", "admission")
def trial_schema(subject: Subject) -> Iterator[Violation]:
    """Kubernetes knows every field of the trial's object (its kind must be one of Kubernetes' own)."""
    for path, message, value in _schema_errors(subject):
        if not _filled_in(value):
            yield Violation(path, message, f"Kubernetes {subject.kubernetes}", shown(value), "correct the field")


@rule("placeholder-number", "error", "admission")
def placeholder_number(subject: Subject) -> Iterator[Violation]:
    """No placeholder stands where Kubernetes wants a number, a truth or a quantity: Katib fills in texts only."""
    for path, message, value in _schema_errors(subject):
        if _filled_in(value):
            yield Violation(
                path, f"a placeholder cannot stand here: {message}", "a fixed value", "a placeholder", "fix it"
            )
    yield from (problem for problem in _quantities(subject) if problem.found == "a placeholder")


@rule("quantity", "error", "admission")
def quantity(subject: Subject) -> Iterator[Violation]:
    """Requests and limits are quantities of Kubernetes."""
    yield from (problem for problem in _quantities(subject) if problem.found != "a placeholder")


@rule("trial-kind-unseen", "info", "nobody")
def trial_kind_unseen(subject: Subject) -> Iterator[Violation]:
    """An object that is none of Kubernetes' own is not looked into, and must be in KatibConfig's trialResources."""
    trial = mapping_at(subject.template, "trialSpec")
    kind, version = text_at(trial, "kind"), text_at(trial, "apiVersion")
    if kind and version and _schema(kind, version, subject.kubernetes) is None:
        message = f"{shown(kind)} is not checked; KatibConfig must list it under trialResources"
        yield Violation(f"{TRIAL_SPEC}.kind", message, "a kind of Kubernetes", "not visible from here", "")


def _is_of_either_type(location: tuple[int | str, ...], value: Any) -> bool:
    """Whether a value is one of those that Kubernetes writes as a number or as a text, and the models as neither.

    A port (IntOrString) is a whole number or a text, a quantity a number or a text that reads as one.
    """
    model = _model_at(location)
    if model not in _EITHER or isinstance(value, bool):
        return False
    if value is None or model is IoK8sApimachineryPkgUtilIntstrIntOrString:
        return value is None or isinstance(value, int | str)
    return isinstance(value, int | float | str) and QUANTITY.fullmatch(str(value)) is not None


def _model_at(location: tuple[int | str, ...]) -> Any:
    """The model that the API has at a place of a document, None where it has a plain value."""
    annotation: Any = V1beta1Experiment
    for part in location:
        if isinstance(part, str) and part.startswith("constrained-"):
            continue
        inner = _plain(annotation)
        if isinstance(part, int) or typing.get_origin(inner) is dict:
            arguments = typing.get_args(inner)
            annotation = arguments[-1] if arguments else None
        else:
            fields = getattr(inner, "model_fields", {})
            annotation = next((f.annotation for name, f in fields.items() if part in (name, f.alias)), None)
    return _plain(annotation)


def _plain(annotation: Any) -> Any:
    """An annotation without None and without constraints."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _plain(next(part for part in typing.get_args(annotation) if part is not type(None)))
    return _plain(typing.get_args(annotation)[0]) if typing.get_origin(annotation) is typing.Annotated else annotation


_EITHER = {
    IoK8sApimachineryPkgUtilIntstrIntOrString: "a whole number, or a text",
    IoK8sApimachineryPkgApiResourceQuantity: "2, 500m or 8Gi, say",
}
_KINDS = {"string": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list"}


def _fix(kind: str, found: Any) -> str:
    if kind == "string" and isinstance(found, int | float):
        return f'put it in quotes: "{str(found).lower() if isinstance(found, bool) else found}"'
    if kind in ("int", "float", "bool") and isinstance(found, str):
        return "write it without quotes"
    return "correct it"


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        if isinstance(part, str) and part.startswith("constrained-"):
            continue  # pydantic names the branch of a union that it tried
        path = child(path, part)
    return path


def _lost_keys(before: Any, after: Any, model: type[BaseModel] | None, path: str) -> Iterator[Violation]:
    """Keys that the round trip through the models loses; `after` None: not known, so the models' own names decide."""
    if isinstance(before, list):
        for index, item in enumerate(before):
            later = after[index] if isinstance(after, list) and index < len(after) else None
            yield from _lost_keys(item, later, model, child(path, index))
        return
    if not isinstance(before, dict) or (model is None and after is None):
        return
    known = _fields(model) if model is not None else {}
    for key, value in before.items():
        where = child(path, key)
        if value is None:
            continue
        gone = isinstance(after, dict) and key not in after
        if (model is not None and key not in known) or gone:
            near = nearest(key, known)
            fix = f"write {near}" if near else "remove it"
            yield Violation(where, "Katib's API does not know it", near or "another key", shown(key), fix)
        elif key in known:
            later = after.get(key) if isinstance(after, dict) else None
            yield from _lost_keys(value, later, known[key], where)


@cache
def _fields(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """The keys of a model as they are written, with the model that a key's value has, if any."""
    return {field.alias or name: _model_in(field.annotation) for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    if typing.get_origin(annotation) is dict:
        return None
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part)) is not None), None)


def _schema_errors(subject: Subject) -> list[tuple[str, str, Any]]:
    """(path, message, value) of everything that Kubernetes' strict schema refuses in the filled template."""
    trial = mapping_at(subject.template, "trialSpec")
    validator = _schema(text_at(trial, "kind"), text_at(trial, "apiVersion"), subject.kubernetes)
    if validator is None:
        return []
    names = {name: TEST_VALUE for _, name, _ in trial_parameters(subject) if name}
    try:
        filled = fill(trial, names)
    except OptionsError:
        return []
    found = []
    for error in sorted(validator.iter_errors(filled), key=lambda error: (len(error.absolute_path), str(error.path))):
        path = TRIAL_SPEC
        for part in error.absolute_path:
            path = child(path, part)
        found.append((path, _shortened(error.message), error.instance))
    return found


def _shortened(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:100]} … {message[-90:]}"


def _filled_in(value: Any) -> bool:
    return isinstance(value, str) and TEST_VALUE in value


@lru_cache(maxsize=32)
def _schema(kind: str, version: str, kubernetes: str) -> Any | None:
    """Kubernetes' strict schema of a kind, None where it has none of that name."""
    if not re.fullmatch(r"[A-Za-z]+", kind) or not re.fullmatch(r"[a-z0-9./]+", version):
        return None
    folder = f"kubernetes-json-schema/v{_newest_schemas(kubernetes)}-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    try:
        schema = schemas.schema_contents(f"{folder}/{kind.lower()}-{group}.json", kubernetes)
        definitions = schemas.schema_contents(f"{folder}/_definitions.json", kubernetes)
    except FileNotFoundError:
        return None
    registry = Resource.from_contents(definitions) @ (Resource.from_contents(schema) @ Registry())
    return Draft202012Validator(schema, registry=registry)


def _newest_schemas(kubernetes: str) -> str:
    """The newest release of schemas that is not newer than a version; `OptionsError` where there is none."""
    known = schemas.all_versions()
    number = re.fullmatch(r"v?(\d+)\.(\d+)(\..*)?", kubernetes)
    fitting = [v for v in known if number and _major_minor(v) <= (int(number[1]), int(number[2]))]
    if not fitting:
        shortened = [".".join(v.split(".")[:2]) for v in (known[0], known[-1])]
        raise OptionsError(f"Kubernetes version {kubernetes!r}: expected {shortened[0]} to {shortened[1]} or later")
    return str(fitting[-1])


def _major_minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def _quantities(subject: Subject) -> Iterator[Violation]:
    for path, container in containers(mapping_at(subject.template, "trialSpec")):
        for part in ("requests", "limits"):
            for name, amount in mapping_at(container, "resources", part).items():
                where = f"{TRIAL_SPEC}.{path}.resources.{part}.{name}"
                if isinstance(amount, str) and "${trialParameters." in amount:
                    yield Violation(
                        where, "Katib looks at it with a text in its place", "2, 500m or 8Gi", "a placeholder", "fix it"
                    )
                elif not QUANTITY.fullmatch(str(amount)) or isinstance(amount, bool):
                    yield Violation(where, "no quantity", "2, 500m or 8Gi, say", shown(amount), "correct it")
