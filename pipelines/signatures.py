"""Writes the parameters that KFP wants spelled out: into the sources of components and pipelines, from the options.

KFP reads a component's parameters from the text of its function, so they cannot be derived when it is decorated. `make
compile` runs this module: it rewrites signature and `Args:` of each function below, and nothing else. What is no option
(artifacts, a fingerprint) stays as it is written. A test holds the sources to what this writes.
"""

import ast
import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from traffic_yolo.options import SETTINGS, fields_of, form_value, headlines, type_of
from traffic_yolo_pipelines.step_options import STEP_OPTIONS, own_names

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARY = REPOSITORY / "components" / "traffic_yolo"
PIPELINES = REPOSITORY / "pipelines"
LINE_LENGTH = 120
# What chooses thresholds by cost is for a few; forms leave it to tune_settings
HIDDEN_COSTS = ("false_positives_per_picture", "miss_cost", "false_alarm_cost")
# Component -> the step that it is a part of, whose settings it takes
PART_OF = {
    "convert_files": "convert",
    "convert_shard": "convert",
    "import_dataset": "convert",
    "train_on_cluster": "train",
    "plan_detection": "evaluate",
    "detect_shard": "evaluate",
}
# A component that takes the options of several steps, because it looks ahead at what they will do
SEVERAL_STEPS = {"new_data": ("convert", "new_data")}
SETTINGS_TEXT = "Other options of {step}: YAML text `name: value`, or a file of it (path, nas:// or s3://)."


class Parameter(NamedTuple):
    """One parameter of a function, as its source spells it; `default` empty: required."""

    name: str
    annotation: str
    default: str
    text: str


class Target(NamedTuple):
    """A function whose parameters are written.

    `steps`: the steps whose options it takes. A component has one, and its `settings`; a pipeline has several, as few
    components have, and `<step>_settings` for each. `hidden`: headlines of the steps that a pipeline's form does not
    show.
    """

    path: Path
    function: str
    steps: tuple[str, ...]
    is_pipeline: bool = False
    hidden: tuple[str, ...] = ()


