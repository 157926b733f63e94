"""What a user may choose about a search by Katib; the names are those of the KFP component."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class SearchTaskOptions:
    """One Experiment that a task runs to its end. Raises `OptionsError` for values that make no sense."""

    experiment: str = option(
        dataclasses.MISSING,
        "The Experiment as YAML text, or where its file is (a path, nas:// or s3://).",
        headline=True,
    )
    namespace: str = option("", "Where it runs; empty: the task's own.", headline=True)
    timeout_hours: float = option(24.0, "Longest time to wait, since it was made.", least=0, headline=True)
    keep: bool = option(True, "Whether the Experiment and its trials stay on the cluster.", headline=True)
    ignore: tuple[str, ...] = option((), "A rule of `katib check` that does not count, by its name.", headline=True)

    def __post_init__(self) -> None:
        check_options(self)
        if self.timeout_hours == 0:
            raise OptionsError("timeout_hours: expected a time above 0, found 0")
