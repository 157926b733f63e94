"""What is tried next: Katib's algorithms by Optuna's samplers, with values as the texts that Katib fills in.

A member answers `ask` with assignments or None (nothing at present), and is told what came of each.
"""

import dataclasses
import itertools
import math
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.spec.algorithms import ALGORITHMS, MOST_SEED
from traffic_yolo.katib.spec.constants import LEAST_LOGARITHMIC
from traffic_yolo.katib.spec.space import Parameter, grid_values

Assignments = dict[str, str]
_UNIT = FloatDistribution(0.0, 1.0)
# hyperopt/base_service.py: a normal parameter lies around the middle, three deviations from either end
_DEVIATIONS = 6


class Suggester(ABC):
    """The next assignments of an experiment's parameters."""

    @abstractmethod
    def ask(self) -> Assignments | None:
        """Assignments to try, or None where there is nothing to try at present."""

    @abstractmethod
    def tell(self, assignments: Assignments, value: float | None) -> None:
        """What came of assignments that were asked for, here or before a restart; None: no objective value."""

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing will ever be suggested again."""
        return False


class OptunaSuggester(Suggester):
    """One of Optuna's samplers."""

    def __init__(self, space: Sequence[Parameter], sampler: BaseSampler, *, maximise: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._distributions = {parameter.name: _distribution(parameter) for parameter in space}
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if maximise else "minimize")
        self._asked: dict[tuple[tuple[str, str], ...], list[optuna.Trial]] = {}

    def ask(self) -> Assignments:
        """See the base class; never None."""
        trial = self._study.ask(self._distributions)
        assignments = {parameter.name: _text(parameter, trial.params[parameter.name]) for parameter in self._space}
        self._asked.setdefault(_key(assignments), []).append(trial)
        return assignments

    def tell(self, assignments: Assignments, value: float | None) -> None:
        """See the base class."""
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        if waiting := self._asked.get(_key(assignments)):
            self._study.tell(waiting.pop(0), value, state=state)
            return
        params = {parameter.name: _parsed(parameter, assignments[parameter.name]) for parameter in self._space}
        self._study.add_trial(
            optuna.trial.create_trial(params=params, distributions=self._distributions, value=value, state=state)
        )


class GridSuggester(Suggester):
    """Every combination once, in an order that the seed shuffles, as Katib's grid does."""

    def __init__(self, space: Sequence[Parameter], *, seed: int | None) -> None:
        values = [[_shown(parameter, value) for value in grid_values(parameter)] for parameter in space]
        names = [parameter.name for parameter in space]
        self._left = [dict(zip(names, cell, strict=True)) for cell in itertools.product(*values)]
        random.Random(seed).shuffle(self._left)

    def ask(self) -> Assignments | None:
        """See the base class."""
        return self._left.pop() if self._left else None

    def tell(self, assignments: Assignments, value: float | None) -> None:  # noqa: ARG002
        """See the base class; a cell told after a restart is not tried again."""
        if assignments in self._left:
            self._left.remove(assignments)

    @property
    def is_exhausted(self) -> bool:
        """Whether every cell was given out."""
        return not self._left


