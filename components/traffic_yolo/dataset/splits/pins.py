"""The memory of splits: `splits.yaml` in a data set says which group went where, so that later data sets keep it.

level: site
splits:
  A: train
  B: test
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.checked_values import read_checked
from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.records import ALL, SPLITS, Frame
from traffic_yolo.dataset.splits.groups import LEVELS
from traffic_yolo.errors import LabelError
from traffic_yolo.storage import AnyPath, input_path

FILE_NAME = "splits.yaml"


@dataclass(frozen=True)
class SplitPins:
    """Group -> split, of groups of one level."""

    level: str
    splits: Mapping[str, str]

    def text(self) -> str:
        """What `read_pins` reads back."""
        return yaml.safe_dump({"level": self.level, "splits": dict(sorted(self.splits.items()))}, sort_keys=False)


def read_pins(path: AnyPath) -> SplitPins:
    """Reads `splits.yaml`, or that of a data set folder; `StorageError` or `LabelError` names the file."""
    path = input_path(path, what="splits")
    file = path / FILE_NAME if path.is_dir() else path
    keys = ("level", "splits")
    given = read_checked(file, what="splits", error=LabelError).section(keys, required=keys)
    splits = given["splits"].entries("a mapping from group to split")
    return SplitPins(given["level"].one_of(tuple(LEVELS)), {str(name): split.one_of(SPLITS) for name, split in splits})


class SplitRecorder:
    """Observer of a conversion: writes `splits.yaml` of the frames that were written.

    At the level that was asked for; "auto" takes the coarsest at which every frame has a group and none is cut. The
    groups of `pins` that have no frame now are kept: they may come back.
    """

    name = "splits"
    needs: frozenset[str] = frozenset()

    def __init__(self, level: str = "auto", pins: SplitPins | None = None) -> None:
        self._level = level
        self._pins = pins
        self._found: dict[str, dict[str, str]] = {name: {} for name in LEVELS if name != "picture"}
        self._num_pictures = 0

    def measure(self, frame: Frame, split: str, picture: bytes) -> Any:
        """Nothing: names are enough."""
        del frame, split, picture

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Notes the groups of a frame; a level at which a group is cut, or that does not know the frame, is out."""
        del measured
        self._num_pictures += 1
        for level, groups in list(self._found.items()):
            group = LEVELS[level](frame)
            if not group or groups.setdefault(group, split) != split:
                del self._found[level]

    def pins(self) -> SplitPins | None:
        """The splits of the groups so far; None where only single pictures are whole, or there are no splits."""
        level = self._level
        if level in ("auto", "picture"):
            level = next(iter(self._found), "")
        if level not in self._found or not self._num_pictures or ALL in self._found[level].values():
            return None
        pinned = dict(self._pins.splits) if self._pins is not None and self._pins.level == level else {}
        return SplitPins(level, pinned | self._found[level])

    def finish(self, folder: Path) -> ObserverOutcome:
        """Writes the file, where there is anything to remember."""
        pins = self.pins()
        if pins is not None:
            (folder / FILE_NAME).write_text(pins.text(), encoding="utf-8", newline="\n")
        return ObserverOutcome()
