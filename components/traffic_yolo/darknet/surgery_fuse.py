"""A network whose batch-norms are folded into its convolutions for good, as a Darknet pair of its own.

For runtimes that want no batch-norm. Nothing but inference is left: batch-norm's statistics cannot be had back, so keep
the original to train on.
"""

import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection

_BATCH_NORM_KEYS = ("batch_normalize", "cbn", "train_only_bn")


def without_batch_norm(network: Network) -> Network:
    """A new network that gives the outputs of `network` in eval mode, its convolutions without `batch_normalize`.

    The keys are removed from the cfg rather than set to 0, since DeepStream-Yolo looks only whether they are there.
    A [batchnorm] section of its own stays. The header is kept. Raises `ValueError` for a network fused in memory.
    """
    if network.is_fused:
        raise ValueError("expected a network with its batch-norms, found a fused one")
    cfg = network.cfg.copy()
    for keys in cfg.layers:
        if keys.name == "convolutional":
            for key in _BATCH_NORM_KEYS:
                keys.remove(key)
    plain = Network(cfg, seed=None)
    plain.header = network.header
    fused = network.fuse()
    with torch.no_grad():
        for section, new, old in zip(plain.sections, plain.layers, fused.layers, strict=True):
            if isinstance(section, ConvolutionalSection):
                if section.shared_with is None:
                    new.load_state_dict(old.state_dict())
                continue
            for (_, target), (_, source) in zip(section.weights(new), section.weights(old), strict=True):
                target.copy_(source)
    return plain.eval()
