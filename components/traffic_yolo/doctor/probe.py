"""One look at something that may be missing, broken or silent, and how it ends in any case: by a time, in a line."""

import queue
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warning"]
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ProbeResult:
    """What one look came to. `state`: "warning" where something is missing or wrong that somebody may need.

    `value`: what was seen, or what is wrong, in a line.
    """

    section: str
    name: str
    value: str
    state: State = "ok"

    def as_dict(self) -> dict[str, str]:
        """Plain values, as `doctor --json` writes them."""
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    """A look. `look` gives (value, state) pairs by name; whatever it raises is a result, and so is its silence."""

    section: str
    name: str
    look: Callable[[], list[tuple[str, str, State]]]
    timeout_s: float = TIMEOUT_S

    def results(self) -> list[ProbeResult]:
        """What was seen, within `timeout_s` seconds; never raises.

        A look that hangs (a share that is gone, a driver) is left to hang in its thread, which no exit waits for.
        """
        answer: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                answer.put(self.look())
            except BaseException as error:
                answer.put(error)

        threading.Thread(target=work, daemon=True, name=f"doctor {self.name}").start()
        try:
            seen = answer.get(timeout=self.timeout_s)
        except queue.Empty:
            return [ProbeResult(self.section, self.name, f"no answer within {self.timeout_s:g} s", "warning")]
        if isinstance(seen, BaseException):
            first = (str(seen).strip() or type(seen).__name__).splitlines()[0][:300]
            return [ProbeResult(self.section, self.name, f"{type(seen).__name__}: {first}", "warning")]
        return [ProbeResult(self.section, name, value, state) for name, value, state in seen]
