"""A training held to the GPUs that a pipeline's run asks for (`gpu_count` reads their number).

A number of GPUs that does not reach the pod, or an image without CUDA, must not end as a slow training on CPUs that
nobody asked for.
"""

import dataclasses

from traffic_yolo.errors import OptionsError, TrainingError
from traffic_yolo.gpu_count import gpu_count as gpu_count  # those that ask for a training know it here
from traffic_yolo.training.options import TrainingOptions


def on_gpus(options: TrainingOptions, asked: int) -> TrainingOptions:
    """`options` with the device `cuda` where GPUs were `asked` for; 0 leaves them as they are.

    Raises `TrainingError` where PyTorch sees none, and `OptionsError` where the options want another device.
    """
    if not asked:
        return options
    if options.device == "cpu":
        raise OptionsError(f"gpus asks for {asked}, but device is cpu; leave one of them out")
    import torch  # to read the number alone, as the command line does, takes none of its seconds

    if not torch.cuda.is_available():
        why = (
            "this image's PyTorch has no CUDA: build the train image with CUDA's TORCH_INDEX_URL"
            if torch.version.cuda is None
            else f"look whether the pod has a limit nvidia.com/gpu and a driver for CUDA {torch.version.cuda}"
        )
        raise TrainingError(f"gpus: {asked} asked for, PyTorch sees none; {why}, or train on CPUs with gpus 0")
    return dataclasses.replace(options, device="cuda")
