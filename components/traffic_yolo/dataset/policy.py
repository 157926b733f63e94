"""The data policy: what a team decides once about splits, leaks, checks, thinning and tiny boxes.

    split_level: site
    keep_splits: nas://datasets/june
    leak_check: fail
    thin_gap_s: 1.0
    network_width: 416
    network_height: 416
    min_box_px: 4
    check_severities: missing-scan=warning
    limits: {picture_pixels: 400000000}

In a file, a key that is left out has its default; a location may be a path, file://, nas:// or s3://.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.checked_values import CheckedValue
from traffic_yolo.dataset.checks.finding import FailOn
from traffic_yolo.dataset.splits.groups import LEVELS
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.limits import Limits, limits
from traffic_yolo.messages import one_line, shown
from traffic_yolo.options import option
from traffic_yolo.storage import existing_path, parse_yaml

ON_LEAK = ("fail", "report", "off")
FAIL_ON_HELP = "a severity (error, warning, info) or never, names of checks, or both with commas between"
SPLIT_LEVELS = ("auto", *LEVELS)
SPLIT_METHODS = ("hash", "balanced")
RESIZE_RULES = ("stretch", "letterbox")


MOST_LOCATION = 200  # characters of a location in a message: it may be the policy itself


def _text(default: str, help_text: str, choices: tuple[str, ...] | None = None, location: str = "") -> Any:
    metadata: dict[str, Any] = {"help": help_text} | ({"choices": choices} if choices else {})
    return field(default=default, metadata=metadata | ({"location": location} if location else {}))


def _number(default: float, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class DataPolicy:
    """Raises `OptionsError` when made with values that make no sense."""

    split_level: str = _text("auto", "What a split must not cut; auto: the coarsest that works.", SPLIT_LEVELS)
    split_method: str = _text("hash", "What places a group that nobody named: its hash, or classes.", SPLIT_METHODS)
    keep_splits: str = _text(
        "", "splits.yaml of an earlier data set, or its folder: its groups stay where they are.", location="read"
    )
    leak_check: str = _text("fail", "What happens when two splits share a group or near-duplicate pictures.", ON_LEAK)
    leak_distance: int = field(default=4, metadata={"help": "Bits of 64 in which hashes of near-duplicates differ."})
    thin_gap_s: float = _number(0.0, "Drop frames less than so many seconds after the last kept one; 0: none.")
    thin_distance: int = field(default=0, metadata={"help": "Drop frames that differ in fewer bits of 64; 0: none."})
    thin_keep_classes: str = _text("", "Comma-separated classes whose frames are never thinned.")
    thin_rare_boxes: int = field(
        default=0, metadata={"help": "Keep frames with a class of fewer kept boxes in their recording."}
    )
    max_negatives: float = _number(1.0, "Largest share of training pictures without objects.")
    network_width: int = field(
        default=0, metadata={"help": "Width of the network's input, for tiny boxes and anchors."}
    )
    network_height: int = field(default=0, metadata={"help": "Height of the network's input."})
    resize_rule: str = _text("stretch", "How pictures get to the network's size.", RESIZE_RULES)
    min_box_px: float = _number(0.0, "Ignore boxes whose shorter side is below, in network pixels; 0: none.")
    regions: str = _text(
        "", "YAML file of cameras' regions of interest: boxes with their foot outside do not count.", location="read"
    )
    calibration: str = _text(
        "",
        "Camera calibration, or a folder of them (of recordings too): boxes of humans get the distance of the radar "
        "track that they match; empty: none.",
        location="read",
    )
    report_cfg: str = _text(
        "", "Darknet cfg whose anchors the report fits; empty: the package's small network.", location="read"
    )
    check_severities: str = _text("", "Comma-separated check=error|warning|info|off that replace the table's.")
    fail_on: str = _text("error", f"Findings that fail the conversion: {FAIL_ON_HELP}.")

    limits: str = option("", "Limits of what is read from others, name=number, comma-separated: docs/limits.md.")

    def __post_init__(self) -> None:
        Limits.parse(self.limits)
        for field_ in dataclasses.fields(self):
            choices = field_.metadata.get("choices")
            value = getattr(self, field_.name)
            if choices and value not in choices:
                raise OptionsError(f"{field_.name}: expected one of {', '.join(choices)}; found {shown(value)}")
        if not 0 <= self.leak_distance <= 15:
            raise OptionsError(f"leak_distance: expected 0 to 15 bits; found {self.leak_distance}")
        FailOn.parse(self.fail_on)
        if self.min_box_px < 0:
            raise OptionsError(f"min_box_px: expected 0 or more; found {self.min_box_px}")
        if self.min_box_px and not (self.network_width > 0 and self.network_height > 0):
            raise OptionsError("min_box_px is in network pixels: give network_width and network_height too")

    @property
    def reading_limits(self) -> Limits:
        """`limits` on top of those in force."""
        return Limits.parse(self.limits, limits())

    @property
    def kept_classes(self) -> frozenset[str]:
        """`thin_keep_classes` taken apart."""
        return frozenset(filter(None, (part.strip() for part in self.thin_keep_classes.split(","))))


def policy_at(location: str) -> DataPolicy:
    """The policy in a YAML file, or in `location` itself where that begins with "{"; "" is the default policy."""
    values = policy_values(location)
    try:
        return DataPolicy(**values)
    except OptionsError as error:
        raise OptionsError(f"policy {one_line(location[:MOST_LOCATION])}: {error}") from error


def policy_values(location: str) -> dict[str, Any]:
    """The values that a policy states, checked by name and kind.

    Raises `StorageError` or `OptionsError` that names the file and the key.
    """
    if not location:
        return {}
    if location.lstrip().startswith("{"):
        return _checked_values(location, where="policy")
    path = existing_path(location, what="policy")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"policy cannot be read: {path}: {error}") from error
    return _checked_values(text, where=f"policy {path}")


def with_flags(location: str, flags: Mapping[str, Any]) -> str:
    """The policy at `location` with the flags that a user gave on top, as text for `policy_at`."""
    if not flags:
        return location
    values = {**policy_values(location), **flags}
    DataPolicy(**values)
    return json.dumps(values, ensure_ascii=False)


def _checked_values(text: str, *, where: str) -> dict[str, Any]:
    document = CheckedValue(parse_yaml(text, where=where, error=OptionsError), where, OptionsError)
    known = {field_.name: field_ for field_ in dataclasses.fields(DataPolicy)}
    values = {}
    for name, given in document.section(tuple(known)).items():
        value = given.value
        if value is False and "off" in known[name].metadata.get("choices", ()):
            value = "off"  # YAML takes the bare word for a boolean
        if name == "limits" and isinstance(value, dict):
            value = ",".join(f"{limit}={number}" for limit, number in value.items())
        values[name] = dataclasses.replace(given, value=value).of_type(type(known[name].default))
    return values
