"""What a user may choose about pruning; the names are those of the command line and the component."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME
from traffic_yolo.options import check_options, option

CHANNELS, REGULAR, BLOCKS = "channels", "regular", "blocks"
IMPORTANCES = AUTO, SCALE, L1, TAYLOR, OBS, RANDOM = "auto", "scale", "l1", "taylor", "obs", "random"
BY_LOSS = (AUTO, TAYLOR, OBS)  # go by what a training's loss says of the data set's pictures
GLOBAL, PER_LAYER = "global", "per_layer"
RUNTIME = "pytorch"  # whose milliseconds a table of layers holds
# Options of a training that goes on from a pruned model -> the file in its folder
START_FILES = {"cfg": CFG_NAME, "weights": WEIGHTS_NAME, "weights_names": CLASSES_NAME}
# Shares of a layer that stay by default. obs weighs each layer as if those before it were whole. That is far from true
# where they lose most of their channels, so it takes more than half of a layer only where it must
KEPT = (0.1,)
KEPT_BY_OBS = (0.5, 0.4, 0.3, 0.2, 0.1)
REGULAR_MULTIPLE = 8  # channels: what tensor cores and AVX-512 take at a time


@dataclass(frozen=True)
class ParentChoice:
    """Which model the pipeline makes smaller: Darknet's files, or else a version of the zoo that it publishes to."""

    cfg: str = option(
        "", "Darknet .cfg file of the model to prune; empty: a version of the zoo.", headline=True, location="read"
    )
    weights: str = option("", "Its Darknet .weights, whole.", headline=True, location="read")
    weights_names: str = option(
        "", "File with the class names that the weights were trained for, one a line.", headline=True, location="read"
    )
    class_seeds: str = option(
        "",
        "Classes of the data set and those of the model that stand for them, where names differ: "
        "LONG_TRUCK=truck,MOTORCYCLE=motorbike.",
        headline=True,
    )
    version: str = option("", "Version of the model in the zoo; empty: the one in use.", headline=True)

    def __post_init__(self) -> None:
        check_options(self)
        if self.cfg and self.version:
            raise OptionsError("version: a name in a zoo; cfg names another model, leave one of them out")


@dataclass(frozen=True)
class PruneOptions:
    """One pruning. Raises `OptionsError` for values that make no sense."""

    prune_kind: str = option(
        CHANNELS,
        "What goes: single channels; channels such that each layer keeps a multiple of 8 (regular), which runs faster; "
        "or whole residual blocks.",
        choices=(CHANNELS, REGULAR, BLOCKS),
        headline=True,
    )
    prune_ratio: float = option(
        0.5, "Share of the channels (or blocks) that may go which goes.", least=0, most=0.99, headline=True
    )
    bflops_ratio: float | None = option(
        None,
        "Share of the BFLOPs to save, in the place of prune_ratio: .3 is 30 % fewer.",
        least=0,
        most=0.99,
        headline=True,
    )
    latency_ms: float | None = option(
        None,
        "Milliseconds a picture that the pruned network may take here (PyTorch, by a table of layers measured "
        "on this machine), in the place of prune_ratio.",
        least=0.001,
        headline=True,
    )
    latency_table: str = option(
        "",
        "Table of layers that compress measure wrote, in the place of one measured now: it predicts the milliseconds, "
        "so that all who use it are judged by one measurement.",
        location="read",
    )
    importance: str = option(
        AUTO,
        "What says that a channel matters: the scale of its batch-norm, the L1 norm of its kernels, what the loss "
        "would lose with it on training pictures (taylor), what it would lose after the other channels stood in for "
        "it (obs), or a draw (random, to compare with). auto: with a data set of the model's classes obs, or taylor of "
        "blocks and without refit_pictures; else scale.",
        choices=IMPORTANCES,
        headline=True,
    )
    prune_scope: str = option(
        GLOBAL, "Whether channels are ranked over the whole network or in each layer.", choices=(GLOBAL, PER_LAYER)
    )
    keep_at_least: float | None = option(
        None,
        "Share of each layer's channels that stays whatever its rank; by default .5 with importance obs, less where "
        "what is asked for needs it, and .1 with the others.",
        least=0,
        most=1,
    )
    exact_only: bool = option(
        False, "Take out no channel whose remaining value cannot be carried on exactly (padded 3 x 3 readers)."
    )
    reestimate_pictures: int = option(
        64,
        "Pictures of the split train on which batch-norm statistics are measured anew, with a data set; 0: none.",
        least=0,
    )
    refit_pictures: int = option(
        64,
        "Pictures of the split train by which the kernels that are left are fitted to stand in for what went, and "
        "importance obs weighs that, with a data set; 0: no kernel is fitted.",
        least=0,
    )
    prune_seed: int = option(0, "Of the importance random and of the draw of pictures.", least=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.bflops_ratio is not None and self.latency_ms is not None:
            raise OptionsError("bflops_ratio: latency_ms is another goal; leave one of them out")
        if self.prune_kind == BLOCKS and self.latency_ms is not None:
            raise OptionsError("latency_ms: the table is one of channels; give blocks a prune_ratio or bflops_ratio")
        if self.prune_kind == BLOCKS and self.importance == OBS:
            raise OptionsError("importance=obs: ranks channels by what others stand in for; give blocks taylor")
        if self.prune_kind == BLOCKS and self.prune_scope == PER_LAYER:
            raise OptionsError("prune_scope: per_layer ranks channels; blocks are ranked over the network")
