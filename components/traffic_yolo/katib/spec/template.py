"""Trial templates: filling placeholders, finding the pod and its primary container.

From controller.v1beta1/experiment/manifest/generator.go and webhook/v1beta1/pod/utils.go.
"""

import json
from collections.abc import Mapping
from typing import Any

from traffic_yolo.cluster.access import at, mapping_at, mappings_at, text_at
from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.spec.constants import INDEXED_META_KEYS, META_INDEX, META_REFERENCE, placeholder

TEST_VALUE = "test-value"  # what Katib's webhook fills in to look at the template
# Where the pod lies in the kinds that the checker and the runner look into
POD_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "Job": ("spec", "template"),
    "Deployment": ("spec", "template"),
}


def template_text(trial_spec: Mapping[str, Any]) -> str:
    """The template as the JSON text in which Katib replaces placeholders."""
    return json.dumps(trial_spec, ensure_ascii=False)


def fill(trial_spec: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The template with each trial parameter's placeholder replaced by its text, wherever it stands.

    Katib replaces in the JSON text without escaping, so a quote or a backslash in a value breaks the template: that is
    refused with `OptionsError`, as Katib fails to create the trial.
    """
    text = template_text(trial_spec)
    for name, value in values.items():
        text = text.replace(placeholder(name), value)
    try:
        filled: dict[str, Any] = json.loads(text)
    except ValueError as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise OptionsError(f"trial template is no JSON any more with {shown}: {error}; Katib cannot fill it") from error
    return filled


def trial_values(
    template: Mapping[str, Any], assignments: Mapping[str, str], *, name: str, namespace: str
) -> dict[str, str]:
    """Trial parameter -> text, of the suggested `assignments` and of the trial's own name, namespace, kind, labels.

    Raises `OptionsError` where Katib's controller could not make the trial: a reference to nothing, or an assignment
    that no trial parameter takes.
    """
    trial_spec = mapping_at(template, "trialSpec")
    values: dict[str, str] = {}
    taken = 0
    for _, parameter in mappings_at(template, "trialParameters"):
        reference, own = text_at(parameter, "reference"), text_at(parameter, "name")
        meta = META_REFERENCE.search(reference)
        if meta is None:
            if reference not in assignments:
                raise OptionsError(f"trial parameter {own!r}: no parameter {reference!r} was suggested")
            values[own] = assignments[reference]
            taken += 1
        else:
            values[own] = meta_value(trial_spec, meta[1], name=name, namespace=namespace)
    if taken != len(assignments):
        raise OptionsError(f"{len(assignments)} parameters, but {taken} trial parameters take one: each must be taken")
    return values


def meta_value(trial_spec: Mapping[str, Any], key: str, *, name: str, namespace: str) -> str:
    """The value of `${trialSpec.<key>}`; `OptionsError` for an unknown key, or a label that the template lacks."""
    index = META_INDEX.fullmatch(key)
    if index is not None and index[1] in INDEXED_META_KEYS:
        value = at(trial_spec, "metadata", index[1].lower(), index[2])
        if isinstance(value, str):
            return value
        raise OptionsError(f"trialSpec.{key}: the template has no such {index[1].lower()[:-1]}")
    known = {
        "Name": name,
        "Namespace": namespace,
        "Kind": text_at(trial_spec, "kind"),
        "APIVersion": text_at(trial_spec, "apiVersion"),
    }
    if key not in known:
        raise OptionsError(f"trialSpec.{key}: expected one of {', '.join(known)}, Labels[x], Annotations[x]")
    return known[key]


def pod_path(trial_spec: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The keys that lead to the pod template, or None for a kind that we do not look into."""
    return POD_PATHS.get(text_at(trial_spec, "kind"))


def containers(trial_spec: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(path below the template, container) of the pod's containers; empty for a kind that we do not look into."""
    path = pod_path(trial_spec)
    if path is None:
        return []
    found = mappings_at(trial_spec, *path, "spec", "containers")
    return [(".".join((*path, "spec", f"containers[{index}]")), container) for index, container in found]