def component_targets() -> list[Target]:
    """The components of `STEP_OPTIONS`, found by their function's name."""
    found = []
    for path in sorted(LIBRARY.rglob("component.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in STEP_OPTIONS:
                found.append(Target(path, node.name, SEVERAL_STEPS.get(node.name, (node.name,))))
    return found


def pipeline_targets() -> list[Target]:
    """The pipelines whose forms show options of steps, and the component that is handed a whole form."""
    hidden = ("previous", *HIDDEN_COSTS)  # a first look has no `previous`
    # The thresholds that the models are compared at, and the splits, are the pipeline's business
    hidden += ("split", "confidence_threshold", "iou_threshold")
    steps = ("snapshot", "convert", "train", "evaluate", "tune", "validate", "publish")
    return [
        *(
            Target(PIPELINES / f"{name}.py", name, steps, is_pipeline=True, hidden=hidden)
            for name in ("finetune_pipeline", "shards_pipeline", "trainjob_pipeline")
        ),
        Target(LIBRARY / "preflight" / "component.py", "preflight", steps, is_pipeline=True, hidden=hidden),
        Target(
            PIPELINES / "convert_pipeline.py",
            "convert_pipeline",
            ("snapshot", "convert_shard"),
            is_pipeline=True,
            hidden=hidden,
        ),
        Target(
            PIPELINES / "evaluate_pipeline.py",
            "evaluate_pipeline",
            ("import_dataset", "import_model", "plan_detection", "evaluate", "tune", "validate", "deepstream_run"),
            is_pipeline=True,
            hidden=HIDDEN_COSTS,
        ),
        Target(
            PIPELINES / "compress_pipeline.py",
            "compress_pipeline",
            ("import_dataset", "prune", *steps[2:]),
            is_pipeline=True,
            hidden=hidden,
        ),
        Target(PIPELINES / "tune_pipeline.py", "tune_pipeline", ("search",), is_pipeline=True),
        Target(
            PIPELINES / "retrain_pipeline.py",
            "retrain_pipeline",
            ("snapshot", "new_data", *steps[1:]),
            is_pipeline=True,
            hidden=hidden,
        ),
    ]


def generated_parameters(target: Target) -> list[Parameter]:
    """The parameters that a function gets from the options of its steps: headlines first, then the settings."""
    found: dict[str, Parameter] = {}
    own = own_names(target.steps)
    for step in target.steps:
        for name, field in headlines(*STEP_OPTIONS[step]).items():
            if name in own[step] and name not in target.hidden:
                found.setdefault(name, parameter_of(field))
        if set(fields_of(*STEP_OPTIONS[step])) - (own[step] & set(found)):
            name = settings_name(step) if target.is_pipeline or len(target.steps) > 1 else SETTINGS
            found[name] = Parameter(name, "str", '""', SETTINGS_TEXT.format(step=whole_step(step)))
    return list(found.values())


def settings_name(step: str) -> str:
    """The parameter of a pipeline that is handed to a step as its `settings`."""
    return f"{whole_step(step)}_{SETTINGS}"


def whole_step(step: str) -> str:
    """The step that a component is a part of: `convert` for `convert_files` and `convert_shard`; else itself."""
    return PART_OF.get(step, step)


def parameter_of(field: "dataclasses.Field[Any]") -> Parameter:
    """A field as a parameter of a KFP function; one that may be None is a text (`options.form_value` says why)."""
    kind, optional = type_of(field)
    annotation = "str" if optional or kind is tuple else kind.__name__
    default = "" if field.default is dataclasses.MISSING else _literal(form_value(field, field.default))
    text = str(field.metadata["help"])
    words = field.metadata.get("choices")
    if words and not all(word in text for word in words):
        text = f"{text} One of {', '.join(words)}."
    if optional and kind is not str:
        text = f"{text} {'A whole number' if kind is int else 'A number'}, or empty."
    if kind is tuple:
        text = f"{text} Several with commas between."
    return Parameter(field.name, annotation, default, text)


def rewritten(source: str, target: Target) -> str:
    """`source` with the signature and the `Args:` of one function as the options say."""
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == target.function)
    texts = argument_texts(ast.get_docstring(function) or "")
    generated = {parameter.name: parameter for parameter in generated_parameters(target)}
    # An option that is no headline any more must go, so every option's name counts, not those that are shown alone
    ours = {name for step in target.steps for name in fields_of(*STEP_OPTIONS[step])} | {
        name for step in target.steps for name in (SETTINGS, settings_name(step))
    }
    written = [p for p in _written_parameters(source, function, texts) if p.name not in ours]
    # A component's artifacts come before its options; a pipeline's form begins with what the steps are told
    parameters = [*generated.values(), *written] if target.is_pipeline else [*written, *generated.values()]
    ordered = [p for p in parameters if not p.default] + [p for p in parameters if p.default]
    lines = source.splitlines(keepends=True)
    docstring = function.body[0]
    assert isinstance(docstring, ast.Expr), f"{target.function} has no docstring"
    head = f"def {function.name}(\n{''.join(_line(parameter) for parameter in ordered)}) -> "
    after = "".join(lines[function.lineno - 1 : docstring.lineno - 1])
    returns = after[after.rindex(") -> ") + len(") -> ") :] if ") -> NamedTuple" not in after else _named_tuple(after)
    body = _docstring(lines[docstring.lineno - 1 : docstring.end_lineno], ordered)
    return "".join([*lines[: function.lineno - 1], head, returns, body, *lines[docstring.end_lineno :]])


def argument_texts(docstring: str) -> dict[str, str]:
    """Name -> description in the `Args:` of a Google-style docstring."""
    texts: dict[str, str] = {}
    name = ""
    for line in docstring.partition("Args:\n")[2].splitlines():
        if not line.strip() or not line.startswith("    "):
            break
        if line.startswith("        "):
            texts[name] += f" {line.strip()}"
        else:
            name, _, text = line.strip().partition(": ")
            texts[name] = text
    return texts


def generate(*, write: bool = True) -> list[Path]:
    """Rewrites all functions; returns the files whose text changed (with `write=False`, would change)."""
    changed: list[Path] = []
    for target in [*component_targets(), *pipeline_targets()]:
        before = target.path.read_text(encoding="utf-8")
        after = rewritten(before, target)
        if after != before:
            changed.append(target.path)
            if write:
                target.path.write_text(after, encoding="utf-8")
    return changed


def _written_parameters(source: str, function: ast.FunctionDef, texts: Mapping[str, str]) -> list[Parameter]:
    arguments, given = function.args.args, function.args.defaults
    defaults: Sequence[ast.expr | None] = [*[None] * (len(arguments) - len(given)), *given]
    found = []
    for argument, default in zip(arguments, defaults, strict=True):
        assert argument.annotation is not None, argument.arg
        annotation = ast.get_source_segment(source, argument.annotation) or ""
        value = ast.get_source_segment(source, default) or "" if default else ""
        found.append(Parameter(argument.arg, annotation, value, texts.get(argument.arg, "")))
    return found


def _line(parameter: Parameter) -> str:
    default = f" = {parameter.default}" if parameter.default else ""
    # kfp 2.17 takes no other spelling
    rules = {"List[": "UP006", "Optional[": "UP045"}
    note = next((f"  # noqa: {rule}" for word, rule in rules.items() if word in parameter.annotation), "")
    return f"    {parameter.name}: {parameter.annotation}{default},{note}\n"


def _named_tuple(after: str) -> str:
    return after[after.index(") -> NamedTuple") + len(") -> ") :]


def _docstring(lines: Sequence[str], parameters: Sequence[Parameter]) -> str:
    """The docstring's lines with `Args:` written anew; what stands before and after it stays."""
    start = next(index for index, line in enumerate(lines) if line.strip() == "Args:")
    end = start + 1
    while end < len(lines) and lines[end].startswith("        "):
        end += 1
    wrapped = [
        f"{line}\n"
        for parameter in parameters
        for line in textwrap.wrap(
            f"{parameter.name}: {parameter.text}",
            LINE_LENGTH,
            initial_indent=" " * 8,
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
    return "".join([*lines[: start + 1], *wrapped, *lines[end:]])


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    for path in generate():
        print(path)
