"""Lint rules for Darknet itself: where its own paths (CPU, AVX, GPU, fused) compute other things of one cfg.

Found by running a strict CPU build and reading its kernels; what ours follows stands in the messages.
"""

from collections.abc import Iterator

from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import Rule, Subject
from traffic_yolo.darknet.sections.maxpool import MaxpoolSection
from traffic_yolo.darknet.sections.shortcut import ShortcutSection

AVX_WIDTH = 7  # beyond the size of the pool: gemm.c forward_maxpool_layer_avx takes eight outputs at once


def relu6(subject: Subject) -> Iterator[CfgFinding]:
    """activate() of the CPU has no case for relu6, and gives 0."""
    for section in subject.cfg.layers:
        if section.get_str("activation", "") == "relu6":
            yield subject.finding(
                "own-paths",
                "warning",
                section,
                "Darknet's CPU path gives 0 everywhere for activation=relu6, its GPU path min(max(x, 0), 6)",
                "compare on a GPU, or train with another activation",
                key="activation",
            )


def weighted_shortcut(subject: Subject) -> Iterator[CfgFinding]:
    """The weights of a shortcut by relu: the GPU, and inference, which fuses, have a floor of 0.001."""
    for section, layer in zip(subject.cfg.layers, subject.sections, strict=False):
        if isinstance(layer, ShortcutSection) and layer.weights_type != "none" and layer.normalization == "relu":
            yield subject.finding(
                "own-paths",
                "info",
                section,
                "a weight at or below 0 counts 0 on Darknet's CPU path unfused (its training), and 0.001 on the GPU "
                "and wherever batch-norm is fused (test, valid, map)",
                "weights_normalization=softmax is the same on all of them",
                key="weights_normalization",
            )


def narrow_pool(subject: Subject) -> Iterator[CfgFinding]:
    """The AVX build's max-pool of stride 1 drops left neighbours."""
    for section, layer in zip(subject.cfg.layers, subject.sections, strict=False):
        if not isinstance(layer, MaxpoolSection) or layer.depth or layer.antialiasing:
            continue
        if layer.size > 1 and layer.stride_x == layer.stride_y == 1 and layer.output.width > layer.size + AVX_WIDTH:
            yield subject.finding(
                "own-paths",
                "info",
                section,
                f"a CPU build with AVX=1 drops left neighbours of this max-pool (output {layer.output.width} wide); "
                f"AVX=0 and the GPU do not",
                "compare with a build of AVX=0, or on a GPU",
                key="stride",
            )


DARKNET_RULES: dict[str, Rule] = {
    "own-paths-relu6": relu6,
    "own-paths-shortcut": weighted_shortcut,
    "own-paths-maxpool": narrow_pool,
}
