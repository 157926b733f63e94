"""The processes that train together: their group, and the few things that they tell one another.

`torchrun` starts the processes and sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; everything here does
nothing where a process trains alone.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from traffic_yolo.errors import TrainingError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
Value = TypeVar("Value")
PATIENCE = timedelta(hours=4)  # the others wait while the first process validates


@dataclass(frozen=True)
class Processes:
    """One process among `world_size` that train together; `local_rank` counts those of one machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def sum_of(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place; the tensor's own shape, type and device."""
        if self.world_size > 1:
            distributed.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Makes every gradient the sum over all processes, in place: one message for all of them."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        flat = self.sum_of(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def largest(self, value: int) -> int:
        """The largest of the numbers that the processes hand in."""
        if self.world_size == 1:
            return value
        device = torch.device("cuda", self.local_rank) if distributed.get_backend() == "nccl" else torch.device("cpu")
        shared = torch.tensor([value], dtype=torch.int64, device=device)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
        return int(shared.item())

    def joined(self, values: Sequence[Value]) -> list[Value]:
        """What the processes hand in, in the order of their ranks; a small message where nobody has anything."""
        if self.world_size == 1:
            return list(values)
        if not self.largest(len(values)):
            return []
        handed_in: list[list[Value]] = [[] for _ in range(self.world_size)]
        distributed.all_gather_object(handed_in, list(values))
        return [value for of_one in handed_in for value in of_one]

    def from_first(self, value: object) -> object:
        """What the first process hands in; the others hand in anything, and wait."""
        if self.world_size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


def requested() -> Processes:
    """What the environment says; `TrainingError` where it names a group and not how to meet."""
    text = os.environ.get("WORLD_SIZE", "")
    if text in ("", "1"):
        return Processes()
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise TrainingError(
            f"WORLD_SIZE={text} asks for processes that train together, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set; start the command with torchrun, or unset WORLD_SIZE"
        )
    numbers = {}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        value = os.environ[name]
        if not value.isascii() or not value.isdigit():
            raise TrainingError(f"{name}={value!r}: expected a whole number; start the command with torchrun")
        numbers[name] = int(value)
    if not numbers["RANK"] < numbers["WORLD_SIZE"]:
        raise TrainingError(f"RANK={numbers['RANK']}: expected a number below WORLD_SIZE={numbers['WORLD_SIZE']}")
    return Processes(numbers["RANK"], numbers["WORLD_SIZE"], numbers["LOCAL_RANK"])


@contextlib.contextmanager
def process_group(device_type: str) -> Iterator[Processes]:
    """The group that the environment asks for, met and left again: NCCL where `device_type` is "cuda", else gloo.

    Raises `TrainingError` where the processes cannot meet.
    """
    processes = requested()
    if processes.world_size == 1:
        yield processes
        return
    backend = "nccl" if device_type == "cuda" else "gloo"
    if device_type == "cuda":
        torch.cuda.set_device(processes.local_rank)
    try:
        distributed.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(
            f"the {processes.world_size} processes cannot meet at {where}: {reason}; start them with torchrun"
        ) from error
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
