"""What a quantisation came to: a row for each setting, the one that became the INT8 file, and what it was chosen by."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.model_folder import TABLE_NAME
from traffic_yolo.quantization.judge import Precision
from traffic_yolo.quantization.options import TRAIN, QuantizeOptions

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Setting:
    """One row of the table. `bytes`: the file's size; `int8`: convolutions in INT8; `kept`: layers that stay float.

    `written`: the file it became, "" for one that was tried only.
    """

    name: str
    precision: Precision
    bytes: int
    int8: int
    kept: tuple[int, ...]
    written: str = ""


@dataclass(frozen=True)
class Quantization:
    """What was done. `settings`: the float file first. `chosen`: the setting of the INT8 file.

    `table`: tensors that have a range in the calibration table, 0 where none was asked for. `problem`: why the INT8
    file is beyond the limit, "" where it is not. `noise`: by layer, what the scan found; empty where layers were named.
    `calibration`: how many pictures of each site and band of brightness ranges were found on.
    """

    out: Path
    split: str
    pictures: int
    convolutions: int
    settings: tuple[Setting, ...]
    chosen: Setting
    table: int
    problem: str
    noise: dict[int, float]
    calibration: dict[str, Any]
    options: QuantizeOptions

    @property
    def passed(self) -> bool:
        """Whether the INT8 file loses no more than `max_ap_drop`."""
        return not self.problem

    def lost(self, setting: Setting) -> float | None:
        """AP that a setting loses against the float file, negative for a gain; None where AP is undefined."""
        return drop(self.settings[0].precision, setting.precision)

    @property
    def text(self) -> str:
        """The table and what follows from it, for people."""
        lines = [f"{'setting':<24}{'AP':>8}{'AP50':>8}{'AP lost':>9}{'MB':>8}{'int8':>10}"]
        for each in self.settings:
            numbers = (each.precision.ap, each.precision.ap50, self.lost(each))
            cells = (*map(_number, numbers), f"{each.bytes / 1e6:.2f}", f"{each.int8} of {self.convolutions}")
            widths = (8, 8, 9, 8, 10)
            row = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
            lines.append(f"{each.name:<24}{row}{'  -> ' + each.written if each.written else ''}")
        kept = ", ".join(map(str, self.chosen.kept))
        lines.append(f"AP on {self.pictures} pictures of the split {self.split}")
        lines.append(f"layers in float besides those before [yolo]: {kept or 'none'}")
        count, method = self.calibration["pictures"], self.options.calibration_method
        lines.append(f"ranges by {method} of {count} pictures of the split {TRAIN}")
        if self.table:
            lines.append(f"{TABLE_NAME}: the same for DeepStream before 9, with the ranges of {self.table} tensors")
        if self.options.train:
            lines.append(f"trained for {self.options.train} updates in {training_folder(self.out)}")
        return "\n".join([*lines, *([f"beyond the limit: {self.problem}"] if self.problem else [])])

    def document(self) -> dict[str, Any]:
        """The content of quantization.json."""
        rows = [
            dataclasses.asdict(each) | {"ap_drop": self.lost(each), "kept": list(each.kept)} for each in self.settings
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "passed": self.passed,
            "problem": self.problem,
            "split": self.split,
            "pictures": self.pictures,
            "convolutions": self.convolutions,
            "settings": rows,
            "kept": list(self.chosen.kept),
            "table_tensors": self.table,
            "noise": [{"layer": layer, "share": share} for layer, share in self.noise.items()],
            "calibration": self.calibration,
            "options": dataclasses.asdict(self.options),
        }


def training_folder(out: Path) -> Path:
    """Where the training of a quantisation lies, beside its folder: an interrupted one goes on there."""
    return out.parent / f"{out.name}-training"


def drop(start: Precision, after: Precision) -> float | None:
    """AP lost, negative for a gain; None where AP is undefined."""
    return None if start.ap is None or after.ap is None else start.ap - after.ap


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
