"""What a training keeps in memory for each picture until its gradients are there, counted tensor by tensor.

Counted on a CPU by PyTorch's own hooks and without a backward pass: what autograd saves is the same on a GPU, but for
what cuDNN saves itself. On top come weights, their gradients, the averaged network and the optimiser's numbers, and
while a gradient is computed the gradients of a layer or two and the convolution's own scratch. The last row sets the
count against the peak of a real step, so that a wrong count would be seen.
"""

from collections.abc import Iterator

import torch
from harness import Row
from step_memory import memory_of_step
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from training_data import BATCH, reference_cfg, sized
from training_steps import batch_of, updates_of

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.training.update import AUTOCAST, Updates

TOPIC = "training_memory"
NETWORKS = {
    "yolov4": "cfg/yolov4.cfg",
    "yolov4-tiny": "cfg/yolov4-tiny.cfg",
    "Yolo-Fastest": "weights/yolo-fastest-1.1.cfg",
}
SIZES_WH = ((416, 416), (608, 608), (640, 384))
MIB = 2**20
# float32: weights, gradients, the averaged network, and AdamW's two numbers or the momentum
BYTES_OF_PARAMETER = {"adamw": 20, "sgd": 16}


def saved_bytes(updates: Updates, pictures: int, *, precision: str = "float32") -> int:
    """Bytes that autograd keeps of the network's and the loss' forward pass; weights and statistics are not counted."""
    network, batch = updates.network, batch_of(updates.network)
    updates.plan.apply(network, 0)
    kept = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    counted: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in kept:
            counted[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # with its history, an output would hold the function that holds it

    images = batch.images[:pictures].float().div_(255)
    height, width = images.shape[2:]
    with saved_tensors_hooks(count, lambda tensor: tensor):
        with torch.autocast("cpu", dtype=AUTOCAST[precision], enabled=precision != "float32"):
            outputs = network(images)
        outputs = [output.float() for output in outputs]
        loss = updates.loss(outputs, batch.truths.of_images(0, pictures), network_wh=(width, height), iteration=10)
    found = sum(counted.values())
    del loss, outputs  # what is counted had to live until here: an address that is free is given out again
    return found


def of_each_picture(cfg: Cfg, *, words: str = "all", precision: str = "float32") -> float:
    """MiB: the difference between two pictures and one, which leaves out what does not grow with them."""
    updates = updates_of(cfg, words=words)
    one, two = (saved_bytes(updates, pictures, precision=precision) for pictures in (1, 2))
    return (two - one) / MIB


def rows() -> Iterator[Row]:
    """Each network at each size: all layers, heads alone and bfloat16; then what does not grow with the pictures."""
    for name, path in NETWORKS.items():
        if (cfg := reference_cfg(path)) is None:
            continue
        for size in SIZES_WH:
            sized(cfg, size)
            whole = of_each_picture(cfg)
            half, heads = of_each_picture(cfg, precision="bfloat16"), of_each_picture(cfg, words="heads")
            what = f"{name}, {size[0]}x{size[1]}: kept for a picture"
            yield Row(TOPIC, what, whole, "MiB", f"bfloat16 {half:.0f} MiB, heads alone {heads:.0f} MiB")
        updates = updates_of(sized(cfg, SIZES_WH[0]))
        parameters = sum(parameter.numel() for parameter in updates.network.parameters())
        adamw, sgd = (parameters * BYTES_OF_PARAMETER[kind] / MIB for kind in ("adamw", "sgd"))
        yield Row(TOPIC, f"{name}: weights, gradients, average and AdamW", adamw, "MiB", f"SGD {sgd:.0f} MiB")
    yield from real_step_row()


def real_step_row() -> Iterator[Row]:
    """The count of a whole batch against the peak of resident memory in a step, in a process that did nothing else."""
    path, size = NETWORKS["yolov4-tiny"], SIZES_WH[0]
    if (cfg := reference_cfg(path, size_wh=size)) is None:
        return
    counted = saved_bytes(updates_of(cfg), BATCH) / MIB
    peak = memory_of_step(path, size_wh=size)
    yield Row(
        TOPIC, f"yolov4-tiny, {size[0]}x{size[1]}: memory of a step of {BATCH}", peak, "MiB",
        f"counted {counted:.0f} MiB", counted / peak, "at least 0.6",
    )  # fmt: skip
