"""Suggestions: inside the space, as Katib's texts, the same from the same seed, and better than chance."""

import itertools
import math
import os

import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.run.suggestions import Suggester, make_suggester
from traffic_yolo.katib.spec.space import Parameter, read_space

SPACE = (
    Parameter("rate", "double", 1e-4, 1e-1, distribution="logUniform"),
    Parameter("share", "double", 0.0, 1.0),
    Parameter("step", "double", 0.1, 0.5, 0.1),
    Parameter("count", "int", 1, 9, 2),
    Parameter("layers", "categorical", choices=("all", "heads")),
    Parameter("size", "discrete", choices=("1", "2.5")),
)
NUMBERS = tuple(parameter for parameter in SPACE if parameter.is_numeric)
ALGORITHMS = ("random", "tpe", "multivariate-tpe", "cmaes", "sobol", "bayesianoptimization")
SETTINGS = {"random_state": "3"}


def value_of(assignments: dict[str, str]) -> float:
    return -((float(assignments["share"]) - 0.7) ** 2) - (math.log10(float(assignments["rate"])) + 2) ** 2 / 9


def searched(suggester: Suggester, trials: int) -> list[dict[str, str]]:
    asked = []
    for _ in range(trials):
        assignments = suggester.ask()
        assert assignments is not None
        suggester.tell(assignments, value_of(assignments))
        asked.append(assignments)
    return asked


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_text_lies_in_its_space(algorithm: str) -> None:
    space = NUMBERS if algorithm in ("cmaes", "sobol") else SPACE
    asked = searched(make_suggester(algorithm, SETTINGS, space, maximise=True), 14)
    for assignments in asked:
        assert list(assignments) == [parameter.name for parameter in space]
        for parameter in space:
            text = assignments[parameter.name]
            if parameter.choices:
                assert text in parameter.choices
                continue
            assert parameter.least <= float(text) <= parameter.most
            if parameter.kind == "int":
                assert (int(text) - parameter.least) % parameter.step == 0
            elif parameter.step:
                assert round(float(text) / parameter.step, 6) == round(float(text) / parameter.step)
    assert len({tuple(assignments.values()) for assignments in asked}) > 10


@pytest.mark.parametrize("algorithm", ["random", "tpe", "multivariate-tpe", "cmaes", "sobol"])
def test_the_seed_decides(algorithm: str) -> None:
    first, again = (searched(make_suggester(algorithm, SETTINGS, NUMBERS, maximise=True), 8) for _ in range(2))
    other = searched(make_suggester(algorithm, {"random_state": "4"}, NUMBERS, maximise=True), 8)
    assert first == again != other


SLOW = pytest.mark.skipif(
    os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="half a minute: TRAFFIC_YOLO_SLOW=1 runs it"
)


@pytest.mark.parametrize(
    "algorithm", ["tpe", "multivariate-tpe", "cmaes", pytest.param("bayesianoptimization", marks=SLOW)]
)
def test_a_search_comes_nearer_than_chance(algorithm: str) -> None:
    space = SPACE[:2]
    found = searched(make_suggester(algorithm, SETTINGS, space, maximise=True), 40)
    late = [value_of(assignments) for assignments in found[-10:]]
    by_chance = [value_of(a) for a in searched(make_suggester("random", SETTINGS, space, maximise=True), 40)]
    assert sum(late) / len(late) > sum(by_chance) / len(by_chance)


def test_what_was_tried_before_a_restart_is_learnt_again() -> None:
    before = searched(make_suggester("tpe", SETTINGS, SPACE, maximise=True), 30)
    suggester = make_suggester("tpe", {"random_state": "9"}, SPACE, maximise=True)
    for assignments in before:
        suggester.tell(assignments, value_of(assignments))
    suggester.tell(before[0], None)  # one that failed
    values = [value_of(assignments) for assignments in searched(suggester, 10)]
    early = [value_of(assignments) for assignments in before[:10]]
    assert sum(values) / 10 > sum(early) / 10


def test_a_grid_gives_every_cell_once_with_numpys_rounding() -> None:
    space = (SPACE[2], SPACE[3], SPACE[4])
    suggester = make_suggester("grid", SETTINGS, space, maximise=True)
    cells = []
    while (cell := suggester.ask()) is not None:
        cells.append(tuple(cell.values()))
    assert suggester.is_exhausted
    steps = ("0.1", "0.2", "0.30000000000000004", "0.4", "0.5")
    assert sorted(cells) == sorted(itertools.product(steps, ("1", "3", "5", "7", "9"), ("all", "heads")))
    assert cells != sorted(cells)


def test_a_grid_leaves_out_what_was_tried_before_a_restart() -> None:
    suggester = make_suggester("grid", {}, (SPACE[4],), maximise=True)
    suggester.tell({"layers": "all"}, 0.5)
    assert (suggester.ask(), suggester.ask()) == ({"layers": "heads"}, None)


