"""What the processor of this machine can do, from the flags that Linux lists; nothing is assumed."""

import platform
from functools import lru_cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")  # matrix tiles; pairs of products in 512-bit vectors


@lru_cache
def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The flags of the first processor in `cpuinfo`; none where there is no such file (not Linux)."""
    return frozenset(_first("flags", cpuinfo).split())


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """What the first processor in `cpuinfo` is called; the kind of machine where that says nothing (Arm)."""
    return _first("model name", cpuinfo) or platform.machine()


def bfloat16_flag(cpuinfo: Path = CPUINFO) -> str | None:
    """The best flag by which this processor multiplies in bfloat16, None where it does not."""
    flags = processor_flags(cpuinfo)
    return next((flag for flag in BFLOAT16_FLAGS if flag in flags), None)


def _first(name: str, cpuinfo: Path) -> str:
    """The first value of a name in `cpuinfo`; "" for none, and where there is no such file."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
