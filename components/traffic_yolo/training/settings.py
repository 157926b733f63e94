"""The numbers of a run: what the options say, and the cfg where they say nothing, each resolved once."""

from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.augmentation_settings import augmentation_of
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.schedule import Schedule, schedule_of

MOST_BETWEEN_EVALUATIONS = 1000  # iterations; a killed run loses no more


@dataclass(frozen=True)
class Settings:
    """A run's resolved numbers; `optimizer` is sgd or adamw, `evaluate_every` counts iterations."""

    schedule: Schedule
    augmentation: Augmentation
    optimizer: str
    momentum: float
    decay: float
    ema_alpha: float
    evaluate_every: int


def resolve(options: TrainingOptions, cfg: Cfg) -> Settings:
    """Options over cfg over Darknet's defaults (parser.c parse_net_options, parse_yolo).

    Raises `DarknetFormatError` for a number of the cfg that is none or a key that is refused, `OptionsError` for
    combinations that make no sense.
    """
    net = cfg.net

    def chosen(option: float | None, of_cfg: float) -> float:
        return of_cfg if option is None else option

    quarter = -(-options.max_batches // 4)
    return Settings(
        schedule=schedule_of(net, options),
        augmentation=augmentation_of(options, cfg),
        optimizer=options.optimizer or ("adamw" if net.get_int("adam", 0) else "sgd"),
        momentum=chosen(options.momentum, net.get_float("momentum", 0.9)),
        decay=chosen(options.decay, net.get_float("decay", 0.0001)),
        ema_alpha=chosen(options.ema_alpha, net.get_float("ema_alpha", 0.0)),
        evaluate_every=options.evaluate_every or min(quarter, MOST_BETWEEN_EVALUATIONS),
    )