@pytest.mark.parametrize("distribution", ["normal", "logNormal"])
def test_normal_parameters_lie_around_the_middle(distribution: str) -> None:
    parameter = Parameter("x", "double", 1.0, 7.0, distribution=distribution)
    suggester = make_suggester("random", SETTINGS, (parameter,), maximise=True)
    values = [float((suggester.ask() or {})["x"]) for _ in range(400)]
    centred = [math.log(value) for value in values] if distribution == "logNormal" else values
    mean = sum(centred) / len(centred)
    middle, deviation = (math.log(7) / 2, math.log(7) / 6) if distribution == "logNormal" else (4.0, 1.0)
    assert mean == pytest.approx(middle, abs=0.2 * deviation)
    assert math.sqrt(sum((value - mean) ** 2 for value in centred) / len(centred)) == pytest.approx(deviation, rel=0.15)
    for value in values[:3]:  # and can be learnt again
        suggester.tell({"x": str(value)}, 0.5)


def hyperband_rounds(resource: Parameter, r_l: str) -> list[list[dict[str, str]]]:
    """Every round of a search with eta 3, each told what came of it."""
    settings = {"r_l": r_l, "eta": "3", "resource_name": resource.name, **SETTINGS}
    suggester = make_suggester("hyperband", settings, (SPACE[1], SPACE[0], resource), maximise=True)
    rounds: list[list[dict[str, str]]] = []
    while not suggester.is_exhausted:
        batch = []
        while (assignments := suggester.ask()) is not None:
            batch.append(assignments)
        for assignments in batch:
            suggester.tell(assignments, value_of(assignments))
        rounds.append(batch)
    return rounds


@pytest.mark.parametrize(
    ("r_l", "expected"),
    [
        ("9", "9 of 1, 3 of 3, 1 of 9; 5 of 3, 2 of 9; 3 of 9"),
        # log3(50) = 3.56 brackets, cut; 50 / 27 = 1.85, 50 / 9 = 5.6 and 50 / 3 = 16.7 cut, and then times 3
        ("50", "27 of 1, 9 of 3, 3 of 9, 1 of 27; 12 of 5, 4 of 15, 2 of 45; 6 of 16, 2 of 48; 4 of 50"),
        ("2.5", "1 of 2"),
    ],
    ids=["9", "50", "2.5"],
)
@pytest.mark.parametrize("kind", ["int", "double"])
def test_hyperband_rounds_as_katibs_service_does(kind: str, r_l: str, expected: str) -> None:
    found = hyperband_rounds(Parameter("epochs", kind, 1, 81), r_l)
    shown = [f"{len(batch)} of {' and '.join(sorted({a['epochs'] for a in batch}))}" for batch in found]
    assert shown == expected.replace(";", ",").split(", ")


def test_hyperband_goes_on_with_the_best() -> None:
    rounds = hyperband_rounds(Parameter("epochs", "int", 1, 9), "9")
    best = sorted((value_of(a) for a in rounds[0]), reverse=True)[:3]
    assert sorted((value_of(a) for a in rounds[1]), reverse=True) == pytest.approx(best)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("pbt", "copies checkpoints between pods"),
        ("enas", "needs Katib's controller network"),
        ("best", "'best' cannot run here: it is unknown; expected one of random, tpe"),
    ],
)
def test_what_cannot_run_here_is_refused_with_the_reason(algorithm: str, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make_suggester(algorithm, {}, SPACE, maximise=True)


def test_hyperband_needs_its_resource_among_the_parameters() -> None:
    with pytest.raises(OptionsError, match="resource_name 'epochs' is no parameter"):
        make_suggester("hyperband", {"r_l": "9", "resource_name": "epochs"}, SPACE, maximise=True)


@pytest.mark.parametrize(
    ("algorithm", "parameter"),
    [
        # What the checker lets pass because Katib's service takes it
        ("multivariate-tpe", Parameter("x", "double", 0.0, 1.0, distribution="logUniform")),
        ("multivariate-tpe", Parameter("x", "int", -3, 9, distribution="logUniform")),
        ("multivariate-tpe", Parameter("x", "double", 0.5, 0.5)),
        ("cmaes", Parameter("x", "double", -1.0, 1.0, distribution="logNormal")),
        ("sobol", Parameter("x", "int", -1, 9, distribution="logUniform")),
        ("random", Parameter("x", "double", 0.0, 1.0, 5.0)),
        ("random", Parameter("x", "int", 1, 9, 50.0)),
        ("tpe", Parameter("x", "double", 0.1, 1.0, distribution="unknown")),
    ],
)
def test_ranges_that_katibs_services_take_are_drawn_from(algorithm: str, parameter: Parameter) -> None:
    settings = {"random_state": "-1", "sigma": "-1"} if algorithm == "cmaes" else SETTINGS
    suggester = make_suggester(algorithm, settings, (parameter, SPACE[1]), maximise=True)
    for _ in range(3):
        assignments = suggester.ask()
        assert assignments is not None
        assert parameter.least <= float(assignments["x"]) <= parameter.most
        suggester.tell(assignments, 0.5)


def test_a_range_is_read_in_one_form() -> None:
    def read(kind: str, **space: str) -> Parameter:
        return read_space({"parameters": [{"name": "x", "parameterType": kind, "feasibleSpace": space}]})[0]

    assert read("double", min="2", max="1", step="-0.1") == Parameter("x", "double", 1.0, 2.0, 0.1)
    assert read("int", min="1.0", max="9.5", step="2.0") == Parameter("x", "int", 1.0, 9.0, 2.0)
    with pytest.raises(OptionsError, match="expected a known type with min and max"):
        read("double", min="1", max="many")
