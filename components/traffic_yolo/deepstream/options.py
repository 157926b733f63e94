"""What a user may choose about a validation; the names are those of the command line and of the KFP component."""

from dataclasses import dataclass

from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class ValidateOptions:
    """One validation. Raises `OptionsError` for values that make no sense."""

    split: str = option("test", "Split that is compared.", headline=True)
    require_parity: bool = option(
        False, "Fail, and leave nothing, where the model is beyond the limits of parity, or of the waterfall."
    )
    on_failed_stage: str = option(
        "stop",
        "What follows where a stage of the waterfall is beyond its limits: stop (exit code 1; of a failed task a "
        "server keeps the log alone), or keep (the step succeeds, and its report says it).",
        choices=("stop", "keep"),
    )

    def __post_init__(self) -> None:
        check_options(self)
