"""Builds the values of a YAML text event by event, so that what aliases repeat is counted before anyone walks over it.

The scanner is libyaml's where PyYAML has it. Values are those of `yaml.safe_load`, with less: tags that make sets,
bytes or ordered maps are refused, as are anchors that hold themselves.
"""

import math
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from traffic_yolo.limits import Limits, beyond
from traffic_yolo.messages import shown

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_MERGE, _VALUE, _STR, _TIME = (_TAG + name for name in ("merge", "value", "str", "timestamp"))
_NUMBERS = (_TAG + "int", _TAG + "float")
_DIGITS = re.compile("[0-9A-Fa-f]")
_CONSTRUCT: dict[str, Callable[[SafeConstructor, yaml.ScalarNode], Any]] = {
    _TAG + "null": SafeConstructor.construct_yaml_null,
    _TAG + "bool": SafeConstructor.construct_yaml_bool,
    _TAG + "int": SafeConstructor.construct_yaml_int,
    _TAG + "float": SafeConstructor.construct_yaml_float,
    _TIME: SafeConstructor.construct_yaml_timestamp,
    _VALUE: SafeConstructor.construct_yaml_str,
    _STR: SafeConstructor.construct_yaml_str,
}

Repeated = Callable[[Any, int], None]


class YamlFault(Exception):
    """What is wrong with a text.

    `kind`: "syntax", "value", "size" (of the limit `limit`), "key", "tag" (of YAML's own, which makes no plain value)
    or "cycle". `line` and `column` from 1, 0 where they are not known.
    """

    def __init__(self, message: str, *, line: int = 0, column: int = 0, kind: str = "value", limit: str = "") -> None:
        super().__init__(message)
        self.message, self.line, self.column, self.kind, self.limit = message, line, column, kind, limit


@dataclass(frozen=True)
class YamlRules:
    """What is allowed. `dates`: as values, else as texts. `finite`: refuse NaN and infinities.

    `on_repeated`: told of each key that occurs again in its mapping, with its line; None: that is refused.
    """

    limits: Limits
    dates: bool = True
    finite: bool = True
    on_repeated: Repeated | None = None


def yaml_documents(text: str, rules: YamlRules) -> list[Any]:
    """The values of all documents in a text; `YamlFault` for what is no YAML or passes a limit."""
    return list(_Builder(text, rules).documents())