class HyperbandSuggester(Suggester):
    """Brackets of successive halving: a round starts when all of the round before has come back.

    `resource`: the parameter that says how much a trial may use; `most`: r_l, its most; `eta`: of so many one goes on.
    Rounded as hyperband/service.py does: brackets and amounts down, what goes on up. The least amount is rounded
    before it grows, so that the last round may have less than `most`.
    """

    def __init__(
        self, space: Sequence[Parameter], resource: str, most: float, eta: float, sampler: BaseSampler
    ) -> None:
        self._inner = OptunaSuggester([p for p in space if p.name != resource], sampler, maximise=True)
        self._resource = next(parameter for parameter in space if parameter.name == resource)
        self._most, self._eta = most, eta
        self._bracket = int(math.log(most) / math.log(eta))
        self._brackets = self._bracket
        self._round = 0
        self._results: list[tuple[float, Assignments]] = []
        self._queue: list[Assignments] = []
        self._running = 0
        self._maximise = True
        self._start_bracket()

    @classmethod
    def of(
        cls, space: Sequence[Parameter], settings: Mapping[str, str], sampler: BaseSampler, *, maximise: bool
    ) -> "HyperbandSuggester":
        """Of an experiment's settings; `OptionsError` where they fit no parameter."""
        names = [parameter.name for parameter in space]
        resource = settings.get("resource_name", "")
        if resource not in names:
            raise OptionsError(f"hyperband: resource_name {resource!r} is no parameter; expected one of {names}")
        made = cls(space, resource, float(settings["r_l"]), float(settings.get("eta", "3")), sampler)
        made._maximise = maximise
        return made

    def _start_bracket(self) -> None:
        count = math.ceil((self._brackets + 1) / (self._bracket + 1) * self._eta**self._bracket)
        self._round = 0
        self._queue = [self._with_resource(self._inner.ask()) for _ in range(count)]

    def _with_resource(self, assignments: Assignments) -> Assignments:
        least = int(self._most * self._eta ** (-self._bracket))
        return {**assignments, self._resource.name: str(int(least * self._eta**self._round))}

    def ask(self) -> Assignments | None:
        """See the base class."""
        if not self._queue:
            return None
        self._running += 1
        return self._queue.pop(0)

    def tell(self, assignments: Assignments, value: float | None) -> None:
        """See the base class. After a restart the rounds begin anew: what was told then is passed over."""
        if not self._running:
            return
        self._running -= 1
        if value is not None:
            self._results.append((value if self._maximise else -value, assignments))
        if not self._running and not self._queue:
            self._next_round()

    def _next_round(self) -> None:
        ranked = [assignments for _, assignments in sorted(self._results, key=lambda pair: -pair[0])]
        self._results = []
        if self._round < self._bracket and ranked:
            self._round += 1
            kept = ranked[: math.ceil(len(ranked) / self._eta)]
            self._queue = [self._with_resource(assignments) for assignments in kept]
        elif self._bracket > 0:
            self._bracket -= 1
            self._start_bracket()

    @property
    def is_exhausted(self) -> bool:
        """Whether the last bracket has come back."""
        return not self._queue and not self._running


def make_suggester(
    algorithm: str, settings: Mapping[str, str], space: Sequence[Parameter], *, maximise: bool
) -> Suggester:
    """The member for Katib's `algorithm`. Raises `OptionsError` for one that cannot run here, with the reason."""
    # goptuna takes numbers that NumPy does not
    seed = int(settings["random_state"]) % (MOST_SEED + 1) if "random_state" in settings else None
    if algorithm == "grid":
        return GridSuggester(space, seed=seed)
    if algorithm in ALGORITHMS:
        space = [_honoured(parameter, algorithm) for parameter in space]
    if algorithm == "hyperband":
        return HyperbandSuggester.of(space, settings, RandomSampler(seed=seed), maximise=maximise)
    if algorithm not in _SAMPLERS:
        reason = _REFUSED.get(algorithm, "it is unknown")
        known = ", ".join([*_SAMPLERS, "grid", "hyperband"])
        raise OptionsError(f"algorithm {algorithm!r} cannot run here: {reason}; expected one of {known}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # Optuna's word for its Sobol sampler; we pin Optuna
        sampler = _SAMPLERS[algorithm](settings, seed)
    return OptunaSuggester(space, sampler, maximise=maximise)


def _honoured(parameter: Parameter, algorithm: str) -> Parameter:
    """The parameter with a distribution that Katib's service for the algorithm draws from: uniform for the others."""
    if parameter.distribution in ALGORITHMS[algorithm].distributions:
        return parameter
    return dataclasses.replace(parameter, distribution="uniform")


def _tpe(settings: Mapping[str, str], seed: int | None) -> BaseSampler:
    share = float(settings["gamma"]) if "gamma" in settings else None
    gamma: dict[str, Any] = {} if share is None else {"gamma": lambda n: math.ceil(share * n)}
    weight = {"prior_weight": float(settings["prior_weight"])} if "prior_weight" in settings else {}
    candidates = int(settings.get("n_EI_candidates", "24"))
    return TPESampler(seed=seed, n_ei_candidates=candidates, n_startup_trials=20, **gamma, **weight)


def _multivariate_tpe(settings: Mapping[str, str], seed: int | None) -> BaseSampler:
    start, candidates = int(settings.get("n_startup_trials", "10")), int(settings.get("n_ei_candidates", "24"))
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=start, n_ei_candidates=candidates)


