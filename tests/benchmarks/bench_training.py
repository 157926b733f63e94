"""What a training step costs: beside its bare forward and backward, with heads alone, on two processes, in bfloat16.

Networks with random weights, batch 16. yolov4-tiny is asked for bfloat16 only where the processor multiplies in it
(avx512_bf16): elsewhere that format is slower, and no row is given.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from harness import Row, interleaved
from step_memory import memory_of_step
from training_data import BATCH, package_cfg, reference_cfg
from training_steps import batch_of, updates_of

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.training.distributed import process_group
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.update import Updates

TOPIC = "training"
FASTEST, SIZE_WH = "weights/yolo-fastest-1.1.cfg", (320, 320)
STEPS = 6  # that a process of the distributed row is timed over, after two


def bare_step(network: Network, batch: Batch) -> None:
    """Forward and backward of the network and nothing else."""
    images = batch.images.float().div_(255).contiguous(memory_format=torch.channels_last)
    outputs = network(images)
    sum(output.sum() for output in outputs).backward()  # type: ignore[union-attr]
    for parameter in network.parameters():
        parameter.grad = None


def repeated(updates: Updates, batch: Batch) -> Callable[[], object]:
    """A step of a training, again and again."""
    return lambda: updates.update(batch, 10)


def rows() -> Iterator[Row]:
    """All rows that this machine can give."""
    fastest = reference_cfg(FASTEST, size_wh=SIZE_WH)
    for name, cfg, path, size_wh in (
        ("traffic-small", package_cfg(), "", None), ("Yolo-Fastest@320", fastest, FASTEST, SIZE_WH)
    ):  # fmt: skip
        if cfg is None:
            continue
        updates = updates_of(cfg)
        batch = batch_of(updates.network)
        updates.network.train()
        found = interleaved(
            {"step": repeated(updates, batch), "bare": functools.partial(bare_step, updates.network, batch)}, repeats=5
        )
        step, bare = found["step"].median_s, found["bare"].median_s
        yield Row(
            TOPIC, f"{name}, batch {BATCH}: a step", 1e3 * step, "ms", f"bare forward and backward {1e3 * bare:.0f} ms",
            bare / step, "at least 0.95",
        )  # fmt: skip
        yield heads_row(name, cfg)
        memory = {words: memory_of_step(path, size_wh=size_wh, words=words) for words in ("all", "heads")}
        yield Row(
            TOPIC, f"{name}: memory of a step of heads", memory["heads"], "MiB", f"all layers {memory['all']:.0f} MiB",
            memory["heads"] / memory["all"], "at most 0.3334",
        )  # fmt: skip
    if fastest is not None:
        yield distributed_row()
    if (cfg := reference_cfg("cfg/yolov4-tiny.cfg")) is not None and _has_bfloat16():
        rivals = {name: updates_of(cfg, precision=name) for name in ("float32", "bfloat16")}
        batch = batch_of(rivals["float32"].network)
        found = interleaved({name: repeated(updates, batch) for name, updates in rivals.items()}, repeats=3)
        slow, fast = found["float32"].median_s, found["bfloat16"].median_s
        yield Row(
            TOPIC, "yolov4-tiny@416, bfloat16: a step", fast, "s", f"float32 {slow:.1f} s", slow / fast, "at least 2"
        )


def heads_row(name: str, cfg: Cfg) -> Row:
    """Heads alone against the whole network."""
    rivals = {words: updates_of(cfg, words=words) for words in ("all", "heads")}
    batch = batch_of(rivals["all"].network)
    found = interleaved({words: repeated(updates, batch) for words, updates in rivals.items()}, repeats=5)
    whole, heads = found["all"].median_s, found["heads"].median_s
    return Row(
        TOPIC, f"{name}: a step of heads", 1e3 * heads, "ms", f"all layers {1e3 * whole:.0f} ms", whole / heads,
        "at least 2.5",
    )  # fmt: skip


def distributed_row() -> Row:
    """Two processes of one thread against one process of one thread, steps of the same batch."""
    seconds = {}
    for count in (1, 2, 1, 2):
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "seconds"
            command = [sys.executable, __file__, str(told)]
            if count > 1:
                run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
                command = [sys.executable, *run, __file__, str(told)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
            seconds.setdefault(count, []).append(float(told.read_text()))
    one, two = (min(seconds[count]) for count in (1, 2))
    return Row(
        TOPIC, "Yolo-Fastest@320 on two processes of one thread: a step", 1e3 * two, "ms",
        f"one process of one thread {1e3 * one:.0f} ms", one / two, "at least 1.6",
    )  # fmt: skip


def _has_bfloat16() -> bool:
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


def main(told: Path) -> None:
    """One process of the distributed row: writes the median seconds of a step."""
    torch.set_num_threads(1)
    cfg = reference_cfg(FASTEST, size_wh=SIZE_WH)
    assert cfg is not None
    with process_group("cpu") as processes:
        updates = updates_of(cfg, processes=processes)
        batch = batch_of(updates.network, rank=processes.rank, world_size=processes.world_size)
        taken = []
        for step in range(STEPS + 2):
            begun = time.perf_counter()
            updates.update(batch, 10)
            if step >= 2:
                taken.append(time.perf_counter() - begun)
        if processes.is_first:
            told.write_text(repr(sorted(taken)[len(taken) // 2]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
