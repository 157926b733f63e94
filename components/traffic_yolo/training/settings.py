"""The numbers of a run: what the options say, and the cfg where they say nothing, each resolved once."""

from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.schedule import Schedule, schedule_of

MOSAIC_SHARE = 0.5  # data.c: with mosaic=1 every second picture is one
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

    jitter and resize come from the last [yolo], as in Darknet. Raises `DarknetFormatError` for a number of the cfg that
    is none, `OptionsError` for combinations that make no sense.
    """
    net = cfg.net
    yolo = next(section for section in reversed(cfg.layers) if section.name == "yolo")

    def chosen(option: float | None, of_cfg: float) -> float:
        return of_cfg if option is None else option

    mosaic = MOSAIC_SHARE if net.get_int("mosaic", 0) else 0.0
    augmentation = Augmentation(
        jitter=chosen(options.jitter, yolo.get_float("jitter", 0.2, at_least=0, at_most=0.5)),
        resize=yolo.get_float("resize", 1.0, at_least=0.1, at_most=10),
        flip=chosen(options.flip, 0.5 if net.get_int("flip", 1) else 0.0),
        hue=chosen(options.hue, net.get_float("hue", 0.0)),
        saturation=chosen(options.saturation, net.get_float("saturation", 1.0)),
        exposure=chosen(options.exposure, net.get_float("exposure", 1.0)),
        mosaic=chosen(options.mosaic, mosaic),
    )
    if augmentation.mosaic and net.get_int("letter_box", 0):
        raise OptionsError("mosaic and letter_box=1 exclude each other, as in Darknet; set mosaic=0")
    quarter = -(-options.max_batches // 4)
    return Settings(
        schedule=schedule_of(net, options),
        augmentation=augmentation,
        optimizer=options.optimizer or ("adamw" if net.get_int("adam", 0) else "sgd"),
        momentum=chosen(options.momentum, net.get_float("momentum", 0.9)),
        decay=chosen(options.decay, net.get_float("decay", 0.0001)),
        ema_alpha=chosen(options.ema_alpha, net.get_float("ema_alpha", 0.0)),
        evaluate_every=options.evaluate_every or min(quarter, MOST_BETWEEN_EVALUATIONS),
    )
