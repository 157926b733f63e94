"""The peak of resident memory in one training step, in a process that did nothing else before.

No forked child: one that comes of a process in which PyTorch has computed waits for ever for threads that it lacks.
"""

import json
import subprocess
import sys
from pathlib import Path

from training_data import package_cfg, reference_cfg, sized
from training_steps import batch_of, updates_of


def memory_of_step(network: str, *, size_wh: tuple[int, int] | None = None, words: str = "all") -> float:
    """MiB by which a step's peak lies above what the process had with network and batch made.

    `network`: a cfg below the reference folder, "" for the package's own; `words`: the layers that train.
    """
    given = json.dumps([network, size_wh, words])
    return float(subprocess.run([sys.executable, __file__, given], check=True, stdout=subprocess.PIPE).stdout)


def main(given: str) -> None:
    """One step; prints the MiB."""
    network, size_wh, words = json.loads(given)
    cfg = reference_cfg(network) if network else package_cfg()
    assert cfg is not None
    updates = updates_of(sized(cfg, size_wh), words=words)
    batch = batch_of(updates.network)
    before = _peak_mib()
    updates.update(batch, 10)
    print(_peak_mib() - before)


def _peak_mib() -> float:
    """The largest resident memory since this program began; getrusage counts that of the program before it too."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status: expected a line VmHWM")


if __name__ == "__main__":
    main(sys.argv[1])
