"""What options and cfg say about augmentation and sizes, key by key: obeyed, refused, or named as without effect.

The rules are those of Darknet's detector training (parser.c parse_net_options, data.c load_data_detection, detector.c
train_detector). `NET_KEYS` and `YOLO_KEYS` say of each key what becomes of it; `cfg_keys` refuses by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Cfg, Section
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions

SHARE = 0.5  # data.c 1055: with mosaic or mixup every second picture is one
LARGEST_FACTOR = 1.4  # detector.c 180: of random=1
MIXUP, CUTMIX, MOSAIC, MOSAIC_AND_CUTMIX = 1, 2, 3, 4  # parser.c net->mixup


@dataclass(frozen=True)
class DataKey:
    """What becomes of a key: `treatment` is obeyed, refused or ignored; its `neutral` values ask for nothing."""

    treatment: str
    meaning: str
    neutral: tuple[float, ...] = (0,)


NO_DETECTOR = "has no effect on detectors in Darknet, nor here"
NO_CUTMIX = "cutmix is for classifiers; Darknet's detector training switches it off"
NO_SEQUENCES = "training on sequences of frames is not supported"
NO_CONTRASTIVE = "contrastive and unsupervised training are not supported"

NET_KEYS: Mapping[str, DataKey] = {
    "flip": DataKey("obeyed", "half of the pictures are mirrored; flip=0: none", (1,)),
    "hue": DataKey("obeyed", "most that hue turns, share of the circle"),
    "saturation": DataKey("obeyed", "largest factor of saturation", (1,)),
    "exposure": DataKey("obeyed", "largest factor of brightness", (1,)),
    "mosaic": DataKey("obeyed", "half of the pictures are made of four"),
    "mosaic_bound": DataKey("obeyed", "1 or left out: boxes of a mosaic end at its cut; 0: they reach over it", ()),
    "mixup": DataKey("obeyed", "1: half of the pictures are the mean of two; 3: as mosaic=1"),
    "cutmix": DataKey("refused", f"{NO_CUTMIX}; remove it, and take mosaic=1 or mixup=1"),
    "blur": DataKey("obeyed", "a third blurred by so many pixels, a third outside the objects"),
    "gaussian_noise": DataKey("obeyed", "half of the pictures with noise of this deviation"),
    "letter_box": DataKey("obeyed", "pictures keep their aspect"),
    "resize_step": DataKey("obeyed", "sizes drawn by random are its multiples", (32,)),
    "dynamic_minibatch": DataKey("obeyed", "smaller sizes drawn by random take more pictures"),
    "angle": DataKey("ignored", NO_DETECTOR),
    "aspect": DataKey("ignored", NO_DETECTOR, (1,)),
    "min_crop": DataKey("ignored", NO_DETECTOR, ()),
    "max_crop": DataKey("ignored", NO_DETECTOR, ()),
    "track": DataKey("refused", f"{NO_SEQUENCES}; remove it"),
    "time_steps": DataKey("refused", f"{NO_SEQUENCES}; remove it", (1,)),
    "sequential_subdivisions": DataKey("ignored", "has no effect without track=1", ()),
    "augment_speed": DataKey("ignored", "has no effect without track=1", ()),
    "contrastive": DataKey("refused", f"{NO_CONTRASTIVE}; remove it"),
    "unsupervised": DataKey("refused", f"{NO_CONTRASTIVE}; remove it"),
    "contrastive_jit_flip": DataKey("ignored", "has no effect without contrastive=1"),
    "contrastive_color": DataKey("ignored", "has no effect without contrastive=1"),
    "adversarial_lr": DataKey("refused", "adversarial training is not supported; remove it"),
    "attention": DataKey("ignored", "has no effect without adversarial_lr"),
}
YOLO_KEYS: Mapping[str, DataKey] = {
    "jitter": DataKey("obeyed", "most that a side is cut or extended, share of the picture; of the last [yolo]", ()),
    "resize": DataKey("obeyed", "largest factor of the window's size; of the last [yolo]", (1,)),
    "random": DataKey("obeyed", "every ten updates a network size is drawn, by up to this factor (1: 1.4)"),
    "max": DataKey("ignored", "every box of a picture is trained, however many", ()),
}


def keys_without_effect(cfg: Cfg) -> list[str]:
    """Sentences about keys that the cfg gives and that change nothing, for the log, one each."""
    sentences = []
    sections = [(cfg.net, NET_KEYS), (_last_yolo(cfg), YOLO_KEYS)]
    for section, known in sections:
        for name, key in known.items():
            if not section.has(name) or key.treatment != "ignored":
                continue
            if key.neutral and section.get_float(name, 0) in key.neutral:
                continue
            sentences.append(f"[{section.name}] {name}={section.get_str(name, '')} {key.meaning}")
    net = cfg.net
    if net.get_int("mixup", 0) == MIXUP and net.get_int("mosaic", 0):
        sentences.append("[net] mixup=1 has no effect beside mosaic=1, as in Darknet; option mixup sets a share")
    if net.get_int("dynamic_minibatch", 0) and not _last_yolo(cfg).get_float("random", 0):
        sentences.append("[net] dynamic_minibatch=1 has no effect without random=1 in the last [yolo]")
    return sentences


def augmentation_of(options: TrainingOptions, cfg: Cfg) -> Augmentation:
    """Options over cfg over Darknet's defaults; jitter and resize come from the last [yolo], as in Darknet.

    Raises `DarknetFormatError` for a number of the cfg that is none and for a mixup that is no detector's,
    `OptionsError` for combinations that make no sense.
    """
    net, yolo = cfg.net, _last_yolo(cfg)
    mixup_of_cfg = net.get_int("mixup", 0, at_least=0, at_most=MOSAIC_AND_CUTMIX)
    if mixup_of_cfg in (CUTMIX, MOSAIC_AND_CUTMIX):
        raise net.error(f"mixup={mixup_of_cfg}: {NO_CUTMIX}; take mixup=1, or mosaic=1 in its place", key="mixup")

    def chosen(option: float | None, of_cfg: float) -> float:
        return of_cfg if option is None else option

    kind = MOSAIC if net.get_int("mosaic", 0) else mixup_of_cfg
    mosaic = chosen(options.mosaic, SHARE if kind == MOSAIC else 0.0)
    mixup = chosen(options.mixup, min(SHARE if kind == MIXUP else 0.0, 1 - mosaic))
    if mosaic + mixup > 1:
        raise OptionsError(
            f"mosaic and mixup: a picture is one or the other, so expected shares of 1 together at most, found "
            f"{mosaic:g} and {mixup:g}"
        )
    if mosaic and net.get_int("letter_box", 0):
        raise OptionsError("mosaic and letter_box=1 exclude each other, as in Darknet; set mosaic=0")
    return Augmentation(
        jitter=chosen(options.jitter, yolo.get_float("jitter", 0.2, at_least=0, at_most=0.5)),
        resize=yolo.get_float("resize", 1.0, at_least=0.1, at_most=10),
        flip=chosen(options.flip, 0.5 if net.get_int("flip", 1) else 0.0),
        hue=chosen(options.hue, net.get_float("hue", 0.0)),
        saturation=chosen(options.saturation, net.get_float("saturation", 1.0, at_least=0.01)),
        exposure=chosen(options.exposure, net.get_float("exposure", 1.0, at_least=0.01)),
        mosaic=mosaic,
        mosaic_bound=bool(net.get_int("mosaic_bound", 1)),
        mixup=mixup,
        blur=_whole(options.blur, net, "blur"),
        gaussian_noise=_whole(options.gaussian_noise, net, "gaussian_noise"),
    )


def network_sizes_of(
    options: TrainingOptions, cfg: Cfg, *, batch: int, subdivisions: int, max_batches: int, stride: int = 32
) -> NetworkSizes:
    """The sizes of a run: the cfg's, or drawn around it. Raises `OptionsError` as `NetworkSizes` does.

    `batch`, `subdivisions`, `max_batches` as resolved for the run; `stride`: the network's largest.
    """
    net = cfg.net
    random = _last_yolo(cfg).get_float("random", 0.0, at_least=0, at_most=10)
    factor = LARGEST_FACTOR if random == 1.0 else random or 1.0
    step = net.get_float("resize_step", 32, at_least=1)
    return NetworkSizes(
        width=net.get_int("width", 0),
        height=net.get_int("height", 0),
        batch=batch,
        subdivisions=subdivisions,
        max_batches=max_batches,
        seed=options.seed,
        factor=factor if options.multi_scale is None else options.multi_scale,
        step=int(step),
        stride=stride,
        dynamic_minibatch=bool(net.get_int("dynamic_minibatch", 0)),
    )


def _whole(option: int | None, net: Section, key: str) -> int:
    return net.get_int(key, 0, at_least=0, at_most=255) if option is None else option


def _last_yolo(cfg: Cfg) -> Section:
    return next(section for section in reversed(cfg.layers) if section.name == "yolo")
