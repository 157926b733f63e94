"""What each runtime reads of a section type, as data that the section's class carries and the lint rules go by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DARKNET, DEEPSTREAM, ONNX, OPENCV = "darknet", "deepstream-yolo", "onnx", "opencv"


@dataclass(frozen=True)
class Reads:
    """One runtime's view of one section type.

    `required`: keys without which it stops. `passed_over`: keys that change the layer in Darknet and that it does not
    read, each with the value that makes no difference. `other_defaults`: keys that may be left out, where it then takes
    the value given here and Darknet another one.
    """

    required: tuple[str, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)
    other_defaults: Mapping[str, str] = field(default_factory=dict)


def read_by(*required: str, deepstream: Reads | None = None, opencv: Reads | None = None) -> Mapping[str, Reads]:
    """Runtime -> `Reads`: Darknet and our exporter know every section type; the other two where they are given.

    All of them need the keys `required`.
    """
    views = {DARKNET: Reads(), DEEPSTREAM: deepstream, ONNX: Reads(), OPENCV: opencv}
    return {
        name: Reads((*required, *view.required), view.passed_over, view.other_defaults)
        for name, view in views.items()
        if view is not None
    }


def words(text: str) -> frozenset[str]:
    """The words of a text, for tables of names."""
    return frozenset(text.split())


# parser.c parse_network_cfg_custom reads these of every layer.
COMMON_KEYS = words(
    "burnin_update clip dont_update dontload dontloadscales learning_rate onlyforward stopbackward train_only_bn"
)
# parser.c parse_net_options. Nearly all are for training; `inputs` is for networks without pictures.
NET_KEYS = words(
    "B1 B2 adam adversarial_lr angle aspect attention augment_speed badlabels_rejection_percentage batch blur burn_in "
    "channels contrastive contrastive_color contrastive_jit_flip cutmix decay dynamic_minibatch ema_alpha eps "
    "equidistant_point exposure flip gamma gaussian_noise height hue inputs label_smooth_eps learning_rate "
    "learning_rate_min letter_box loss_scale max_batches max_chart_loss max_crop min_crop mixup momentum mosaic "
    "mosaic_bound num_sigmas_reject_badlabels optimized_memory policy power resize_step saturation scale scales "
    "seq_scales sequential_subdivisions sgdr_cycle sgdr_mult show_receptive_field step steps subdivisions time_steps "
    "track try_fix_nan unsupervised use_cuda_graph weights_reject_freq width workspace_size_limit_MB"
)

# parser.c reads these by atoi, wherever they stand: a whole number ends at the first character that is no digit.
WHOLE_NUMBER_KEYS = words(
    "absolute adam antialiasing atoms attention batch batch_normalize bias_match bin_output binary blur burn_in "
    "burnin_update channels classes classfix contrastive coordconv coords counters_per_class cutmix dilation "
    "dont_update dontload dontloadscales dropblock dynamic_minibatch embedding_layer equidistant_point filters flip "
    "flipped focal_loss from gaussian_noise group_id groups height inputs layers letter_box logistic mask max "
    "max_batches max_crop maxpool_depth maxpool_zero_nonmax min_crop mixup mosaic mosaic_bound new_coords num "
    "objectness_smooth onlyforward optimized_memory out_channels output pad padding rescore rotate scale_wh "
    "sequential_subdivisions sgdr_cycle sgdr_mult share_index show_details side size softmax sqrt step steps "
    "stopbackward stretch stretch_sway stride stride_x stride_y subdivisions sway time_steps track train_only_bn "
    "try_fix_nan unsupervised use_cuda_graph weights_reject_freq width xnor"
)
