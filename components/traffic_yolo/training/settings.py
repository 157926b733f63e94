"""The numbers of a run: what the options say, and the recipe or the cfg where they say nothing, each resolved once."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import described, flag_of
from traffic_yolo.pruned_from import is_just_pruned
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.augmentation_settings import augmentation_of
from traffic_yolo.training.batch_norm import BatchNormPolicy
from traffic_yolo.training.cfg_keys import check_keys
from traffic_yolo.training.layer_plan import LayerPlan
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.plan import FineTunePlan
from traffic_yolo.training.recipe import (
    BATCH,
    Known,
    Numbers,
    cfg_numbers,
    darknet_numbers,
    fine_tuning_numbers,
    fine_tuning_plan,
    fine_tuning_updates,
)
from traffic_yolo.training.schedule import Schedule, schedule_of
from traffic_yolo.training.start import starts_whole

MOST_BETWEEN_EVALUATIONS = 1000  # iterations; a killed run loses no more
BETA2 = 0.999  # parser.c: B2
FREEZE_KEYS = ("stopbackward", "dont_update", "train_only_bn", "burnin_update")
EPSILON = {"adam": 1e-6, "adamw": 1e-8, "sgd": 0.0}  # parser.c: eps; PyTorch's for adamw


@dataclass(frozen=True)
class Settings:
    """A run's resolved numbers: nothing in it is left to anybody.

    `batch` pictures an update, run in `subdivisions` equal slices; `max_batches` updates in all; `optimizer` is sgd,
    adam or adamw, `momentum` its beta1 with the latter two; `evaluate_every` counts iterations. `obey_freeze_keys`:
    whether the cfg's stopbackward, dont_update and train_only_bn count beside `plan`.
    """

    recipe: str
    batch: int
    subdivisions: int
    max_batches: int
    schedule: Schedule
    augmentation: Augmentation
    optimizer: str
    momentum: float
    decay: float
    ema_alpha: float
    evaluate_every: int
    plan: FineTunePlan
    batch_norm: BatchNormPolicy
    obey_freeze_keys: bool
    beta2: float = BETA2
    epsilon: float = EPSILON["adamw"]

    def layer_plan(self, network: Network) -> LayerPlan:
        """What each layer of `network` does in each update; raises as `LayerPlan` does."""
        return LayerPlan(
            network,
            plan=self.plan,
            obey_freeze_keys=self.obey_freeze_keys,
            batch_norm=self.batch_norm,
            burn_in=self.schedule.burn_in,
        )


def resolve(options: TrainingOptions, network: Network, *, num_pictures: int) -> Settings:
    """Options over recipe over cfg over Darknet's defaults (parser.c parse_net_options, parse_yolo).

    `num_pictures`: of the training split, 1 where nobody knows yet. jitter and resize come from the last [yolo], as in
    Darknet. Raises `DarknetFormatError` for a number of the cfg that is none, `TrainingError` for a key of it that
    cannot be obeyed (`cfg_keys`), `OptionsError` for combinations that make no sense.
    """
    cfg = network.cfg
    check_keys(cfg)
    net = cfg.net
    has_keys = any(section.get_int(key, 0) for section in cfg.layers for key in FREEZE_KEYS)
    fine_tunes = options.recipe == "default" and starts_whole(options, network)
    just_pruned = fine_tunes and is_just_pruned(options.weights)
    waits = fine_tunes and not has_keys and not just_pruned
    plan = options.plan() or (_recipe_plan(options, num_pictures) if waits else FineTunePlan.parse("all"))
    numbers = _numbers(options, network, plan, num_pictures, fine_tunes=fine_tunes, just_pruned=just_pruned)
    subdivisions = options.subdivisions or numbers.subdivisions
    if numbers.batch % subdivisions:
        raise OptionsError(f"batch: expected a multiple of subdivisions={subdivisions}, found {numbers.batch}")
    ema_alpha = (
        net.get_float("ema_alpha", 0.0, at_least=0, at_most=1) if numbers.ema_alpha is None else numbers.ema_alpha
    )
    adaptive = numbers.optimizer in ("adam", "adamw")
    quarter = -(-numbers.max_batches // 4)
    settings = Settings(
        recipe=options.recipe,
        batch=numbers.batch,
        subdivisions=subdivisions,
        max_batches=numbers.max_batches,
        schedule=schedule_of(
            net,
            max_batches=numbers.max_batches,
            learning_rate=numbers.learning_rate if options.learning_rate is None else options.learning_rate,
            policy=options.policy or numbers.policy,
            burn_in=numbers.burn_in if options.burn_in is None else options.burn_in,
            seed=options.seed,
        ),
        augmentation=augmentation_of(options, cfg),
        optimizer=numbers.optimizer,
        momentum=_or(options.momentum, _momentum_of(network, adaptive=adaptive, recipe=options.recipe)),
        decay=_or(options.decay, net.get_float("decay", 0.0001)),
        ema_alpha=_or(options.ema_alpha, ema_alpha),
        evaluate_every=options.evaluate_every or min(quarter, MOST_BETWEEN_EVALUATIONS),
        plan=plan,
        batch_norm=BatchNormPolicy.parse(options.batch_norm or numbers.batch_norm),
        obey_freeze_keys=options.fine_tune_layers is None and has_keys,
        beta2=net.get_float("B2", BETA2, at_least=0, at_most=1),
        epsilon=net.get_float("eps", EPSILON[numbers.optimizer], at_least=0),
    )
    settings.layer_plan(network)  # refuses layers that the network has not
    return settings


def _recipe_plan(options: TrainingOptions, num_pictures: int) -> FineTunePlan:
    return fine_tuning_plan(options.max_batches or fine_tuning_updates(num_pictures, options.batch or BATCH))


def _numbers(
    options: TrainingOptions,
    network: Network,
    plan: FineTunePlan,
    num_pictures: int,
    *,
    fine_tunes: bool,
    just_pruned: bool,
) -> Numbers:
    net = network.cfg.net
    if options.recipe == "darknet":
        return darknet_numbers(
            net,
            batch=options.batch,
            subdivisions=options.subdivisions,
            max_batches=options.max_batches,
            optimizer=options.optimizer,
        )
    known = Known(num_pictures, network.num_classes, trainable_share(network, plan), just_pruned)
    of_recipe = fine_tuning_numbers if fine_tunes else cfg_numbers
    return of_recipe(net, known, batch=options.batch, max_batches=options.max_batches, optimizer=options.optimizer)


def trainable_share(network: Network, plan: FineTunePlan) -> float:
    """The share of the network's numbers in its weights file that the last stage of a plan trains, in [0, 1]."""
    layers = plan.stages[-1].layers_of(network)
    trained = sum(network.sections[index].num_weights for index in layers)
    return trained / max(network.num_weights, 1)


