"""What a user may choose about an evaluation; the names are those of the command line and of the KFP component."""

from dataclasses import dataclass

from traffic_yolo.dataset.pictures.choice import PictureChoice
from traffic_yolo.metrics.coco_settings import ENGINES
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class EvaluateOptions(PictureChoice):
    """One evaluation. Raises `OptionsError` for values that make no sense."""

    split: str = option("test", "Split that the metrics are of.", headline=True)
    also: tuple[str, ...] = option((), "Another split to detect on: tune reads val and test.")
    trained_on: tuple[str, ...] = option(
        (),
        "What the weights were trained on: a data set folder, coco, coco/train2017 or coco/val2017.",
        location="read",
    )
    engine: str = option("fast", "What computes COCO's numbers.", choices=ENGINES)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class EvaluationPlanOptions:
    """How the evaluation of a pipeline is cut, and how far it goes. Raises `OptionsError` for what makes no sense."""

    shards: int = option(
        1, "How many parts the pictures of a split are cut into, detected side by side.", least=1, headline=True
    )
    last_step: str = option(
        "evaluate",
        "How far it goes: evaluate, tune (and choose thresholds on the validation split), validate (and compare with "
        "DeepStream's rules) or deepstream (and run the real one on a node with a GPU).",
        choices=("evaluate", "tune", "validate", "deepstream"),
        headline=True,
    )

    def __post_init__(self) -> None:
        check_options(self)
