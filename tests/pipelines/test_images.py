"""Images of a compiled pipeline: the tasks that may ask for a GPU can be given the other flavour, and no others."""

import copy
from typing import Any

import pytest
from kfp import dsl

from traffic_yolo.container_images import image
from traffic_yolo.errors import OptionsError
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline
from traffic_yolo_pipelines.images import set_flavour

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


def images(spec: Any) -> dict[str, str]:
    executors = spec.deployment_spec["executors"]
    return {label: executors[label]["container"]["image"] for label in executors}


def test_tasks_with_an_accelerator_get_cuda_and_the_rest_stays() -> None:
    spec = copy.deepcopy(finetune_pipeline.pipeline_spec)
    before = images(spec)
    changed = set_flavour(spec, "cuda")
    assert "exec-train" in changed
    assert {"exec-convert", "exec-export", "exec-publish"}.isdisjoint(changed)
    after = images(spec)
    assert {label for label in before if before[label] != after[label]} == set(changed)
    assert {after[label] for label in changed} == {image("train", "cuda")}
    assert set(before.values()) == {image("train", "cpu")}
    assert set_flavour(spec, "cpu") == changed
    assert images(spec) == before
    assert images(finetune_pipeline.pipeline_spec) == before


def test_every_executor_of_a_named_component_is_meant_and_none_of_a_longer_name() -> None:
    @dsl.component(base_image=image("train"), install_kfp_package=False)
    def train(seed: int) -> int:
        return seed

    @dsl.component(base_image=image("train"), install_kfp_package=False)
    def train_report(seed: int) -> int:
        return seed

    @dsl.pipeline(name="two-trainings")
    def two() -> None:
        train(seed=1).set_memory_request("1G")
        train(seed=2).set_memory_request("2G")
        train_report(seed=3)

    spec = copy.deepcopy(two.pipeline_spec)
    assert set_flavour(spec, "cuda") == []
    assert set_flavour(spec, "cuda", "train") == ["exec-train", "exec-train-2"]
    assert images(spec)["exec-train-report"] == image("train", "cpu")
    assert set_flavour(spec, "cuda", "detect") == []
    assert set_flavour(spec, "cuda", "train_report") == ["exec-train-report"]


def test_unknown_flavour_is_refused() -> None:
    with pytest.raises(OptionsError, match="expected one of cpu, cuda"):
        set_flavour(copy.deepcopy(finetune_pipeline.pipeline_spec), "gpu")