def _momentum_of(network: Network, *, adaptive: bool, recipe: str) -> float:
    """parser.c: momentum, or B1 beside adam=1."""
    net = network.cfg.net
    momentum = net.get_float("momentum", 0.9, at_least=0, at_most=1)
    if not adaptive:
        return momentum
    return net.get_float("B1", 0.9 if recipe == "darknet" else momentum, at_least=0, at_most=1)


def _or(option: float | None, otherwise: float) -> float:
    return otherwise if option is None else option


def resolved_options(options: TrainingOptions, settings: Settings) -> TrainingOptions:
    """The options with all that was left out filled in: they resolve to the same settings, whatever the data.

    `fine_tune_layers` stays left out where the keys of the cfg say what trains.
    """
    names = {field.name for field in dataclasses.fields(TrainingOptions)}
    values: dict[str, Any] = {
        name: value for name, value in dataclasses.asdict(settings.augmentation).items() if name in names
    }
    values |= {
        name: getattr(settings, name)
        for name in (
            "batch",
            "subdivisions",
            "max_batches",
            "optimizer",
            "momentum",
            "decay",
            "ema_alpha",
            "evaluate_every",
        )
    }
    schedule = settings.schedule
    values |= {"learning_rate": schedule.learning_rate, "policy": schedule.policy, "burn_in": schedule.burn_in}
    values["batch_norm"] = str(settings.batch_norm)
    values["fine_tune_layers"] = None if settings.obey_freeze_keys else str(settings.plan)
    return dataclasses.replace(options, **values)


def settings_text(options: TrainingOptions, settings: Settings) -> str:
    """The resolved options as YAML, one a line: what `--settings` reads, and the run folder's `settings.yaml`."""
    return described(resolved_options(options, settings))


def flags_text(options: TrainingOptions, settings: Settings) -> str:
    """What was left out and is resolved, as flags would spell it: `--batch 16 --max-batches 400 …`."""
    resolved = resolved_options(options, settings)
    found = {
        flag_of(field.name, field): value
        for field in dataclasses.fields(TrainingOptions)
        if getattr(options, field.name) is None and (value := getattr(resolved, field.name)) is not None
    }
    return " ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items()
    )