@dataclass(slots=True)
class _Size:
    """How many values one holds, itself among them, and on how many levels of lists and mappings."""

    values: int = 1
    depth: int = 0


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read; of a mapping, `key` is the one whose value comes next."""

    value: list[Any] | dict[Any, Any]
    anchor: str | None
    size: _Size
    keys: set[Any] = field(default_factory=set)  # those that stand there themselves, not by a merge
    merged: list[dict[Any, Any]] = field(default_factory=list)
    has_key: bool = False
    key: Any = None


class _Merge:
    """Stands for the key `<<`."""


class _Builder:
    """One text. An anchor that is still open is known, and has no value yet."""

    def __init__(self, text: str, rules: YamlRules) -> None:
        self._text = text
        self._rules = rules
        self._resolver = Resolver()
        self._constructor = SafeConstructor()
        self._known: dict[str, tuple[Any, _Size] | None] = {}
        self._open: list[_Open] = []
        self._count = 0
        self._line = 0

    def documents(self) -> Iterator[Any]:
        try:
            for event in yaml.parse(self._text, Loader=_LOADER):
                self._line = event.start_mark.line + 1 if event.start_mark else 0
                if isinstance(event, yaml.DocumentStartEvent):
                    self._known = {}
                    self._document: list[Any] = []
                elif isinstance(event, yaml.DocumentEndEvent):
                    yield self._document[0]
                else:
                    self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            message = str(error.problem or error.context)
            raise YamlFault(message, line=where[0], column=where[1], kind="syntax") from error
        except (yaml.YAMLError, UnicodeError) as error:
            raise YamlFault(" ".join(str(error).split()), kind="syntax") from error

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            size = _Size()
            if event.anchor:
                self._known[event.anchor] = (value, size)
            self._add(value, size)
        elif isinstance(event, yaml.AliasEvent):
            self._add(*self._aliased(event.anchor))
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event, [] if isinstance(event, yaml.SequenceStartEvent) else {})
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._end()

    def _begin(self, event: Any, value: list[Any] | dict[Any, Any]) -> None:
        usual = _TAG + ("seq" if isinstance(value, list) else "map")
        if event.tag not in (None, "!", usual):
            raise self._tag_fault(event.tag)
        if len(self._open) + 1 > self._rules.limits.document_depth:
            raise self._too_much("document_depth", "levels inside each other")
        if event.anchor:
            self._known[event.anchor] = None
        self._open.append(_Open(value, event.anchor, _Size(depth=1)))

    def _end(self) -> None:
        found = self._open.pop()
        if found.merged and isinstance(found.value, dict):
            whole: dict[Any, Any] = {}
            for merged in reversed(found.merged):
                whole.update(merged)
            found.value = {**whole, **found.value}
        if found.anchor:
            self._known[found.anchor] = (found.value, found.size)
        self._add(found.value, found.size, counted=found.size.values - 1)

    def _add(self, value: Any, size: _Size, *, counted: int = 0) -> None:
        """Puts a complete value where it belongs; `counted` of its values have been counted already."""
        into = self._open[-1] if self._open else None
        if into is not None and isinstance(into.value, dict) and not into.has_key:
            self._key(into, value)
            return
        self._count += size.values - counted
        if self._count > self._rules.limits.yaml_values:
            raise self._too_much("yaml_values", "values, counted wherever an alias repeats them")
        if len(self._open) + size.depth > self._rules.limits.document_depth:
            raise self._too_much("document_depth", "levels inside each other")
        if into is None:
            self._document.append(value)
            return
        into.size.values += size.values
        into.size.depth = max(into.size.depth, size.depth + 1)
        if isinstance(into.value, list):
            into.value.append(value)
        else:
            into.has_key = False
            if into.key is _Merge:
                into.merged = [*self._mergeable(value), *into.merged]
            else:
                into.value[into.key] = value

    def _key(self, into: _Open, key: Any) -> None:
        into.has_key = True
        if key is _Merge:
            into.key = key
            return
        if not isinstance(key, Hashable):
            raise self._fault(f"{shown(key)} cannot be a key", kind="key")
        into.key = key
        if key in into.keys:
            if self._rules.on_repeated is None:
                raise self._fault(f"the key {shown(key)} stands there twice; remove one", kind="key")
            self._rules.on_repeated(key, self._line)
        into.keys.add(key)

    def _mergeable(self, value: Any) -> list[dict[Any, Any]]:
        """The mappings that `<<` brings, the first before the others."""
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in found):
            raise self._fault(f"expected a mapping, or a list of them, under '<<'; found {shown(value)}")
        return found

    def _aliased(self, anchor: Any) -> tuple[Any, _Size]:
        if anchor not in self._known:
            raise self._fault(f"found undefined alias {shown(anchor)}", kind="syntax")
        found = self._known[anchor]
        if found is None:
            message = f"an alias that contains itself: {shown(anchor)}; write the value out"
            raise self._fault(message, kind="cycle")
        return found

    def _scalar(self, event: Any) -> Any:
        text = event.value
        if len(text) > self._rules.limits.text_characters:
            raise self._too_much("text_characters", "characters in a text")
        if not event.implicit[0] and event.tag in (None, "!", _STR):
            return text
        tag = event.tag
        if tag in (None, "!"):
            tag = self._resolver.resolve(yaml.ScalarNode, text, event.implicit)  # type: ignore[no-untyped-call]
            if tag == _MERGE:
                is_key = self._open and isinstance(self._open[-1].value, dict) and not self._open[-1].has_key
                return _Merge if is_key and not event.anchor else text
            if tag == _TIME and not self._rules.dates:
                tag = _STR
        if tag not in _CONSTRUCT:
            raise self._tag_fault(tag)
        if tag in _NUMBERS and len(_DIGITS.findall(text)) > self._rules.limits.number_digits:
            raise self._too_much("number_digits", "digits in a number")
        try:
            value = _CONSTRUCT[tag](self._constructor, yaml.ScalarNode(tag, text))
        except (ValueError, TypeError, OverflowError, AttributeError, LookupError, ArithmeticError) as error:
            # PyYAML lets Python's own complaint through for values such as 0b, !!int x, or 2026-13-45
            kind = tag.removeprefix(_TAG)
            raise self._fault(f"{shown(text)} is no {kind}; mend it, or put it in quotes") from error
        if self._rules.finite and isinstance(value, float) and not math.isfinite(value):
            raise self._fault(f"{shown(text)} is not finite; expected a number")
        return value

    def _fault(self, message: str, *, kind: str = "value", limit: str = "") -> YamlFault:
        return YamlFault(message, line=self._line, kind=kind, limit=limit)

    def _tag_fault(self, tag: str) -> YamlFault:
        kind = "tag" if tag.startswith(_TAG) and "python" not in tag else "value"
        message = f"could not determine a constructor for the tag {shown(tag)}; write a plain value"
        return self._fault(message, kind=kind)

    def _too_much(self, limit: str, what: str) -> YamlFault:
        return self._fault(beyond(self._rules.limits, limit, what), kind="size", limit=limit)
