"""How fast a compressed network must be, and what that makes of its AP in one number."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class LatencyLimit:
    """The limit of a network's latency; none where both are None. Raises `OptionsError` where both are given."""

    most_latency_ms: float | None = option(None, "Milliseconds a picture that a network may take at most.", least=0.001)
    most_latency_share: float | None = option(
        None, "The same as a share of what the whole network takes: .6 is 40 % less.", least=0.001, most=1
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.most_latency_ms is not None and self.most_latency_share is not None:
            raise OptionsError("most_latency_share: most_latency_ms is another limit; leave one of them out")

    def milliseconds(self, whole_ms: float) -> float | None:
        """The limit in milliseconds a picture where the whole network takes `whole_ms`; None without one."""
        return self.most_latency_ms if self.most_latency_share is None else self.most_latency_share * whole_ms


def ap_at_latency(ap: float, latency_ms: float, most_ms: float | None) -> float:
    """AP of a network within the limit, below 0 for one beyond it: by which share of the limit it is.

    So any network within the limit is better than any beyond it, and of two beyond it the faster one: a search that
    compares numbers finds its way in, and never takes an accurate one that is too slow for the best (the feasibility
    rule of Deb, An efficient constraint handling method for genetic algorithms, 2000, section 3).
    """
    return ap if most_ms is None or latency_ms <= most_ms else 1 - latency_ms / most_ms
