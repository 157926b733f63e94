"""What kfp is told of its caller: the very name that `inspect.stack` would give, without a look at any source."""

import inspect

import pytest
from kfp import dsl
from kfp.dsl import pipeline_task

from traffic_yolo_pipelines import wiring
from traffic_yolo_pipelines.caller_names import spare_the_stack


def test_names_are_those_of_inspect() -> None:
    spare_the_stack()
    assert wiring.__name__  # importing it is what spares every pipeline

    def names() -> tuple[list[str], list[str]]:
        return [frame[3] for frame in pipeline_task.inspect.stack()], [frame[3] for frame in inspect.stack()]

    ours, theirs = names()
    assert ours == theirs
    assert ours[:2] == ["names", "test_names_are_those_of_inspect"]


# kfp names its next image for components that name none
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_kfp_s_own_refusal_names_what_was_called() -> None:
    @dsl.component
    def leaf() -> None: ...

    @dsl.pipeline
    def inner() -> None:
        leaf()

    with pytest.raises(ValueError, match="^set_cpu_limit can only be used on single-step components"):

        @dsl.pipeline
        def outer() -> None:
            inner().set_cpu_limit("1")
