"""Processors and their features, threads, memory and its limit, free disk, and GPUs with their driver."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from traffic_yolo.doctor.probe import State
from traffic_yolo.processors import LIBRARY_VARIABLES, THREADS_VARIABLE, processors, threads

Seen = list[tuple[str, str, State]]
FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd")
LEAST_FREE_BYTES = 5e9  # below it a training's checkpoints and caches may not fit
GB = 1e9


def cpu() -> Seen:
    """The processor's name and features, how many this process may use, and what sets its threads."""
    described = _cpu_info(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    features = " ".join(name for name in FEATURES if name in described.get("flags", "").split())
    told = {name: os.environ[name] for name in (THREADS_VARIABLE, *LIBRARY_VARIABLES) if os.environ.get(name)}
    return [
        ("processor", described.get("model name", "not named"), "ok"),
        ("features", features or "none known", "ok"),
        ("processors", f"{processors()} of {os.cpu_count()} may be used", "ok"),
        ("threads", f"{threads()} a library" + "".join(f", {name}={value}" for name, value in told.items()), "ok"),
    ]


def _cpu_info(text: str) -> dict[str, str]:
    """The first processor's fields of /proc/cpuinfo; features under `flags` on every kind of machine."""
    found: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found[{"Features": "flags"}.get(name.strip(), name.strip())] = value.strip()
    return found


def memory() -> Seen:
    """Memory of the machine, what is free of it, and the container's limit where there is one."""
    sizes = _memory_info(Path("/proc/meminfo").read_text(encoding="utf-8"))
    found: Seen = [
        ("memory", f"{sizes['MemTotal'] / GB:.1f} GB, {sizes['MemAvailable'] / GB:.1f} GB of it available", "ok")
    ]
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).total
        found.append(("shared memory", f"{free / GB:.2f} GB", "ok" if free >= 1e9 else "warning"))
    limit = memory_limit(Path("/sys/fs/cgroup"))
    found.append(("container's limit", f"{limit / GB:.1f} GB" if limit else "none", "ok"))
    return found


def _memory_info(text: str) -> dict[str, int]:
    """Bytes by name of /proc/meminfo."""
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def memory_limit(root: Path) -> int | None:
    """Bytes that the control group allows, of version 2 or 1; None for no limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() and int(text) < 1 << 60 else None
    return None


def disk() -> Seen:
    """Free disk where one is, and where temporary files go."""
    found: Seen = []
    for what, place in (("this folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(place).free
        found.append((what, f"{free / GB:.1f} GB free at {place}", "ok" if free >= LEAST_FREE_BYTES else "warning"))
    return found


def torch_devices() -> Seen:
    """PyTorch's build, and the GPUs that it sees."""
    import torch

    built = f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}"
    found: Seen = [("PyTorch", built, "ok")]
    if not torch.cuda.is_available():
        return [*found, ("GPU", "PyTorch sees none", "ok")]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        name = f"{gpu.name}, compute {gpu.major}.{gpu.minor}, {free / GB:.1f} of {total / GB:.1f} GB free"
        found.append((f"GPU {index}", name, "ok"))
    return found


def driver() -> Seen:
    """NVIDIA's driver, by its own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [("driver", "no nvidia-smi on the PATH", "ok")]
    asked = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=8, check=False)
    if told.returncode:
        said = (told.stderr or told.stdout).strip().splitlines() or ["nothing"]
        return [("driver", f"nvidia-smi ends with {told.returncode}: {said[0][:200]}", "warning")]
    return [(f"driver {number}", line.strip(), "ok") for number, line in enumerate(told.stdout.strip().splitlines())]
