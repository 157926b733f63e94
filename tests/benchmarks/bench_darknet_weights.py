"""Reading and writing the weights of yolov4 (258 MB), against moving the same bytes; every run in a process of its own.

A process that has read a network before has its memory already; a fresh one must get it from the system, page by page.
"""

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from darknet_models import darknet_pair
from harness import Row, Work, peak_memory_mib

from traffic_yolo.darknet.network import Network
from traffic_yolo.storage import atomic_file

TOPIC = "darknet weights"
REPEATS = 7


def medians_in_children(rivals: Mapping[str, Work]) -> dict[str, float]:
    """The median seconds of every rival, in turn, each run timed inside a forked child."""
    context = multiprocessing.get_context("fork")
    seconds: dict[str, list[float]] = {name: [] for name in rivals}

    def child(work: Callable[[], Any], sender: Any) -> None:
        gc.disable()  # as in harness.interleaved: it would touch, and so copy, every object of the parent
        start = time.perf_counter()
        kept = work()
        sender.send(time.perf_counter() - start)
        del kept

    for turn in range(REPEATS + 1):
        for name, work in rivals.items():
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=child, args=(work, sender))
            process.start()
            elapsed = receiver.recv()
            process.join()
            if turn:
                seconds[name].append(elapsed)
    return {name: statistics.median(values) for name, values in seconds.items()}


def rows() -> Iterator[Row]:
    """Time and memory of reading, of building the network alone, and of writing."""
    cfg, weights = darknet_pair("yolov4", 416)
    size_mib = weights.stat().st_size / 2**20
    out = weights.with_name("out.weights")
    copied = weights.with_name("copied.weights")

    def move_bytes() -> np.ndarray[Any, Any]:
        return np.frombuffer(weights.read_bytes(), np.float32, offset=20).copy()

    def read() -> Network:
        return Network.read(cfg, weights)

    peak = peak_memory_mib(read)
    times = medians_in_children({"read": read, "bytes": move_bytes})
    ratio = times["read"] / times["bytes"]
    peer = f"the file's bytes read and copied once: {times['bytes'] * 1e3:.0f} ms"
    yield Row(TOPIC, "read yolov4.weights into a network", times["read"] * 1e3, "ms", peer, ratio, "at most 1.5")
    yield Row(TOPIC, "peak memory of that", peak, "MiB", f"file {size_mib:.0f} MiB", peak / size_mib, "at most 2.2")

    network = read()
    values = move_bytes()

    def write_bytes() -> None:
        with atomic_file(copied) as file:
            file.write(values.copy().data)

    peak = peak_memory_mib(lambda: network.save_weights(out))
    times = medians_in_children({"write": lambda: network.save_weights(out), "bytes": write_bytes})
    ratio = times["write"] / times["bytes"]
    peer = f"as many bytes copied once and written as atomically: {times['bytes'] * 1e3:.0f} ms"
    yield Row(TOPIC, "write yolov4.weights atomically", times["write"] * 1e3, "ms", peer, ratio, "at most 1.5")
    yield Row(TOPIC, "peak memory of that", peak, "MiB", f"file {size_mib:.0f} MiB", peak / size_mib, "at most 2.2")
    assert out.read_bytes() == weights.read_bytes()
