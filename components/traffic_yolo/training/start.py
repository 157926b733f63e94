"""The network that a training starts from: cfg, size, classes, and weights that are whole, cut or random.

Knows the combinations and says what to do about those that do not fit; reading and surgery are `darknet`'s.
"""

import logging
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import count_weights
from traffic_yolo.darknet.rgb_input import require_rgb
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.surgery import change_classes, class_parents, keep_schedule
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import DarknetFormatError, OptionsError, StorageError, TrainingError
from traffic_yolo.messages import shown_names
from traffic_yolo.storage import existing_path
from traffic_yolo.training.options import TrainingOptions

DEFAULT_CFG = "traffic-small.cfg"
START_OBJECTNESS = 0.01  # Lin et al. 2017, 4.1: most cells are background; a start at one half drowns the first updates
HEAD_STD = 0.01  # of the kernels before a head without trained weights, ibid.

log = logging.getLogger(__name__)


def start_network(options: TrainingOptions, classes: Sequence[str]) -> Network:
    """The network for `classes` with the weights that the options ask for.

    Without weights, kernels are Darknet's random ones and every head starts with objectness 0.01 and equal class
    probabilities; layers that a backbone cut does not cover start the same way. Raises `DarknetFormatError`,
    `OptionsError`, `StorageError` or `TrainingError`.
    """
    cfg = read_cfg(options)
    if not options.weights:
        return random_network(cfg_for_classes(cfg, len(classes)), seed=options.seed)
    path = existing_path(options.weights, what="weights")
    if options.weights_names:
        return _from_other_classes(cfg, path, options, classes)
    return _from_same_classes(cfg, path, classes, seed=options.seed)


def carried_classes(options: TrainingOptions, network: Network, classes: Sequence[str]) -> tuple[str, ...]:
    """Those of `classes` whose rows come from the start weights: by their name, in capitals or not, or by a seed.

    None without weights, or with a backbone cut.
    """
    if not options.weights:
        return ()
    if options.weights_names:
        names = read_names(options.weights_names)
        parents = class_parents(len(names), names, classes, renames={}, seeds=options.seeds_of_classes())
        return tuple(name for name, parent in zip(classes, parents, strict=True) if parent is not None)
    return tuple(classes) if starts_whole(options, network) else ()


def starts_whole(options: TrainingOptions, network: Network) -> bool:
    """Whether the options name weights that cover all of `network`, and not none or a backbone cut."""
    if not options.weights or options.weights_names:
        return bool(options.weights)
    path = existing_path(options.weights, what="weights")
    return path.stat().st_size >= 4 * network.num_weights


def read_cfg(options: TrainingOptions) -> Cfg:
    """The cfg of the options, or the package's own, with the options' width and height."""
    if options.cfg:
        cfg = Cfg.read(existing_path(options.cfg, what="cfg"))
    else:
        text = resources.files("traffic_yolo.training").joinpath("cfg", DEFAULT_CFG).read_text(encoding="utf-8")
        cfg = Cfg.parse(text, file=DEFAULT_CFG)
    for key, value in (("width", options.width), ("height", options.height)):
        if value:
            cfg.net.set(key, value)
    require_rgb(cfg)
    for section in cfg.layers:
        if section.name in ("Gaussian_yolo", "region"):
            where = f"{cfg.file} line {section.line}"
            raise TrainingError(f"{where}: [{section.name}] cannot be trained here; take [yolo] heads")
    return cfg


def cfg_for_classes(cfg: Cfg, num_classes: int) -> Cfg:
    """A copy of the cfg with `classes` of every [yolo], and `filters` of the convolution before it, set."""
    changed = cfg.copy()
    for index, section in enumerate(changed.layers):
        if section.name != "yolo" or section.get_int("classes", 20) == num_classes:
            continue
        before = changed.layers[index - 1] if index else section
        if before.name != "convolutional":
            raise section.error("expected a [convolutional] before [yolo] to change classes")
        num_anchors = len(section.get_ints("mask")) or section.get_int("num", 1)
        section.set("classes", num_classes)
        section.remove("counters_per_class")  # counts of the old classes
        before.set("filters", num_anchors * (5 + num_classes))
    return changed


