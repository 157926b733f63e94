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

import numpy as np
import torch
from harness import Row, interleaved, peak_memory_mib
from training_data import BATCH, package_cfg, random_truths, reference_cfg

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.training.distributed import Processes, process_group
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import resolve
from traffic_yolo.training.update import Updates

TOPIC = "training"
FASTEST = "weights/yolo-fastest-1.1.cfg"
STEPS = 6  # that a process of the distributed row is timed over, after two


def batch_of(network: Network, *, rank: int = 0, world_size: int = 1) -> Batch:
    """Noise with boxes of a few percent of the picture; a process's share of the very same batch."""
    height, width = network.input_hw
    images = np.random.default_rng(0).integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
    first, last = BATCH * rank // world_size, BATCH * (rank + 1) // world_size
    tensor = torch.from_numpy(images[first:last]).permute(0, 3, 1, 2)
    return Batch(tensor, random_truths(network.num_classes).of_images(first, last), (), BATCH)


def updates_of(
    cfg: Cfg, *, words: str = "all", precision: str = "float32", processes: Processes | None = None
) -> Updates:
    """A network whose layers of this plan train."""
    network = Network.from_cfg(cfg, seed=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = TrainingOptions(batch=BATCH, max_batches=1000, learning_rate=1e-6, optimizer="sgd")
    object.__setattr__(options, "fine_tune_layers", words)  # random weights, which the options would refuse to freeze
    settings = resolve(options, network, num_pictures=100)
    return Updates(
        network,
        settings,
        settings.layer_plan(network),
        loss=options.loss,
        precision=precision,
        compile=False,
        device=torch.device("cpu"),
        processes=processes or Processes(),
    )


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
    fastest = reference_cfg(FASTEST, size=320)
    for name, cfg in (("traffic-small", package_cfg()), ("Yolo-Fastest@320", fastest)):
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
        yield from heads_rows(name, cfg)
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


def heads_rows(name: str, cfg: Cfg) -> Iterator[Row]:
    """Heads alone against the whole network: time and memory of a step."""
    rivals = {words: updates_of(cfg, words=words) for words in ("all", "heads")}
    batch = batch_of(rivals["all"].network)
    found = interleaved({words: repeated(updates, batch) for words, updates in rivals.items()}, repeats=5)
    whole, heads = found["all"].median_s, found["heads"].median_s
    yield Row(
        TOPIC, f"{name}: a step of heads", 1e3 * heads, "ms", f"all layers {1e3 * whole:.0f} ms", whole / heads,
        "at least 2.5",
    )  # fmt: skip
    memory = {
        words: peak_memory_mib(lambda words=words: updates_of(cfg, words=words).update(batch, 10)) for words in rivals
    }
    yield Row(
        TOPIC, f"{name}: memory of a step of heads", memory["heads"], "MiB", f"all layers {memory['all']:.0f} MiB",
        memory["heads"] / memory["all"], "at most 0.3334",
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
    cfg = reference_cfg(FASTEST, size=320)
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
