"""Hands the parameters of a pipeline's form to its tasks by name, so that no pipeline lists options."""

from collections.abc import Mapping
from typing import Any

from traffic_yolo.options import SETTINGS
from traffic_yolo_pipelines.signatures import settings_name


def form_parameters(component: Any, form: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `component` that the pipeline has in its form under the same name.

    `form` is the pipeline function's `locals()` before anything else is assigned. The component's `settings` are the
    form's `<step>_settings`; what the form does not show keeps the component's default.
    """
    step = component.python_func.__name__
    named = {name: name for name in component.component_spec.inputs} | {SETTINGS: settings_name(step)}
    return {
        name: form[shown] for name, shown in named.items() if name in component.component_spec.inputs and shown in form
    }
