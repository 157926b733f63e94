"""Checks that need the frames before: gaps in numbers, clocks that run backwards, pictures that repeat themselves."""

import hashlib
from collections.abc import Iterator

from traffic_yolo.dataset.checks.finding import Objection
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.pictures.look import hash_distance
from traffic_yolo.dataset.splits.leaks import MAX_DISTANCE


class MissingScan:
    """Numbers left out between two scans of a recording."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, observation: Observation) -> Iterator[Objection]:
        """Problems of this frame; frames of a recording come in the order of their numbers."""
        number = observation.scan_number
        if number is None:
            return
        last = self._last.get(observation.recording)
        self._last[observation.recording] = number if last is None else max(number, last)
        if last is not None and number > last + 1:
            missing = number - last - 1
            span = f"scan {last + 1}" if missing == 1 else f"scans {last + 1} to {number - 1}"
            yield Objection(f"scan {last + 1} after {last}", f"{span} missing")


class TimeBackwards:
    """A frame that is older than the one before it in its recording."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, observation: Observation) -> Iterator[Objection]:
        """Problems of this frame."""
        now = observation.time_s
        if now is None:
            return
        last = self._last.get(observation.recording)
        self._last[observation.recording] = now
        if last is not None and now < last:
            yield Objection(f"a time of {last:.3f} s or later", f"{now:.3f} s, {last - now:.3f} s back")


class FrozenPicture:
    """A picture whose bytes are those of the one before it in its recording: the camera stands still, not the road."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[bytes, str]] = {}

    def __call__(self, observation: Observation) -> Iterator[Objection]:
        """Problems of this frame."""
        if not observation.picture:
            return
        digest = hashlib.blake2b(observation.picture, digest_size=16).digest()
        last, name = self._last.get(observation.recording, (b"", ""))
        self._last[observation.recording] = digest, observation.frame
        if digest == last:
            yield Objection("a new picture", f"the same bytes as {name}")


class NearDuplicate:
    """A picture that looks like the last one of its recording that did not: thinning would drop it."""

    def __init__(self, max_distance: int = MAX_DISTANCE) -> None:
        self._max_distance = max_distance
        self._last: dict[str, tuple[int, str]] = {}

    def __call__(self, observation: Observation) -> Iterator[Objection]:
        """Problems of this frame."""
        look = observation.look
        if look is None or look.is_flat:
            return
        if observation.recording in self._last:
            last, name = self._last[observation.recording]
            distance = hash_distance(look.hash, last)
            if distance <= self._max_distance:
                yield Objection(f"more than {self._max_distance} bits between hashes", f"{distance} from {name}")
                return
        self._last[observation.recording] = look.hash, observation.frame
