"""What a user may choose about the front of a compression's trials; the names are those of the command line."""

from dataclasses import dataclass

from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class FrontOptions:
    """Which numbers are held against each other, and how much AP may be given for a smaller one."""

    metric: str = option("map", "What is to be high: COCO AP, or AP at IoU 0.50.", choices=("map", "map50"))
    cost_of: str = option(
        "latency_ms", "What is to be low, where a front is drawn.", choices=("latency_ms", "bflops", "weights")
    )
    tolerance: float = option(
        0.01,
        "Without a limit of the latency: how far below the best one a trial may be that costs less.",
        least=0,
        most=1,
    )
    judged_by: str = option(
        "", "Name of one judgement (model, data set, table of layers), where the store holds trials of several."
    )

    def __post_init__(self) -> None:
        check_options(self)
