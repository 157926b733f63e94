"""Options are said once: the sources that KFP reads are what the dataclasses say, and every door reaches every option."""

import ast
import dataclasses
import inspect
from pathlib import Path
from typing import Any

import click
import pytest

from traffic_yolo.commands import convert as convert_command
from traffic_yolo.commands import publish, snapshot, sweep, train, trial, tune
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.option_settings import task_options
from traffic_yolo.options import SETTINGS, fields_of, headlines, option
from traffic_yolo.registry.options import PublishOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.fine_tuning_experiment import FineTuningOptions
from traffic_yolo_pipelines import signatures
from traffic_yolo_pipelines.convert_pipeline import convert_pipeline
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline
from traffic_yolo_pipelines.signatures import Target, component_targets, generate, pipeline_targets, rewritten
from traffic_yolo_pipelines.step_options import STEP_OPTIONS, own_names
from traffic_yolo_pipelines.tune_pipeline import tune_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
COMMANDS = {
    "snapshot": [snapshot.command],
    "convert": [convert_command.command],
    "train": [train.command, trial.fine_tuning],
    "tune": [tune.command, sweep.command],
    "publish": [publish.command],
}
MOST_HEADLINES = 12


def test_sources_are_what_the_options_say() -> None:
    assert generate(write=False) == [], "run `make compile`"


def test_every_step_with_options_has_its_component() -> None:
    assert sorted(target.function for target in component_targets()) == sorted(STEP_OPTIONS)


@pytest.mark.parametrize("step", sorted(STEP_OPTIONS))
def test_a_form_shows_at_most_a_dozen_options_of_a_step(step: str) -> None:
    assert 1 <= len(headlines(*STEP_OPTIONS[step])) <= MOST_HEADLINES


@pytest.mark.parametrize("step", sorted(COMMANDS))
def test_every_option_of_a_step_is_a_flag_of_its_commands(step: str) -> None:
    for command in COMMANDS[step]:
        flags = {parameter.name for parameter in command.params}
        assert set(fields_of(*STEP_OPTIONS[step])) <= flags, command.name


@pytest.mark.parametrize("target", component_targets(), ids=lambda target: target.function)
def test_every_option_of_a_step_is_a_parameter_of_its_component_or_goes_into_its_settings(target: Target) -> None:
    given = _parameters(target)
    rest = set(fields_of(*STEP_OPTIONS[target.function])) - set(given)
    assert not rest or SETTINGS in given


@pytest.mark.parametrize("target", pipeline_targets(), ids=lambda target: target.function)
def test_every_option_of_every_step_is_reachable_in_a_form(target: Target) -> None:
    given = _parameters(target)
    for step in target.steps:
        rest = set(fields_of(*STEP_OPTIONS[step])) - set(given)
        assert not rest or signatures.settings_name(step) in given, step


@pytest.mark.parametrize("pipeline", [finetune_pipeline, convert_pipeline, tune_pipeline], ids=lambda p: p.name)
def test_compiled_pipelines_hand_every_field_of_their_form_on(pipeline: Any) -> None:
    """A field that no task takes would be silently without effect."""
    tasks = pipeline.pipeline_spec.root.dag.tasks.values()
    components = pipeline.pipeline_spec.components.values()
    tasks = [*tasks, *(task for component in components for task in component.dag.tasks.values())]
    used = {p.component_input_parameter for task in tasks for p in task.inputs.parameters.values()}
    platform = str(pipeline.platform_spec)
    form = set(pipeline.component_spec.inputs or {})
    assert {name for name in form if name not in used and name not in platform and name != "gpus"} == set()


def test_katib_reaches_every_training_option_and_every_nms_option() -> None:
    flags = {parameter.name for parameter in trial.fine_tuning.params}
    assert set(fields_of(TrainingOptions, NmsOptions)) <= flags


def test_an_experiment_passes_every_option_that_is_not_at_its_default() -> None:
    training = TrainingOptions(mosaic=0.25, workers=3, precision="bfloat16", ema_alpha=0.0)
    arguments = FineTuningOptions("/nas/d", "/nas/s", training, fine_tune_layers=("all",)).arguments()
    assert {"mosaic": 0.25, "workers": 3, "precision": "bfloat16", "ema_alpha": 0.0}.items() <= arguments.items()


@pytest.mark.long
def test_a_new_option_appears_in_the_component_and_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    added = dataclasses.make_dataclass(
        "Added",
        [("channel", str, option("stable", "Which channel.", headline=True))],
        bases=(PublishOptions,),
        frozen=True,
    )
    monkeypatch.setitem(STEP_OPTIONS, "publish", (added,))
    for target in [*component_targets(), *pipeline_targets()]:
        if "publish" in target.steps:
            source = rewritten(target.path.read_text(), target)
            function = next(
                n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == target.function
            )
            assert "channel" in [argument.arg for argument in function.args.args]
            assert "channel: Which channel." in (ast.get_docstring(function) or "")
            assert rewritten(source, target) == source