def _cmaes(settings: Mapping[str, str], seed: int | None) -> BaseSampler:
    sigma = float(settings["sigma"]) if "sigma" in settings else None
    return CmaEsSampler(seed=seed, sigma0=sigma if sigma and sigma > 0 else None)


def _gp(settings: Mapping[str, str], seed: int | None) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=int(settings.get("n_initial_points", "10")))


_SAMPLERS: dict[str, Callable[[Mapping[str, str], int | None], BaseSampler]] = {
    "random": lambda _settings, seed: RandomSampler(seed=seed),
    "tpe": _tpe,
    "multivariate-tpe": _multivariate_tpe,
    "cmaes": _cmaes,
    "sobol": lambda _settings, seed: QMCSampler(qmc_type="sobol", scramble=seed is not None, seed=seed),
    "bayesianoptimization": _gp,
}
_REFUSED = {
    "pbt": "it copies checkpoints between pods through a volume of Katib's own",
    "enas": "it needs Katib's controller network",
    "darts": "it needs a search network of Katib's own",
}


def _distribution(parameter: Parameter) -> BaseDistribution:
    if not parameter.is_numeric:
        return CategoricalDistribution(parameter.choices)
    if parameter.distribution in ("normal", "logNormal"):
        return _UNIT
    log = parameter.distribution == "logUniform"
    # Katib's multivariate-tpe cuts a logarithmic range off there; the other services take none that starts below
    least = max(parameter.least, LEAST_LOGARITHMIC[parameter.kind]) if log else parameter.least
    step = None if log or not parameter.step else min(parameter.step, parameter.most - least) or None
    if parameter.kind == "int":
        return IntDistribution(int(least), int(parameter.most), log=log, step=int(step or 1))
    return FloatDistribution(least, parameter.most, log=log, step=step)


def _text(parameter: Parameter, value: Any) -> str:
    """A sampled value as the text that goes into the trial."""
    if parameter.is_numeric and parameter.distribution in ("normal", "logNormal"):
        value = _normal(parameter).inv_cdf(min(max(float(value), 1e-9), 1 - 1e-9))
        value = math.exp(value) if parameter.distribution == "logNormal" else value
        if parameter.step:
            value = round(value / parameter.step) * parameter.step
        value = round(value) if parameter.kind == "int" else value
    return _shown(parameter, value)


def _normal(parameter: Parameter) -> NormalDist:
    """The distribution of a normal parameter, or of the logarithm of a logNormal one."""
    ends = parameter.least, parameter.most
    least, most = map(math.log, ends) if parameter.distribution == "logNormal" else ends
    return NormalDist((least + most) / 2, (most - least) / _DEVIATIONS or 1e-12)


def _shown(parameter: Parameter, value: Any) -> str:
    return str(int(value)) if parameter.kind == "int" else str(value)


def _parsed(parameter: Parameter, text: str) -> Any:
    """The value behind a text of `_text`, clipped to the range."""
    if not parameter.is_numeric:
        return text
    if parameter.distribution in ("normal", "logNormal"):
        value = math.log(float(text)) if parameter.distribution == "logNormal" else float(text)
        return _normal(parameter).cdf(value)
    value = min(max(float(text), parameter.least), parameter.most)
    return int(value) if parameter.kind == "int" else value


def _key(assignments: Assignments) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(assignments.items()))
