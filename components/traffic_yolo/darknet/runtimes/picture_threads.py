"""PyTorch on several pictures at once, the processors shared among them, instead of all processors on one picture.

Threads that share a picture wait for one another after every layer, spinning. Where something else runs on their
processors (a video that is decoded, drawn and encoded beside the network), each of these waits lasts as long as that
something's turn: yolov4-tiny on two loaded cores takes 2.2 times as long, and 2.3 times the processor time.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class PictureThreads:
    """`count` threads that stay, each of which has PyTorch use its share of `threads`. They end with this object."""

    def __init__(self, count: int, threads: int) -> None:
        # PyTorch's number of threads belongs to the thread that sets it, and is what later threads begin with: all of
        # ours set theirs now, and then this thread says again what it was
        before, started = torch.get_num_threads(), threading.Barrier(count)

        def begin() -> None:
            torch.get_num_threads()  # a thread's first question makes its number what it is elsewhere
            torch.set_num_threads(max(1, threads // count))
            started.wait()  # so that no thread begins twice, and none later

        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pictures")
        for each in [self._pool.submit(begin) for _ in range(count)]:
            each.result()
        torch.set_num_threads(before)

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`work` of each item, in order, without gradients; raises what the first that fails raises."""

        def run(item: Item) -> Result:
            with torch.inference_mode():  # a thread's own matter
                return work(item)

        return list(self._pool.map(run, items))
