"""What the cfg and the options say about augmentation and sizes, key by key."""

from typing import Any

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import DarknetFormatError, OptionsError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.augmentation_settings import (
    NET_KEYS,
    YOLO_KEYS,
    augmentation_of,
    keys_without_effect,
    network_sizes_of,
)
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions

NO_OPTIONS = TrainingOptions()
SAYS_NOTHING = Augmentation(jitter=0.2, flip=0.5)  # Darknet's defaults: parser.c 449 and 1180


def cfg_of(net: str = "", yolo: str = "", first_yolo: str = "") -> Cfg:
    """A cfg with two heads, which says no more than these lines."""

    def lines(text: str) -> str:
        return "".join(f"{line}\n" for line in text.split())

    return Cfg.parse(
        f"[net]\nwidth=416\nheight=320\n{lines(net)}[convolutional]\nfilters=1\n[yolo]\n{lines(first_yolo)}"
        f"[convolutional]\nfilters=1\n[yolo]\n{lines(yolo)}"
    )


def changed(**values: Any) -> Augmentation:
    return Augmentation(**{"jitter": 0.2, "flip": 0.5, **values})


@pytest.mark.parametrize(
    ("net", "yolo", "expected"),
    [
        ("", "", SAYS_NOTHING),
        ("flip=0", "", changed(flip=0.0)),
        ("flip=1", "", SAYS_NOTHING),
        ("hue=.1 saturation=1.5 exposure=1.4", "", changed(hue=0.1, saturation=1.5, exposure=1.4)),
        ("mosaic=1", "", changed(mosaic=0.5)),
        ("mosaic=1 mosaic_bound=0", "", changed(mosaic=0.5, mosaic_bound=False)),
        ("mosaic=1 mosaic_bound=1", "", changed(mosaic=0.5)),
        ("mixup=1", "", changed(mixup=0.5)),
        ("mixup=3", "", changed(mosaic=0.5)),
        ("mixup=0", "", SAYS_NOTHING),
        ("mosaic=1 mixup=1", "", changed(mosaic=0.5)),  # parser.c: mosaic=1 overwrites net->mixup
        ("blur=1", "", changed(blur=1)),
        ("blur=10 gaussian_noise=100", "", changed(blur=10, gaussian_noise=100)),
        ("", "jitter=.3", changed(jitter=0.3)),
        ("", "resize=1.5", changed(resize=1.5)),
        ("angle=10 aspect=.75 min_crop=10 max_crop=20", "max=90", SAYS_NOTHING),
    ],
)
def test_keys_become_the_augmentation_that_they_name(net: str, yolo: str, expected: Augmentation) -> None:
    assert augmentation_of(NO_OPTIONS, cfg_of(net, yolo)) == expected


def test_the_last_head_says_jitter_resize_and_random_as_in_darknet() -> None:
    cfg = cfg_of(first_yolo="jitter=.4 resize=2 random=1", yolo="jitter=.1")
    assert augmentation_of(NO_OPTIONS, cfg) == changed(jitter=0.1)
    assert not sizes_of(cfg).varies


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("jitter", 0.0),
        ("flip", 0.0),
        ("hue", 0.0),
        ("saturation", 1.0),
        ("exposure", 1.0),
        ("mixup", 0.25),
        ("mosaic", 0.0),
        ("blur", 0),
        ("gaussian_noise", 0),
    ],
)
def test_an_option_goes_before_the_cfg_and_nothing_else_moves(option: str, value: float) -> None:
    cfg = cfg_of("hue=.1 saturation=1.5 exposure=1.4 mosaic=1 blur=5 gaussian_noise=9", "jitter=.3 resize=1.2")
    whole = augmentation_of(NO_OPTIONS, cfg)
    assert getattr(whole, option) != value
    found = augmentation_of(TrainingOptions(**{option: value}), cfg)
    assert vars(found) == {**vars(whole), option: value}


@pytest.mark.parametrize(
    ("options", "net", "mosaic", "mixup"),
    [
        ({"mosaic": 1.0}, "", 1.0, 0.0),
        ({"mosaic": 0.8}, "mixup=1", 0.8, 0.2),  # what is left, at most the half that the cfg asks for
        ({"mosaic": 0.2}, "mixup=1", 0.2, 0.5),
        ({"mixup": 0.3}, "mosaic=1", 0.5, 0.3),
        ({"mosaic": 0.4, "mixup": 0.6}, "", 0.4, 0.6),
    ],
)
def test_shares_of_mosaic_and_mixup(options: dict[str, float], net: str, mosaic: float, mixup: float) -> None:
    found = augmentation_of(TrainingOptions(**options), cfg_of(net))  # type: ignore[arg-type]
    assert (found.mosaic, found.mixup) == pytest.approx((mosaic, mixup))


