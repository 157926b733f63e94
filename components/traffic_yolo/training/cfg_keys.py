"""What a training here makes of each key of a cfg: obeyed, refused by name, without effect on what is learnt.

The one truth about it: `check_keys` goes by these tables, the table in docs/training.md is held to them by a test, and
so is the list of keys that Darknet reads (`sections.runtimes`). Keys that shape a layer are `darknet`'s to read, and
some of them are refused there already (`sections.refused_keys`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Cfg, Section
from traffic_yolo.darknet.sections.runtimes import words
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.augmentation_settings import NET_KEYS, YOLO_KEYS, DataKey

OBEYED = "obeyed"
REFUSED = "refused"
NO_EFFECT = "no effect"
PASSED_OVER = "passed over by Darknet"
SHAPE = "shapes the network"


@dataclass(frozen=True)
class KeyRule:
    """One rule. `note`: what a reader of the table should know; of a refused key, what to do.

    A refused key is one only with another value than `harmless`, which is how Darknet takes a key that is not there.
    """

    what: str
    note: str = ""
    harmless: float = 0.0


def _all(names: str, rule: KeyRule) -> dict[str, KeyRule]:
    return dict.fromkeys(sorted(words(names)), rule)


def _of_data(keys: Mapping[str, DataKey]) -> dict[str, KeyRule]:
    """The rules of augmentation, which has its own table."""
    what = {"obeyed": OBEYED, "refused": REFUSED, "ignored": NO_EFFECT}
    return {
        name: KeyRule(what[key.treatment], key.meaning, key.neutral[0] if key.neutral else 0.0)
        for name, key in keys.items()
    }


_OF_RECIPE = "by recipe darknet and without start weights; a fine-tuning has the recipe's unless the option is given"

NET: Mapping[str, KeyRule] = {
    **_all("width height channels inputs", KeyRule(SHAPE)),
    **_all("batch subdivisions max_batches burn_in learning_rate policy", KeyRule(OBEYED, _OF_RECIPE)),
    **_all(
        "power steps scales step scale gamma learning_rate_min sgdr_cycle sgdr_mult", KeyRule(OBEYED, "its policy's")
    ),
    **_all("momentum decay ema_alpha", KeyRule(OBEYED)),
    "adam": KeyRule(OBEYED, "Adam with recipe darknet, AdamW otherwise"),
    **_all("B1 B2 eps", KeyRule(OBEYED, "of adam and adamw")),
    **_of_data(NET_KEYS),
    **_all(
        "equidistant_point badlabels_rejection_percentage num_sigmas_reject_badlabels",
        KeyRule(OBEYED, "with loss darknet"),
    ),
    "seq_scales": KeyRule(REFUSED, "it changes the length of sequences; remove it"),
    "weights_reject_freq": KeyRule(REFUSED, "it throws updates of weights away at random; remove it"),
    "try_fix_nan": KeyRule(REFUSED, "a loss that is no number stops a training here; remove it"),
    "label_smooth_eps": KeyRule(NO_EFFECT, "for classifiers; [yolo] has one of its own"),
    **_all(
        "optimized_memory workspace_size_limit_MB use_cuda_graph max_chart_loss show_receptive_field loss_scale",
        KeyRule(NO_EFFECT, "how Darknet computes or draws"),
    ),
}

EVERY_LAYER: Mapping[str, KeyRule] = {
    **_all("stopbackward dont_update train_only_bn burnin_update", KeyRule(OBEYED, "unless fine_tune_layers is given")),
    "learning_rate": KeyRule(OBEYED, "multiplies the run's rate in this layer", harmless=1),
    "onlyforward": KeyRule(REFUSED, "it keeps gradients from going back through this layer; remove it"),
    "clip": KeyRule(REFUSED, "it cuts the layer's weights after each update; remove it"),
    **_all("dontload dontloadscales", KeyRule(REFUSED, "the file's weights would be left out; cut the file instead")),
}

_KERNELS = "the kernels of this layer would be others in training; remove it"
CONVOLUTIONAL: Mapping[str, KeyRule] = {
    **_all(
        "activation antialiasing dilation filters groups pad padding share_index size stride stride_x stride_y",
        KeyRule(SHAPE),
    ),
    "batch_normalize": KeyRule(
        OBEYED, "1; 2 gathers statistics over the subdivisions: write 1, and subdivisions=1 in [net]"
    ),
    "cbn": KeyRule(
        REFUSED, "it gathers statistics over the subdivisions; write batch_normalize=1, and subdivisions=1 in [net]"
    ),
    **_all("xnor binary bin_output sway rotate stretch stretch_sway coordconv flipped", KeyRule(REFUSED, _KERNELS)),
    "assisted_excitation": KeyRule(REFUSED, "it adds the truth to the layer's output in training; remove it"),
    "grad_centr": KeyRule(REFUSED, "it takes the mean from gradients; remove it"),
    **_all("dot reverse angle", KeyRule(REFUSED, _KERNELS)),
    **_all("stream wait_stream", KeyRule(NO_EFFECT, "how a GPU runs the layer")),
}

YOLO: Mapping[str, KeyRule] = {
    **_all("mask anchors classes num scale_x_y new_coords", KeyRule(SHAPE)),
    **_all(
        "ignore_thresh truth_thresh iou_thresh iou_thresh_kind iou_loss iou_normalizer obj_normalizer cls_normalizer "
        "delta_normalizer max_delta objectness_smooth label_smooth_eps focal_loss counters_per_class",
        KeyRule(OBEYED, "by the loss"),
    ),
    **_of_data(YOLO_KEYS),
    **_all("nms_kind beta_nms", KeyRule(NO_EFFECT, "for detecting")),
    "embedding_layer": KeyRule(REFUSED, "it trains to tell objects of a video apart; remove it"),
    **_all(
        "track_history_size sim_thresh dets_for_show dets_for_track track_ciou_norm",
        KeyRule(NO_EFFECT, "for tracking"),
    ),
    "map": KeyRule(REFUSED, "it orders classes by a file; train with the classes of the data set"),
    "show_details": KeyRule(NO_EFFECT, "what Darknet prints"),
}

SECTIONS: Mapping[str, Mapping[str, KeyRule]] = {"net": NET, "convolutional": CONVOLUTIONAL, "yolo": YOLO}


def rule_of(section_name: str, key: str) -> KeyRule | None:
    """The rule of a key in a section; None for a section whose keys only shape the network, or that is not trained.

    A key that no table has is one that Darknet passes over as well.
    """
    if key in EVERY_LAYER and section_name != "net":
        return EVERY_LAYER[key]
    if section_name not in SECTIONS:
        return None
    return SECTIONS[section_name].get(key, KeyRule(PASSED_OVER))


def check_keys(cfg: Cfg) -> None:
    """Raises `TrainingError` naming file, line and key for the first key that a training here cannot obey."""
    for section in (cfg.net, *cfg.layers):
        for key in section.keys():  # noqa: SIM118  (a method, not a dict's)
            rule = rule_of(section.name, key)
            if rule is not None and rule.what == REFUSED and not _is_harmless(section, key, rule):
                raise TrainingError(str(section.error(_refusal(section, key, rule.note), key=key)))
        if section.name == "convolutional" and section.get_int("batch_normalize", 0) == 2:
            raise TrainingError(
                str(
                    section.error(
                        _refusal(section, "batch_normalize", CONVOLUTIONAL["cbn"].note), key="batch_normalize"
                    )
                )
            )


def _refusal(section: Section, key: str, note: str) -> str:
    return f"{key}={section.get_str(key, '')[:40]} cannot be obeyed in training: {note}"


def _is_harmless(section: Section, key: str, rule: KeyRule) -> bool:
    try:
        return float(section.get_str(key, "0")) == rule.harmless
    except ValueError:
        return False