def test_an_option_that_is_gone_leaves_the_signature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = next(target for target in component_targets() if target.function == "publish")
    without = dataclasses.make_dataclass("Less", [("zoo", str, option(dataclasses.MISSING, "Zoo.", headline=True))])
    kept = dataclasses.make_dataclass("Kept", [("model_name", str, option("m", "Name."))], bases=(without,))
    monkeypatch.setitem(STEP_OPTIONS, "publish", (kept,))
    source = rewritten(target.path.read_text(), target)
    function = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "publish")
    names = [argument.arg for argument in function.args.args]
    assert "model_name" not in names
    assert names[-1] == SETTINGS


def test_every_command_takes_its_options_from_a_settings_file_too(tmp_path: Path) -> None:
    seen: list[TrainingOptions] = []

    from click.testing import CliRunner

    from traffic_yolo.commands.dataclass_options import step_options

    @click.command()
    @step_options(TrainingOptions)
    def command(**flags: Any) -> None:
        seen.append(TrainingOptions(**flags))

    (tmp_path / "options.yaml").write_text("mosaic: 0.25\nbatch: 8\n")
    result = CliRunner().invoke(
        command, ["--settings", str(tmp_path / "options.yaml"), "--batch", "4"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert seen == [TrainingOptions(mosaic=0.25, batch=4)]


def test_messages_about_options_name_flags(capsys: pytest.CaptureFixture[str]) -> None:
    from traffic_yolo.cli import main

    for arguments, message in (
        (["--batch", "16", "--subdivisions", "3"], "error: --batch: expected a multiple of --subdivisions=3, found 16"),
        (
            ["--class-seeds", "A=b", "--weights", "w"],
            "error: --class-seeds takes rows of the classes in --weights-names",
        ),
        (["--max-batches", "0"], "error: --max-batches: expected at least 1, found 0"),
        (["--settings", "bach: 8"], "error: --settings: unknown option 'bach'; did you mean batch?"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["train", "--dataset", "d", "--out", "o", *arguments])
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(message)


def _parameters(target: Target) -> list[str]:
    tree = ast.parse(target.path.read_text())
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == target.function)
    return [argument.arg for argument in function.args.args]


def test_components_take_no_parameter_that_kfp_cannot_leave_out() -> None:
    """kfp.local 2.17 fails on an optional parameter of a pipeline without a default."""
    for pipeline in (finetune_pipeline, convert_pipeline, tune_pipeline):
        for parameter in inspect.signature(pipeline.pipeline_func).parameters.values():
            assert "Optional" not in str(parameter.annotation)
            assert parameter.default is not None


def test_one_name_for_two_options_is_the_earlier_step_s() -> None:
    """`policy` is a file of convert's and the way the learning rate falls of train's."""
    own = own_names(["snapshot", "convert", "train"])
    assert "policy" in own["convert"]
    assert "policy" not in own["train"]
    assert {"source", "labels", "layout"} <= own["snapshot"] & own["convert"]


def test_run_hands_every_option_to_its_step() -> None:
    """Flags, and settings as text or file, come to a form whose tasks get the very options that were meant."""
    from traffic_yolo.commands.run import command
    from traffic_yolo.commands.step_flags import STEPS, form_of

    given = {
        "source": "/share", "zoo": "/zoo", "policy": "{thin: 2}", "min_confidence": 0.75, "width": 64, "mosaic": 0.25,
        "train_settings": "policy: cosine", "evaluate_settings": "{split: val, batch: 2}", "objective": "map",
    }  # fmt: skip
    flags = {parameter.name: parameter.get_default(click.Context(command)) for parameter in command.params}
    form = form_of({**flags, **given}, set(inspect.signature(finetune_pipeline.pipeline_func).parameters))
    made = {}
    for step in STEPS:
        own = own_names(STEPS)[step]
        fields = {name: form[name] for name in fields_of(*STEP_OPTIONS[step]) if name in form and name in own}
        made[step] = task_options(STEP_OPTIONS[step], {**fields, SETTINGS: form.get(f"{step}_{SETTINGS}", "")})
    assert (made["convert"][0].policy, made["convert"][0].min_confidence) == ("{thin: 2}", 0.75)
    assert (made["train"][0].policy, made["train"][0].width, made["train"][0].mosaic) == ("cosine", 64, 0.25)
    assert made["train"][0].batch is None
    assert (made["evaluate"][0].split, made["evaluate"][2].batch) == ("val", 2)
    assert made["tune"][0].objective == "map"


@pytest.mark.parametrize("target", component_targets(), ids=lambda target: target.function)
def test_a_component_uses_every_parameter_that_is_no_option(target: Target) -> None:
    """One that an option has replaced would be silently without effect."""
    tree = ast.parse(target.path.read_text())
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == target.function)
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    options = {name for step in target.steps for name in fields_of(*STEP_OPTIONS[step])}
    own = set(_parameters(target)) - options - {SETTINGS}
    assert own <= used
