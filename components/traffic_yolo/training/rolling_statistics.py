"""How fast the running statistics of batch-norm follow: as in Darknet, but where they start from nothing."""

from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import BATCH_NORM_MOMENTUM

START_SHARE, START_UPDATES = 9, 10  # as the averaged network: a run is averaged over about its last tenth


class RollingStatistics:
    """Lets the statistics of layers without trained weights follow faster, until Darknet's .01 is enough.

    Darknet's statistics start at 0 and take hundreds of updates to arrive, which a run of a thousand batches never
    notices and one of a hundred never recovers from. Statistics that came with weights follow by .01 from the start.
    """

    def __init__(self, network: Network) -> None:
        """`network` as it starts, before an update or a checkpoint: untouched statistics are those to be hurried."""
        norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
        self.fresh = [norm for norm in norms if _is_untouched(norm)]

    def follow(self, updates: int) -> None:
        """Sets, in place, the share of the next batch in the statistics after that many updates."""
        share = max(BATCH_NORM_MOMENTUM, START_SHARE / (START_UPDATES + updates))
        for norm in self.fresh:
            norm.momentum = share


def _is_untouched(norm: nn.modules.batchnorm._BatchNorm) -> bool:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return not norm.running_mean.any() and bool((norm.running_var == 1).all())
