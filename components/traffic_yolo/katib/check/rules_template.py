"""Rules about the trial template: its parameters, placeholders, and the object that it makes."""

import re
from collections.abc import Iterator

from traffic_yolo.cluster.access import at, list_at, mapping_at, mappings_at, text_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.check.rules_search import nearest
from traffic_yolo.katib.spec.constants import (
    INDEXED_META_KEYS,
    META_INDEX,
    META_KEYS,
    META_REFERENCE,
    PLACEHOLDER,
    placeholder,
)
from traffic_yolo.katib.spec.template import template_text

TEMPLATE = "spec.trialTemplate"


@rule("template-missing", "error", "admission")
def template_missing(subject: Subject) -> Iterator[Violation]:
    """There is a trialTemplate."""
    if subject.spec and not isinstance(at(subject.spec, "trialTemplate"), dict):
        yield Violation(TEMPLATE, "nothing to run", "a trialTemplate", "nothing", "write it")


@rule("primary-container", "error", "admission")
def primary_container(subject: Subject) -> Iterator[Violation]:
    """The template says which container is the trial's own."""
    if _given(subject) and not text_at(subject.template, "primaryContainerName"):
        found = shown(subject.template.get("primaryContainerName"))
        yield Violation(f"{TEMPLATE}.primaryContainerName", "no name", "a container's name", found, "write it")


@rule("conditions", "error", "admission")
def conditions(subject: Subject) -> Iterator[Violation]:
    """A kind that Katib has no default for has successCondition and failureCondition."""
    for key in ("successCondition", "failureCondition"):
        if _given(subject) and not text_at(subject.template, key):
            kind = text_at(subject.template, "trialSpec", "kind") or "this kind"
            expected = "an expression over the object's status"
            yield Violation(f"{TEMPLATE}.{key}", f"Katib has no default for {kind}", expected, "nothing", "write it")


@rule("trial-parameters-missing", "error", "admission")
def trial_parameters_missing(subject: Subject) -> Iterator[Violation]:
    """The template has trialParameters."""
    if _given(subject) and not isinstance(at(subject.template, "trialParameters"), list):
        yield Violation(f"{TEMPLATE}.trialParameters", "missing", "a list", "nothing", "name what the trial takes")


@rule("template-source-missing", "error", "admission")
def template_source_missing(subject: Subject) -> Iterator[Violation]:
    """The template has a trialSpec or a configMap."""
    if _given(subject) and not any(isinstance(at(subject.template, key), dict) for key in ("trialSpec", "configMap")):
        yield Violation(TEMPLATE, "nothing to make", "trialSpec or configMap", "neither", "write one")


@rule("template-source-both", "error", "admission")
def template_source_both(subject: Subject) -> Iterator[Violation]:
    """The template has a trialSpec or a configMap, not both."""
    if all(isinstance(at(subject.template, key), dict) for key in ("trialSpec", "configMap")):
        yield Violation(f"{TEMPLATE}.configMap", "two templates", "trialSpec or configMap", "both", "remove one")


@rule("config-map", "error", "admission")
def config_map(subject: Subject) -> Iterator[Violation]:
    """A configMap has name, namespace and path."""
    if isinstance(at(subject.template, "configMap"), dict):
        for key in ("configMapName", "configMapNamespace", "templatePath"):
            if not text_at(subject.template, "configMap", key):
                yield Violation(f"{TEMPLATE}.configMap.{key}", f"{key} is missing", "a text", "nothing", "write it")


@rule("config-map-unseen", "info", "nobody")
def config_map_unseen(subject: Subject) -> Iterator[Violation]:
    """A template in a configMap is in the cluster, and is not looked at here."""
    if mapping_at(subject.template, "configMap"):
        name = shown(text_at(subject.template, "configMap", "configMapName"))
        fix = "check the experiment with trialSpec in its place"
        yield Violation(f"{TEMPLATE}.configMap", f"{name} is not checked", "", "not visible from here", fix)


@rule("trial-parameter-fields", "error", "admission")
def trial_parameter_fields(subject: Subject) -> Iterator[Violation]:
    """Every trial parameter has name and reference, and no brace in its name."""
    for path, name, reference in trial_parameters(subject):
        if not name or "{" in name or "}" in name:
            yield Violation(
                f"{path}.name", "no name for a placeholder", "a text without { and }", shown(name), "name it"
            )
        if not reference:
            yield Violation(f"{path}.reference", "refers to nothing", "a parameter's name", "nothing", "write it")


@rule("trial-parameter-repeated", "error", "admission")
def trial_parameter_repeated(subject: Subject) -> Iterator[Violation]:
    """No two trial parameters have one name or one reference."""
    for position, key in ((1, "name"), (2, "reference")):
        seen: set[str] = set()
        for entry in trial_parameters(subject):
            value = entry[position]
            if value and value in seen:
                yield Violation(f"{entry[0]}.{key}", "stands there twice", f"another {key}", shown(value), "remove one")
            seen.add(value)


@rule("trial-parameter-reference", "error", "admission")
def trial_parameter_reference(subject: Subject) -> Iterator[Violation]:
    """A reference is a parameter, or ${trialSpec.Name} and its like."""
    known = [name for name in _parameter_names(subject) if name]
    for path, _, reference in trial_parameters(subject):
        if known and reference and not is_meta_key(reference) and reference not in known:
            near = nearest(reference, known)
            fix = f"write {near}" if near else "name a parameter"
            yield Violation(f"{path}.reference", "no such parameter", ", ".join(known), shown(reference), fix)


