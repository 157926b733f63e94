"""What tells a process from every other one, here and elsewhere, in the records of those who hold something."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """`machine`, `host`, `pid` and `started` of this process, for a record that others read."""
    return {"machine": machine(), "host": socket.gethostname(), "pid": os.getpid(), "started": started(os.getpid())}


def is_here(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record of `identity` runs or ran where this one runs, so that `is_gone` can tell."""
    return bool(record["machine"] == machine())


def is_gone(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record ran here and has ended. `KeyError`, `ValueError` for what is no such record."""
    return is_here(record) and started(int(record["pid"])) != record["started"]


def machine() -> str:
    """The present boot of this machine and the space of its process numbers, as far as the system says."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"unknown-{socket.gethostname()}"


def started(pid: int) -> str:
    """When a process was started, in the kernel's ticks; "" for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]  # a zombie holds nothing any more
