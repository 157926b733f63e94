"""Values that a person wrote, in a YAML file as a rule: each is taken by the kind that it must be, or refused by name.

Whoever reads a file of settings, a layout, a class map or a list takes it apart with `CheckedValue`, so that every
refusal reads alike: the document, the key's place in it, what was expected, what was found, and the nearest known key
for one that is misspelled. Records that this package wrote itself are held to a dataclass by `typed_values.py`; the
options of the steps by `option_settings.py`.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.messages import nearest_or_all, shown, shown_names
from traffic_yolo.storage import AnyPath, read_yaml
from traffic_yolo.storage.documents import Refusal

WORDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
PAIRS = "`name: value`, one a line"
# A field of a dataclass that is a text, and takes a number too as the text of it: `cpu: 8` is what people write
NUMBER_AS_TEXT = "number_as_text"


@dataclass(frozen=True)
class CheckedValue:
    """A value, its document for messages ("layout /nas/own.yaml") and its place there ("detections.box", "" for all).

    Every method that takes the value raises `error`, one line, where it is of another kind.
    """

    value: Any
    document: str
    error: Refusal
    key: str = ""

    def refusal(self, expected: str, *, found: str | None = None, advice: str = "") -> TrafficYoloError:
        """The error for a value that is not as expected; `found` where the value itself is not what to show."""
        seen = shown(self.value) if found is None else found
        return self.fault(f"expected {expected}, found {seen}{f'; {advice}' if advice else ''}")

    def fault(self, reason: str) -> TrafficYoloError:
        """The error that says `reason` of this place."""
        return self.error(f"{self.document}: {f'{self.key}: ' if self.key else ''}{reason}")

    def at(self, name: Any, value: Any) -> "CheckedValue":
        """The value of a key within this one."""
        word = shown_names([name])
        return dataclasses.replace(self, value=value, key=f"{self.key}.{word}" if self.key else word)

    def section(
        self, known: Sequence[str], *, required: Sequence[str] = (), defaults: Mapping[str, Any] | None = None
    ) -> dict[str, "CheckedValue"]:
        """The values of a mapping, by their keys, all of which are `known`; of those left out, what `defaults` has."""
        if not isinstance(self.value, Mapping):
            raise self.refusal(f"a mapping with keys of {', '.join(known)}")
        for name in self.value:
            if name not in known:
                raise self.fault(f"unknown key {shown(name)}; {nearest_or_all(name, known)}")
        if missing := [name for name in required if name not in self.value]:
            found = shown_names(self.value) or "no key"
            raise self.refusal(f"the key{'s' if len(missing) > 1 else ''} {', '.join(missing)} too", found=found)
        return {name: self.at(name, value) for name, value in {**(defaults or {}), **self.value}.items()}

    def entries(self, expected: str = PAIRS) -> Iterator[tuple[Any, "CheckedValue"]]:
        """(key, value) of a mapping whose keys are the user's own."""
        if not isinstance(self.value, Mapping):
            raise self.refusal(expected)
        return ((name, self.at(name, value)) for name, value in self.value.items())

    def items(self, expected: str = "a list", *, least: int = 0) -> list["CheckedValue"]:
        """The values of a list of at least so many."""
        if not isinstance(self.value, list) or len(self.value) < least:
            raise self.refusal(expected)
        places = (f"{self.key}[{index}]" for index in range(len(self.value)))
        return [dataclasses.replace(self, value=one, key=key) for one, key in zip(self.value, places, strict=True)]

    def text(self, *, empty: bool = False) -> str:
        """A text; `empty`: it may be so."""
        if not isinstance(self.value, str) or not (self.value or empty):
            quotes = isinstance(self.value, int | float)
            raise self.refusal("a text", advice="write it in quotes" if quotes else "")
        return self.value

    def texts(self, expected: str = "a list of names", *, once: bool = False) -> tuple[str, ...]:
        """The texts of a list, none of them empty; `once`: each stands there once."""
        if not isinstance(self.value, list) or not all(isinstance(one, str) and one for one in self.value):
            raise self.refusal(expected)
        if once and len(set(self.value)) != len(self.value):
            raise self.refusal("each name once")
        return tuple(self.value)

    def one_of(self, choices: Sequence[str]) -> str:
        """One of the words."""
        if self.value not in choices:
            raise self.refusal(f"one of {', '.join(choices)}")
        return str(self.value)

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.refusal(WORDS[bool])
        return self.value

    def whole(self, least: int | None = None, expected: str = "") -> int:
        """A whole number, from `least`."""
        if type(self.value) is not int or (least is not None and self.value < least):
            raise self.refusal(expected or (WORDS[int] if least is None else f"a whole number from {least}"))
        return self.value

    def number(self, *, above: float | None = None, least: float | None = None, most: float | None = None) -> float:
        """A finite number, greater than `above`, from `least` to `most`."""
        value, expected = self.value, WORDS[float]
        expected += "" if above is None else f" above {above:g}"
        expected += "" if least is None else f" from {least:g}"
        expected += "" if most is None else f" to {most:g}"
        good = type(value) in (int, float) and math.isfinite(value)
        good = good and (above is None or value > above)
        good = good and (least is None or value >= least) and (most is None or value <= most)
        if not good:
            raise self.refusal(expected)
        return float(value)

    def size_wh(self, expected: str = "[width, height] in whole pixels") -> tuple[int, int]:
        """Width and height in pixels, each from 1."""
        if not isinstance(self.value, list) or len(self.value) != 2:
            raise self.refusal(expected)
        if not all(type(side) is int and side > 0 for side in self.value):
            raise self.refusal(expected)
        return self.value[0], self.value[1]

    def of_type(self, kind: Any) -> Any:
        """The value as an annotation has it.

        That is bool, int, float, str, `X | None`, `tuple[X, ...]`, `dict[str, X]`, or a dataclass of such fields, which
        is made here: what it refuses gets this place before it. Nothing (an empty file or section) is one with its
        defaults.
        """
        if isinstance(kind, types.UnionType):
            (kind,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
            # A section that is there, empty or not, is one; a value that is null is none
            return None if self.value is None and not dataclasses.is_dataclass(kind) else self.of_type(kind)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(typing.cast(type[Any], kind))
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is tuple:
            return tuple(item.of_type(inner[0]) for item in self.items())
        if origin is dict:
            if isinstance(self.value, Mapping) and not all(isinstance(name, str) for name in self.value):
                raise self.refusal(PAIRS)
            return {name: value.of_type(inner[1]) for name, value in self.entries()}
        takers: dict[Any, Callable[[], Any]] = {
            bool: self.flag,
            int: self.whole,
            float: self.number,
            str: lambda: self.text(empty=True),
        }
        return takers[kind]()

    def _dataclass(self, kind: type[Any]) -> Any:
        fields = {field.name: field for field in dataclasses.fields(kind)}
        hints = typing.get_type_hints(kind)
        whole = dataclasses.replace(self, value={} if self.value is None else self.value)
        if not isinstance(whole.value, Mapping):
            raise self.refusal(PAIRS)
        given = {}
        for name, value in whole.section(sorted(fields)).items():
            if fields[name].metadata.get(NUMBER_AS_TEXT) and type(value.value) in (int, float):
                value = dataclasses.replace(value, value=str(value.value))
            given[name] = value.of_type(hints[name])
        try:
            return kind(**given)
        except TrafficYoloError as error:
            place = f"{self.key}." if self.key else ""
            raise self.error(f"{self.document}: {place}{error}") from error


def read_checked(path: AnyPath, *, what: str, error: Refusal) -> CheckedValue:
    """The value of a YAML file; `what` names the file's part in messages.

    Raises `StorageError` for a file that cannot be read, `error` for one that is no YAML or passes a limit.
    """
    return CheckedValue(read_yaml(path, what=what, error=error), f"{what} {path}", error)
