"""Pictures are read as RGB: networks of other channels are refused in one line wherever pictures go in or out."""

from traffic_yolo.darknet.cfg import Cfg

RGB_CHANNELS = 3


def require_rgb(cfg: Cfg) -> None:
    """Raises `DarknetFormatError` for a cfg whose network takes other than 3 channels, with what can be done instead.

    Darknet itself loads pictures with as many channels as [net] says. Without the key it is for the network to refuse.
    """
    channels = cfg.net.get_int("channels", RGB_CHANNELS)
    if channels == RGB_CHANNELS:
        return
    advice = "train a network of channels=3"
    if channels == 1:
        advice += ", or deploy this one from `darknet heads-onnx` with model-color-format=2 (grey) in nvinfer's config"
    expected = f"expected {RGB_CHANNELS}, since pictures are read as RGB, found {channels}"
    raise cfg.net.error(f"channels: {expected}; {advice}", key="channels")