def class_change(options: TrainingOptions, classes: Sequence[str], carried: Sequence[str]) -> str:
    """What becomes of heads that the cfg has for another number of classes, in a sentence; "" where it has not.

    `carried`: those of `carried_classes`. The package's own cfg is for any number.
    """
    if not options.cfg:
        return ""
    cfg = read_cfg(options)
    counts = {section.get_int("classes", 20) for section in cfg.layers if section.name == "yolo"}
    if counts <= {len(classes)}:
        return ""
    stated = " and ".join(str(count) for count in sorted(counts))
    others = ", others at random" if len(carried) < len(classes) else ""
    start = f"; {shown_names(carried)} from the weights{others}" if carried else ", at random"
    return (
        f"classes: {cfg.file} has heads for {stated}, the data set has {len(classes)} ({shown_names(classes)}): the "
        f"heads are made anew for these{start}"
    )


def random_network(cfg: Cfg, *, seed: int) -> Network:
    """The network of a cfg with random weights, its heads prepared as `start_network` says."""
    network = Network.from_cfg(cfg, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for head in network.heads:
            section = network.sections[head.layer_index - 1]
            if not isinstance(section, ConvolutionalSection):
                continue
            arrays = dict(section.weights(network.layers[head.layer_index - 1]))
            arrays["kernels"].normal_(0, HEAD_STD, generator=generator)
            biases = arrays["biases"].view(head.num_anchors, 5 + head.num_classes)  # (A, 5 + C)
            biases[:, :4] = 0
            biases[:, 4] = _logit(START_OBJECTNESS)
            biases[:, 5:] = _logit(1 / max(head.num_classes, 2))
    return network


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def read_names(location: str) -> list[str]:
    """The class names in a file, one a line, empty lines left out; raises `OptionsError` for a file without any."""
    path = existing_path(location, what="weights_names")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"weights_names cannot be read as text: {path}") from error
    if not names:
        raise OptionsError(f"weights_names: {path} has no names; expected one a line")
    return names


def _from_other_classes(cfg: Cfg, path: Path, options: TrainingOptions, classes: Sequence[str]) -> Network:
    """Whole weights for the classes of a names file, changed to `classes` where they are others."""
    names = read_names(options.weights_names)
    network = Network.from_cfg(cfg_for_classes(cfg, len(names)), seed=options.seed)
    try:
        network.load_weights(path)
    except DarknetFormatError as error:
        raise TrainingError(f"{error}; weights_names has {len(names)} classes{_other_count(cfg, path)}") from error
    if list(classes) == names and not options.class_seeds:
        return network
    changed = change_classes(network, names, classes, seeds=options.seeds_of_classes(), seed=options.seed)
    keep_schedule(cfg, changed.cfg)
    log.info("weights %s: heads changed from %d to %d classes", path, len(names), len(classes))
    return changed


def _from_same_classes(cfg: Cfg, path: Path, classes: Sequence[str], *, seed: int) -> Network:
    """Whole weights for as many classes as `classes`, or a backbone cut."""
    network = random_network(cfg_for_classes(cfg, len(classes)), seed=seed)
    try:
        loaded = network.load_weights(path, partial=True)
    except DarknetFormatError as error:
        hint = _other_count(cfg, path)
        if not hint:
            raise
        expected = f"the data set has {len(classes)} classes ({', '.join(classes)})"
        advice = "give the file of their class names as weights_names, and the rows of classes with one name are kept"
        raise TrainingError(f"weights {path}: {expected}{hint}; {advice}") from error
    if loaded.loaded_layers < len(network.sections):
        log.info("weights %s: layers 0 to %d; the others start at random", path, loaded.loaded_layers - 1)
    network.header = None  # `seen` counts this training's pictures
    return network


def _other_count(cfg: Cfg, path: Path) -> str:
    """', but the file fits this cfg with N classes' where that is so, else nothing.

    A network's size grows by the same number of values with each class.
    """
    one, two = (count_weights(cfg_for_classes(cfg, count)) for count in (1, 2))
    count, rest = divmod(len(read_weights(path).values) - one, two - one)
    return f", but the file fits this cfg with {count + 1} classes" if rest == 0 and count >= 0 else ""
