"""How fast a training goes, and what its progress bar says of it."""

import math
from collections import deque
from collections.abc import Mapping

WINDOW = 20  # updates over which the speed is taken


class Pace:
    """Pictures a second over the last updates, and how long the rest will take. Times are the caller's, in seconds.

    Validations and checkpoints belong to the time that is left, and not to the speed of training.
    """

    def __init__(self, started: float, *, iteration: int, last: int) -> None:
        """`started`: now; `iteration`: updates done before, by an earlier run; `last`: at which the training ends."""
        self._started, self._first, self._last = started, iteration, last
        self._iteration, self._now = iteration, started
        self._recent: deque[tuple[int, float]] = deque(maxlen=WINDOW)  # pictures, seconds

    def update(self, now: float, *, pictures: int, iteration: int) -> None:
        """After an update of so many pictures, which began when the last call of `update` or `pause` was."""
        self._recent.append((pictures, now - self._now))
        self._now, self._iteration = now, iteration

    def pause(self, now: float) -> None:
        """After what is no update: a validation, a checkpoint."""
        self._now = now

    @property
    def images_per_s(self) -> float | None:
        """None before the first update, or where no time has passed."""
        seconds = sum(each for _, each in self._recent)
        return sum(each for each, _ in self._recent) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """By the mean of all updates of this run with everything between them; None before the first."""
        done = self._iteration - self._first
        return (self._last - self._iteration) * (self._now - self._started) / done if done > 0 else None


def bar_text(
    *,
    loss: Mapping[str, float],
    learning_rate: float,
    images_per_s: float | None = None,
    seconds_left: float | None = None,
    best: Mapping[str, float] | None = None,
) -> str:
    """What stands behind the bar: "loss 3.21 (box 0.40, objectness 2.10, classes 0.71), rate 0.001, 123 images/s, …".

    `loss`: the total under "loss", then its parts. `best`: metric -> best value so far. For `tqdm.set_postfix_str`.
    """
    parts = ", ".join(f"{name} {_short(value)}" for name, value in loss.items() if name != "loss")
    texts = [f"loss {_short(loss['loss'])}" + (f" ({parts})" if parts else ""), f"rate {learning_rate:.3g}"]
    if images_per_s is not None:
        texts.append(f"{_short(images_per_s)} images/s")
    texts += [f"best {name} {value:.3f}" for name, value in (best or {}).items()]
    if seconds_left is not None:
        texts.append(f"{duration(seconds_left)} left")
    return ", ".join(texts)


def duration(seconds: float) -> str:
    """Two units at most: "45 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def _short(value: float) -> str:
    """Three digits that say something."""
    if not math.isfinite(value):
        return f"{value}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
