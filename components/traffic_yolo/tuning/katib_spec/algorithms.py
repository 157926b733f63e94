"""Katib's algorithms: which service runs each, and the settings that the service accepts; anything else it refuses.

From pkg/suggestion/v1beta1/*/service.py and earlystopping/v1beta1/medianstop/service.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Accepts = Callable[[str], bool]


@dataclass(frozen=True)
class Setting:
    """One setting: `expected` in words, and a test of the text that the Experiment has."""

    expected: str
    accepts: Accepts
    required: bool = False


@dataclass(frozen=True)
class Algorithm:
    """One algorithm. `service`: the program behind it. `distributions`: those of doubles that it honours.

    `checked`: whether the service itself refuses unknown settings (goptuna and hyperband ignore them).
    """

    service: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    distributions: tuple[str, ...] = ("uniform",)
    checked: bool = True
    searches_architectures: bool = False


def _whole(text: str, least: int) -> bool:
    try:
        return int(text) >= least
    except ValueError:
        return False


def _real(text: str, test: Callable[[float], bool]) -> bool:
    try:
        return test(float(text))
    except ValueError:
        return False


def whole(least: int, *, required: bool = False) -> Setting:
    """A whole number from `least` up."""
    return Setting(f"a whole number of at least {least}", lambda text: _whole(text, least), required)


def real(expected: str, test: Callable[[float], bool], *, required: bool = False) -> Setting:
    """A number that passes `test`."""
    return Setting(expected, lambda text: _real(text, test), required)


def words(*allowed: str) -> Setting:
    """One of a few words."""
    return Setting(f"one of {', '.join(allowed)}", lambda text: text in allowed)


SEED = whole(0)
ALL_DISTRIBUTIONS = ("uniform", "logUniform", "normal", "logNormal")

ALGORITHMS: dict[str, Algorithm] = {
    "random": Algorithm("hyperopt", {"random_state": SEED}, ALL_DISTRIBUTIONS),
    "tpe": Algorithm(
        "hyperopt",
        {
            "gamma": real("a number between 0 and 1", lambda value: 0 < value < 1),
            "prior_weight": real("a number above 0", lambda value: value > 0),
            "n_EI_candidates": whole(1),
            "random_state": SEED,
        },
        ALL_DISTRIBUTIONS,
    ),
    "multivariate-tpe": Algorithm(
        "optuna",
        {"n_startup_trials": whole(0), "n_ei_candidates": whole(0), "random_state": SEED},
        ("uniform", "logUniform"),
    ),
    "grid": Algorithm("optuna", {"random_state": SEED}),
    "bayesianoptimization": Algorithm(
        "skopt",
        {
            "base_estimator": words("GP", "RF", "ET", "GBRT"),
            "n_initial_points": whole(0),
            "acq_func": words("gp_hedge", "LCB", "EI", "PI", "EIps", "PIps"),
            "acq_optimizer": words("auto", "sampling", "lbfgs"),
            "random_state": SEED,
        },
        ("logUniform",),
    ),
    "cmaes": Algorithm(
        "goptuna",
        {
            "restart_strategy": words("ipop", "bipop", "none"),
            "sigma": real("a number of at least 0", lambda value: value >= 0),
            "random_state": SEED,
        },
        checked=False,
    ),
    "sobol": Algorithm("goptuna", checked=False),
    "hyperband": Algorithm(
        "hyperband",
        {
            "r_l": real("a number above 1", lambda value: value > 1, required=True),
            "resource_name": Setting("the name of a parameter", bool, required=True),
            "eta": real("a number of at least 2", lambda value: value >= 2),
        },
        checked=False,
    ),
    "pbt": Algorithm(
        "pbt",
        {
            "suggestion_trial_dir": Setting("a folder in the trial's container", bool, required=True),
            "n_population": whole(5, required=True),
            "truncation_threshold": real("a number in [0, 1]", lambda value: 0 <= value <= 1, required=True),
            "resample_probability": real("a number in [0, 1]", lambda value: 0 <= value <= 1),
        },
        checked=False,
    ),
    "enas": Algorithm("enas", checked=False, searches_architectures=True),
    "darts": Algorithm("darts", checked=False, searches_architectures=True),
}

EARLY_STOPPING: dict[str, dict[str, Setting]] = {
    "medianstop": {"min_trials_required": whole(1), "start_step": whole(1)},
}
MEDIANSTOP_DEFAULTS = {"min_trials_required": 3, "start_step": 4}