@pytest.mark.parametrize(
    ("options", "net", "yolo", "error", "message"),
    [
        (
            {},
            "mixup=2",
            "",
            DarknetFormatError,
            r"\[net\]: mixup=2: cutmix is for classifiers; .* take mixup=1, or mosaic",
        ),
        ({}, "mixup=4", "", DarknetFormatError, "mixup=4: cutmix is for classifiers"),
        ({}, "mixup=5", "", DarknetFormatError, "mixup"),
        ({}, "blur=256", "", DarknetFormatError, "blur"),
        ({}, "gaussian_noise=-1", "", DarknetFormatError, "gaussian_noise"),
        ({}, "saturation=0", "", DarknetFormatError, "saturation"),
        ({}, "", "jitter=.6", DarknetFormatError, "jitter"),
        ({}, "", "resize=0", DarknetFormatError, "resize"),
        ({}, "mosaic=1 letter_box=1", "", OptionsError, "mosaic and letter_box=1 exclude each other, .*; set mosaic=0"),
        ({"mosaic": 0.2}, "letter_box=1", "", OptionsError, "mosaic and letter_box=1 exclude each other"),
        ({"mosaic": 0.7, "mixup": 0.4}, "", "", OptionsError, "shares of 1 together at most, found 0.7 and 0.4"),
        ({"mixup": 0.6}, "mosaic=1", "", OptionsError, "shares of 1 together at most, found 0.5 and 0.6"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: dict[str, float], net: str, yolo: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        augmentation_of(TrainingOptions(**options), cfg_of(net, yolo))  # type: ignore[arg-type]


# ---------------------------------------------------------------- sizes


def sizes_of(cfg: Cfg, options: TrainingOptions = NO_OPTIONS, *, stride: int = 32) -> NetworkSizes:
    return network_sizes_of(options, cfg, batch=64, subdivisions=8, max_batches=1000, stride=stride)


@pytest.mark.parametrize(
    ("net", "yolo", "options", "expected"),
    [
        ("", "", {}, {}),
        ("", "random=0", {}, {}),
        ("", "random=1", {}, {"factor": 1.4}),
        ("", "random=1.2", {}, {"factor": 1.2}),
        ("", "random=.5", {}, {"factor": 0.5}),
        ("", "random=1", {"multi_scale": 1.0}, {}),
        ("", "random=1", {"multi_scale": 1.1}, {"factor": 1.1}),
        ("", "", {"multi_scale": 1.3, "seed": 7}, {"factor": 1.3, "seed": 7}),
        ("resize_step=64", "random=1", {}, {"factor": 1.4, "step": 64}),
        ("dynamic_minibatch=1", "random=1", {}, {"factor": 1.4, "dynamic_minibatch": True}),
    ],
)
def test_random_and_its_companions_become_the_sizes_of_the_run(
    net: str, yolo: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    common = {"width": 416, "height": 320, "batch": 64, "subdivisions": 8, "max_batches": 1000, "seed": 0}
    assert sizes_of(cfg_of(net, yolo), TrainingOptions(**options)) == NetworkSizes(**{**common, **expected})


def test_a_step_must_fit_the_network_that_it_is_for() -> None:
    cfg = cfg_of("resize_step=48", "random=1")
    assert sizes_of(cfg, stride=16).step == 48
    with pytest.raises(OptionsError, match="resize_step: expected a multiple of 32, .*, found 48"):
        sizes_of(cfg)


# ---------------------------------------------------------------- what has no effect is said


@pytest.mark.parametrize(
    ("net", "yolo", "sentences"),
    [
        ("angle=10", "", ["[net] angle=10 has no effect on detectors in Darknet, nor here"]),
        ("angle=0 aspect=1 hue=.1", "", []),
        (
            "aspect=.75 min_crop=10 max_crop=20",
            "",
            [
                f"[net] {key} has no effect on detectors in Darknet, nor here"
                for key in ("aspect=.75", "min_crop=10", "max_crop=20")
            ],
        ),
        ("", "max=90", ["[yolo] max=90 every box of a picture is trained, however many"]),
        ("augment_speed=2", "", ["[net] augment_speed=2 has no effect without track=1"]),
        ("contrastive_color=1", "", ["[net] contrastive_color=1 has no effect without contrastive=1"]),
        ("attention=1", "", ["[net] attention=1 has no effect without adversarial_lr"]),
        (
            "mosaic=1 mixup=1",
            "",
            ["[net] mixup=1 has no effect beside mosaic=1, as in Darknet; option mixup sets a share"],
        ),
        (
            "dynamic_minibatch=1",
            "random=0",
            ["[net] dynamic_minibatch=1 has no effect without random=1 in the last [yolo]"],
        ),
        ("dynamic_minibatch=1", "random=1", []),
        ("mixup=1 blur=1 gaussian_noise=1 letter_box=1 flip=0", "jitter=.1 resize=1.5 random=1", []),
    ],
)
def test_keys_that_change_nothing_are_named_in_a_sentence(net: str, yolo: str, sentences: list[str]) -> None:
    assert keys_without_effect(cfg_of(net, yolo)) == sentences


def test_every_treatment_is_one_of_three() -> None:
    assert {key.treatment for key in (*NET_KEYS.values(), *YOLO_KEYS.values())} == {"obeyed", "refused", "ignored"}
