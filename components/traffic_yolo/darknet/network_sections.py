"""The sections of a cfg one after the other, with their shapes and sizes; nothing is built, and PyTorch not needed."""

from collections.abc import Iterator, Sequence

from traffic_yolo.darknet.cfg import MAX_LAYERS, Cfg
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.section_types import read_layer_section
from traffic_yolo.darknet.weights import WeightsFile
from traffic_yolo.errors import DarknetFormatError

# The largest published detector (yolov4-p7) has 287 million; this bounds the memory that a slip in a cfg can ask for.
MAX_WEIGHTS = 400_000_000
MAX_CONSTANTS = 10_000_000  # values of antialiasing's kernels: nine a channel, and in no weights file
MAX_NETWORK_SIZE = 16384  # pixels; network width or height


def read_input_shape(cfg: Cfg) -> Shape:
    """Channels, height and width of the network's input; raises `DarknetFormatError` where [net] lacks them."""
    for key in ("width", "height", "channels"):
        if not cfg.net.has(key):
            raise cfg.net.error(f"expected {key}=, found none")
    height, width = (cfg.net.get_int(key, 0, at_least=1, at_most=MAX_NETWORK_SIZE) for key in ("height", "width"))
    return Shape(cfg.net.get_int("channels", 0, at_least=1, at_most=1024), height, width)


def read_sections(cfg: Cfg) -> list[LayerSection]:
    """The section object of every layer, in order; allocates no weights. Raises `DarknetFormatError`."""
    return list(each_section(cfg))


def each_section(cfg: Cfg) -> Iterator[LayerSection]:
    """`read_sections` one after the other: raises at the first layer that cannot be."""
    if not cfg.layers:
        raise DarknetFormatError(f"{cfg.file}: expected layer sections after [net], found none")
    if len(cfg.layers) > MAX_LAYERS:  # a cfg that was built up, not read
        raise DarknetFormatError(f"{cfg.file}: expected at most {MAX_LAYERS} layers, found {len(cfg.layers)}")
    input_shape = read_input_shape(cfg)
    sections: list[LayerSection] = []
    total = constants = 0
    for index, section in enumerate(cfg.layers):
        layer = read_layer_section(section, LayerContext(index, input_shape, sections))
        total += layer.num_weights
        constants += layer.num_constants
        if total > MAX_WEIGHTS:
            found = f"expected at most {MAX_WEIGHTS} weights in the network, found {total} up to here"
            raise section.error(f"{found}; check filters and size")
        if constants > MAX_CONSTANTS:
            found = f"expected blurs of at most {MAX_CONSTANTS} values in the network, found {constants} up to here"
            raise section.error(f"antialiasing: {found}; check the channels", key="antialiasing")
        sections.append(layer)
        yield layer


def count_weights(cfg: Cfg) -> int:
    """float32 values in the .weights file of a cfg's network, which is not built."""
    return sum(section.num_weights for section in read_sections(cfg))


def layers_in(file: WeightsFile, cfg: Cfg, sections: Sequence[LayerSection], *, partial: bool) -> int:
    """How many layers of the cfg the file's values cover; `DarknetFormatError` for a file that does not fit.

    `partial`: a file that ends after a layer will do.
    """
    count, end, total = len(file.values), 0, sum(section.num_weights for section in sections)
    if count == total:
        return len(sections)
    expected = f"expected {file.header.size_bytes + 4 * total} bytes for {cfg.file}"
    message = f"{file.path}: {expected}, found {file.size_bytes} bytes"
    if count > total:
        raise DarknetFormatError(f"{message}; the weights belong to another cfg (other classes or layers?)")
    for section in sections:
        end += section.num_weights
        if end == count and count and partial:
            return next(later.index for later in sections[section.index + 1 :] if later.num_weights)
        if end == count and count:
            raise DarknetFormatError(f"{message}; they end after layer {section.index}: load them with partial")
        if end > count:
            where = f"layer {section.index} [{section.section.name}] (cfg line {section.section.line})"
            raise DarknetFormatError(f"{message}; they end inside {where}: cut short, or made for another cfg")
    raise AssertionError("a file shorter than all layers ends after or inside one of them")
