"""Whether a training could start: what `train` refuses of cfg, weights and classes, before there is a data set."""

from collections.abc import Sequence

from traffic_yolo.training.fake_quantise import quantise, read_quantisers
from traffic_yolo.training.loss import check_heads
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import resolve
from traffic_yolo.training.sparsity import Sparsity, check_trainable
from traffic_yolo.training.start import start_network
from traffic_yolo.training.teacher import check_teacher


def check_start(options: TrainingOptions, classes: Sequence[str]) -> None:
    """Builds the network that a training for `classes` would start from, and drops it.

    Raises what `start_network` raises for a cfg and weights that do not fit each other or the classes, and for class
    seeds of classes that are not there; `TrainingError` or `OptionsError` for heads, layers to train or settings that
    the cfg does not allow.
    """
    network = start_network(options, classes)
    check_heads(network.heads, network.cfg.net, kind=options.loss)
    if options.quantisers:
        quantise(network, read_quantisers(options.quantisers))
    settings = resolve(options, network, num_pictures=1)
    if options.sparsity:
        sparsity = Sparsity(network, strength=options.sparsity, kind=options.sparsity_kind)
        check_trainable(sparsity, settings.layer_plan(network))
    if options.teacher:
        check_teacher(options.teacher, network, classes)
