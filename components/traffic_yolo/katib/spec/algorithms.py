"""Katib's algorithms: which service runs each, the settings that it accepts, and what it makes of other names.

From pkg/suggestion/v1beta1/*/service.py and earlystopping/v1beta1/medianstop/service.py. Values that pass a service's
own validation and then stop it (a seed that NumPy refuses, say) are not accepted either.
"""

import math
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

    `checked`: whether the service itself refuses unknown settings; the others ignore them, or hand them to the trial.
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


def seed() -> Setting:
    """A seed of NumPy: the services pass the number on, and NumPy refuses what has more than 32 bits."""
    return Setting(
        "a whole number from 0 to 4294967295", lambda text: _whole(text, 0) and int(text) <= MOST_SEED, required=False
    )


def real(expected: str, test: Callable[[float], bool], *, required: bool = False) -> Setting:
    """A number that passes `test`."""
    return Setting(expected, lambda text: _real(text, test), required)


def words(*allowed: str) -> Setting:
    """One of a few words."""
    return Setting(f"one of {', '.join(allowed)}", lambda text: text in allowed)


def or_none(setting: Setting) -> Setting:
    """The same, or the word None."""
    return Setting(f"{setting.expected}, or None", lambda text: text == "None" or setting.accepts(text))


MOST_SEED = 2**32 - 1
SEED = seed()
NOT_NEGATIVE = real("a number of at least 0", lambda value: value >= 0)
ABOVE_ZERO = real("a number above 0", lambda value: value > 0)
SHARE_ABOVE_ZERO = real("a number above 0 and at most 1", lambda value: 0 < value <= 1)
ANY_NUMBER = real("a number", math.isfinite)
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
            "n_initial_points": whole(1),  # with 0 there is nothing to fit the first model to
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
            "sigma": ANY_NUMBER,  # one that is not above 0 counts as none
            "random_state": Setting("a whole number", lambda text: _whole(text, -(2**63))),
        },
        checked=False,
    ),
    "sobol": Algorithm("goptuna", checked=False),
    "hyperband": Algorithm(
        "hyperband",
        {
            "r_l": real("a number above 0", lambda value: 0 < value < math.inf, required=True),
            "resource_name": Setting("the name of a parameter", bool, required=True),
            # The whole part counts; 0 and below are taken for 3, and with 1 there is a division by its logarithm
            "eta": real("a number of at least 2", lambda value: math.isfinite(value) and int(value) != 1),
            # What the service itself writes there between two requests
            **dict.fromkeys(("s_max", "b_l", "r", "n", "current_s", "current_i", "evaluating_trials"), ANY_NUMBER),
        },
        checked=False,
    ),
    "pbt": Algorithm(
        "pbt",
        {
            "suggestion_trial_dir": Setting("a folder in the trial's container", bool, required=True),
            "n_population": whole(5, required=True),
            "truncation_threshold": real("a number in [0, 1]", lambda value: 0 <= value <= 1, required=True),
            "resample_probability": Setting(
                "nothing: the service compares it, a text, with a number, and stops", lambda _text: False
            ),
        },
        checked=False,
    ),
    "enas": Algorithm(
        "enas",
        {
            "controller_hidden_size": whole(1),
            "controller_temperature": or_none(ABOVE_ZERO),
            "controller_tanh_const": or_none(ABOVE_ZERO),
            "controller_entropy_weight": or_none(ABOVE_ZERO),
            "controller_baseline_decay": SHARE_ABOVE_ZERO,
            "controller_learning_rate": SHARE_ABOVE_ZERO,
            "controller_skip_target": SHARE_ABOVE_ZERO,
            "controller_skip_weight": or_none(ABOVE_ZERO),
            "controller_train_steps": whole(1),
            "controller_log_every_steps": whole(1),
        },
        searches_architectures=True,
    ),
    "darts": Algorithm(
        "darts",
        {
            "num_epochs": whole(1),
            **dict.fromkeys(("w_lr", "w_lr_min", "w_momentum", "w_weight_decay", "w_grad_clip"), NOT_NEGATIVE),
            **dict.fromkeys(("alpha_lr", "alpha_weight_decay"), NOT_NEGATIVE),
            "batch_size": or_none(whole(1)),
            "num_workers": whole(0),
            **dict.fromkeys(("init_channels", "print_step", "num_nodes", "stem_multiplier"), whole(1)),
        },
        checked=False,
        searches_architectures=True,
    ),
}

EARLY_STOPPING: dict[str, dict[str, Setting]] = {
    "medianstop": {"min_trials_required": whole(1), "start_step": whole(1)},
}
MEDIANSTOP_DEFAULTS = {"min_trials_required": 3, "start_step": 4}
