"""Compiling: the words of a parameter stand in the spec where the stated server knows the field."""

import copy
from pathlib import Path

import pytest
from quick_yaml import load_documents

from traffic_yolo_pipelines.compile import add_literals, compile_to
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def test_words_are_literals_of_the_form_and_of_the_task(repository: Path) -> None:
    spec = load_documents((repository / "pipelines" / "finetune_pipeline.yaml").read_text())[0]
    words = ["f1", "map", "map50", "recall_at_fppi", "cost"]
    for place in (spec["root"], spec["components"]["comp-tune"]):
        assert place["inputDefinitions"]["parameters"]["objective"]["literals"] == words
    left_to_the_cfg = spec["root"]["inputDefinitions"]["parameters"]["optimizer"]
    assert "literals" not in left_to_the_cfg
    assert left_to_the_cfg["defaultValue"] == ""


def test_an_older_server_gets_a_spec_without_a_field_that_it_does_not_know(tmp_path: Path) -> None:
    for name, server, has_literals, has_secrets in (
        ("new", "2.17.3", True, True), ("between", "2.15", False, True), ("old", "2.4", False, False),
    ):  # fmt: skip
        compile_to(finetune_pipeline, tmp_path / f"{name}.yaml", server=server)
        text = (tmp_path / f"{name}.yaml").read_text()
        assert ("literals" in text) == has_literals, name
        assert ("secretAsEnv" in text) == has_secrets, name


def test_literals_are_written_once() -> None:
    spec = copy.deepcopy(finetune_pipeline.pipeline_spec)
    add_literals(spec)
    add_literals(spec)
    parameter = spec.root.input_definitions.parameters["objective"]
    assert [value.string_value for value in parameter.literals] == ["f1", "map", "map50", "recall_at_fppi", "cost"]
