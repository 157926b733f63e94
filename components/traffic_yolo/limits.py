"""How much of what others wrote is read before it is refused; docs/limits.md says why each limit is what it is.

A user who trusts a larger file raises a limit: in the data policy (`limits: {picture_pixels: 400000000}`), or for steps
without one in the environment, TRAFFIC_YOLO_LIMITS="picture_pixels=400000000,xml_depth=80".
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import option

LIMITS_VARIABLE = "TRAFFIC_YOLO_LIMITS"
MOST = 1 << 40  # of any limit: beyond it, the machine ends first


@dataclass(frozen=True)
class Limits:
    """The most that is read. Raises `OptionsError` when made with a limit that is no whole number from 1."""

    picture_pixels: int = option(100_000_000, "Pixels of one picture, looked at before it is decoded.", least=1)
    recording_scans: int = option(1_000_000, "Scans of a recording.", least=1)
    recording_data_set_bytes: int = option(64 << 20, "Bytes that a data set of a recording unpacks to.", least=1)
    recording_expansion: int = option(1032, "Bytes that a recording states for each that it stores.", least=1)
    recording_table_rows: int = option(65_536, "Rows of a table of detections or tracks in one scan.", least=1)
    recording_status_bytes: int = option(1 << 20, "Bytes of a scan's status (JSON).", least=1)
    archive_files: int = option(1_000_000, "Files in a zip file of labels and pictures.", least=1)
    archive_bytes: int = option(1 << 36, "Bytes that a zip file unpacks to.", least=1)
    archive_expansion: int = option(1032, "Bytes that a zip file states for each that it stores.", least=1)
    document_bytes: int = option(1 << 30, "Bytes of a YAML or JSON file that is read as a whole.", least=1)
    document_depth: int = option(100, "Levels of lists and mappings inside each other, in YAML and JSON.", least=1)
    yaml_values: int = option(1_000_000, "Values of a YAML file, counted wherever an alias repeats them.", least=1)
    json_values: int = option(100_000_000, "Values of a JSON file.", least=1)
    number_digits: int = option(100, "Digits of a number in YAML and JSON.", least=1)
    text_characters: int = option(1_000_000, "Characters of a text in YAML, JSON and XML.", least=1)
    embedded_characters: int = option(200_000_000, "Characters of a text that may hold a picture (LabelMe).", least=1)
    xml_depth: int = option(64, "Levels of XML elements inside each other.", least=1)
    xml_elements: int = option(50_000_000, "Elements of an XML file.", least=1)
    xml_attribute_characters: int = option(1_000_000, "Characters of one attribute in XML.", least=1)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or not field.metadata["least"] <= value <= MOST:
                expected = f"a whole number from {field.metadata['least']} to {MOST}"
                raise OptionsError(f"limits: {field.name}: expected {expected}; found {shown(value)}")

    @classmethod
    def parse(cls, text: str, base: "Limits | None" = None) -> "Limits":
        """The limits in `name=number,name=number`, others as in `base` or by default.

        Raises `OptionsError` for anything else.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = (word.strip() for word in part.partition("="))
            if name not in known or name in values:
                reason = "stands there twice" if name in values else "is no limit"
                raise OptionsError(f"limits: {shown(name)} {reason}; known: {', '.join(known)}")
            if not (number.isascii() and number.isdigit() and len(number) <= len(str(MOST))):
                raise OptionsError(f"limits: {name}: expected a whole number from 1 to {MOST}; found {shown(number)}")
            values[name] = int(number)
        return dataclasses.replace(base or cls(), **values)

    def text(self) -> str:
        """What `parse` reads back: the limits that differ from their defaults."""
        return ",".join(
            f"{field.name}={value}"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        )


def limits() -> Limits:
    """The limits in force: those of the environment. Raises `OptionsError` for a senseless variable."""
    return _parsed(os.environ.get(LIMITS_VARIABLE, ""))


@contextlib.contextmanager
def in_force(wanted: Limits) -> Iterator[None]:
    """Has every reader keep to these limits until the block ends, in processes and threads that it starts as well."""
    before = os.environ.get(LIMITS_VARIABLE)
    os.environ[LIMITS_VARIABLE] = wanted.text()
    try:
        yield
    finally:
        if before is None:
            del os.environ[LIMITS_VARIABLE]
        else:
            os.environ[LIMITS_VARIABLE] = before


def beyond(bounds: Limits, name: str, what: str) -> str:
    """Words of a message: that there is more of `what` than the limit `name` allows, and what to do."""
    return (
        f"more than {getattr(bounds, name):,} {what}; "
        f"raise the limit {name} of the data policy if you trust the file (docs/limits.md)"
    )


@lru_cache(maxsize=8)
def _parsed(text: str) -> Limits:
    try:
        return Limits.parse(text)
    except OptionsError as error:
        raise OptionsError(f"{LIMITS_VARIABLE}: {error}") from error
