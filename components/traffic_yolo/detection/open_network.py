"""Opens the network of a model folder on the device that is asked for; a GPU that is not there is one line."""

import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import ModelFolder


def open_network(model: ModelFolder, options: InferenceOptions) -> Network:
    """The model's network with its weights, where `options` want it.

    Raises `OptionsError` for cuda without a GPU, before anything is read; `DarknetFormatError` for weights that do not
    fit the cfg.
    """
    device = choose_device("cpu" if options.device == "auto" and options.is_for_cpus else options.device)
    network = Network.read(model.cfg_path, model.weights_path)
    network.to(device)
    return network


def choose_device(name: str) -> torch.device:
    """The device "cpu" or "cuda", or for "auto" the better one that is there; `OptionsError` for cuda without a GPU."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise OptionsError("device is cuda, but PyTorch sees no GPU; use cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and there) else "cpu")
