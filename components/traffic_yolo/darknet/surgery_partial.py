"""The weights of a network's first layers as their own file (`yolov4.conv.137`), as `darknet partial` cuts them."""

from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.weights import WeightsHeader, read_weights, write_weights
from traffic_yolo.errors import DarknetFormatError, OptionsError
from traffic_yolo.storage import AnyPath


@dataclass(frozen=True)
class BackboneCut:
    """A cut after `layers` layers: `num_weights` float32 values, a file of `num_bytes`."""

    layers: int
    num_weights: int
    num_bytes: int


def plan_cut(cfg: Cfg, layers: int) -> BackboneCut:
    """What a cut of the first `layers` layers holds; raises `OptionsError` for more layers than the cfg has."""
    sections = read_sections(cfg)
    if not 1 <= layers <= len(sections):
        raise OptionsError(f"layers: expected 1 to {len(sections)} for {cfg.file}, found {layers}")
    num_weights = sum(section.num_weights for section in sections[:layers])
    if num_weights == 0:
        raise OptionsError(f"layers: the first {layers} of {cfg.file} have no weights; take more")
    return BackboneCut(layers, num_weights, WeightsHeader().size_bytes + 4 * num_weights)


def cut_backbone(cfg: Cfg, weights: AnyPath, layers: int, out: AnyPath) -> BackboneCut:
    """Writes the first `layers` layers of `weights` to `out`, atomically, under Darknet's header with `seen` 0.

    Raises `DarknetFormatError` with both byte counts where the weights are not those of the cfg, whole.
    """
    cut = plan_cut(cfg, layers)
    file = read_weights(weights)
    total = sum(section.num_weights for section in read_sections(cfg))
    if len(file.values) != total:
        expected = f"expected {file.header.size_bytes + 4 * total} bytes for {cfg.file}"
        raise DarknetFormatError(f"{weights}: {expected}, found {file.size_bytes} bytes")
    if file.header.is_transposed and any(section.name == "connected" for section in cfg.layers[:layers]):
        raise DarknetFormatError(
            f"{weights}: [connected] layers of such an old file are transposed; save it anew first"
        )
    write_weights(out, WeightsHeader(seen=0), [file.values[: cut.num_weights]])
    return cut
