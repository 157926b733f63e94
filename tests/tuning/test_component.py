"""The KFP component of the step tune: its defaults are the library's."""

import inspect

from traffic_yolo.metrics.objective import Objective
from traffic_yolo.tuning.component import tune
from traffic_yolo.tuning.sweep_options import SweepOptions


def test_defaults_of_the_component_are_those_of_the_options() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(tune.python_func).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    expected = {name: getattr(Objective(), name) for name in defaults if hasattr(Objective(), name)}
    assert defaults == {**expected, "per_class": SweepOptions().per_class}
    assert set(expected) == set(Objective.__dataclass_fields__) - {"class_costs"}