@rule("meta-reference", "error", "later")
def meta_reference(subject: Subject) -> Iterator[Violation]:
    """A reference to the template's own labels or annotations finds them there, with an index in brackets."""
    for path, _, reference in trial_parameters(subject):
        meta = META_REFERENCE.search(reference)
        index = META_INDEX.fullmatch(meta[1]) if meta is not None else None
        if meta is None:
            continue
        if index is not None and index[1] in INDEXED_META_KEYS:
            if not isinstance(at(subject.template, "trialSpec", "metadata", index[1].lower(), index[2]), str):
                expected = f"metadata.{index[1].lower()} with it"
                yield Violation(f"{path}.reference", "not in the template", expected, shown(reference), "add it there")
        elif meta[1] in INDEXED_META_KEYS or (index is not None and index[1] in META_KEYS):
            expected = "Name, Namespace, Kind, APIVersion, Labels[x], Annotations[x]"
            yield Violation(f"{path}.reference", "Katib cannot resolve it", expected, shown(reference), "correct it")


@rule("parameter-unused", "error", "later")
def parameter_unused(subject: Subject) -> Iterator[Violation]:
    """Every parameter is taken by a trial parameter: otherwise Katib's controller makes no trial."""
    references = [reference for _, _, reference in trial_parameters(subject)]
    for index, name in enumerate(_parameter_names(subject)):
        if name and _given(subject) and name not in references:
            path = f"spec.parameters[{index}].name"
            yield Violation(path, "no trial parameter takes it", "a trialParameters entry", shown(name), "add one")


@rule("placeholder-missing", "error", "admission")
def placeholder_missing(subject: Subject) -> Iterator[Violation]:
    """Every trial parameter has its placeholder in the template."""
    if not mapping_at(subject.template, "trialSpec"):
        return
    text = template_text(subject.template["trialSpec"])
    for path, name, _ in trial_parameters(subject):
        if name and placeholder(name) not in text:
            yield Violation(
                f"{path}.name", "the template does not use it", placeholder(name), "nothing", "use or remove it"
            )


@rule("placeholder-undeclared", "error", "admission")
def placeholder_undeclared(subject: Subject) -> Iterator[Violation]:
    """Every placeholder in the template is a trial parameter."""
    if not mapping_at(subject.template, "trialSpec"):
        return
    names = [name for _, name, _ in trial_parameters(subject) if name]
    known = {placeholder(name) for name in names}
    for found in sorted(set(PLACEHOLDER.findall(template_text(subject.template["trialSpec"]))) - known):
        near = nearest(found[len("${trialParameters.") : -1], names)
        fix = f"write {placeholder(near)}" if near else "add it to trialParameters"
        yield Violation(f"{TEMPLATE}.trialSpec", "no such trial parameter", ", ".join(names), shown(found), fix)


@rule("placeholder-misspelt", "warning", "nobody")
def placeholder_misspelt(subject: Subject) -> Iterator[Violation]:
    """Nothing in the template only looks like a placeholder."""
    text = template_text(mapping_at(subject.template, "trialSpec"))
    for found in sorted(set(re.findall(r"\$[({]\s*[tT]rial[-_ ]?[pP]aram[A-Za-z]*[.:][^)}\s\"]*[)}]", text))):
        if not PLACEHOLDER.fullmatch(found):
            path = f"{TEMPLATE}.trialSpec"
            yield Violation(path, "Katib will not replace it", "${trialParameters.NAME}", shown(found), "correct it")


@rule("template-name", "error", "admission")
def template_name(subject: Subject) -> Iterator[Violation]:
    """The template has no name and no namespace: Katib sets both."""
    for key in ("name", "namespace"):
        if at(subject.template, "trialSpec", "metadata", key):
            path = f"{TEMPLATE}.trialSpec.metadata.{key}"
            found = shown(at(subject.template, "trialSpec", "metadata", key))
            yield Violation(path, "Katib sets it", "nothing", found, "remove it")


@rule("template-kind", "error", "admission")
def template_kind(subject: Subject) -> Iterator[Violation]:
    """The template has apiVersion and kind."""
    for key in ("apiVersion", "kind"):
        if mapping_at(subject.template, "trialSpec") and not text_at(subject.template, "trialSpec", key):
            path = f"{TEMPLATE}.trialSpec.{key}"
            yield Violation(path, f"{key} is missing", "batch/v1 and Job, say", "nothing", "write it")


@rule("retain", "info", "nobody")
def retain(subject: Subject) -> Iterator[Violation]:
    """Retain keeps a finished trial's pods, and with them the log of a failed one."""
    if _given(subject) and at(subject.template, "retain") is not True:
        yield Violation(
            f"{TEMPLATE}.retain", "logs go with the pods", "true", "false", "write retain: true to keep them"
        )


def trial_parameters(subject: Subject) -> list[tuple[str, str, str]]:
    """(path, name, reference) of each trial parameter."""
    found = mappings_at(subject.template, "trialParameters")
    return [
        (f"{TEMPLATE}.trialParameters[{index}]", text_at(entry, "name"), text_at(entry, "reference"))
        for index, entry in found
    ]


def is_meta_key(reference: str) -> bool:
    """Whether Katib takes a reference for one to the trial's own metadata, validator.go."""
    match = META_REFERENCE.search(reference)
    if match is None:
        return False
    index = META_INDEX.search(match[1])
    return match[1] in META_KEYS or (index is not None and index[1] in META_KEYS)


def _given(subject: Subject) -> bool:
    return isinstance(at(subject.spec, "trialTemplate"), dict)


def _parameter_names(subject: Subject) -> list[str]:
    return [text_at(entry, "name") for entry in list_at(subject.spec, "parameters")]
