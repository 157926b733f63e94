"""Holds JSON text against the limits before it is parsed, at the speed of a search through its bytes.

A first look may overcount, because it takes what stands inside texts for structure; only where that look finds a limit
passed are texts told apart, which takes longer and is exact.
"""

import re

from traffic_yolo.limits import Limits, beyond

_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_UNICODE_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SPACE = b" \t\r\n"


def passed_limit(data: bytes, limits: Limits) -> str:
    """Why JSON text may not be parsed, in words for a message; "" where it keeps to all limits."""
    return passed_by_a_piece(data, limits) or _too_many_values(data, limits)


def passed_by_a_piece(data: bytes, limits: Limits) -> str:
    """`passed_limit` of what can be wrong with any piece of a document: depth, digits of numbers, length of texts."""
    if _depth(data, limits.document_depth) > limits.document_depth and (
        _depth(_without_texts(data), limits.document_depth) > limits.document_depth
    ):
        return beyond(limits, "document_depth", "levels inside each other")
    if _has_long_number(data, limits.number_digits) and _has_long_number(_without_texts(data), limits.number_digits):
        return beyond(limits, "number_digits", "digits in a number")
    return _long_text(data, limits)


def lone_surrogate(data: bytes) -> bool:
    r"""Whether a text has half a character, as in "\ud800": Python takes it, and no file can ever hold it."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return False
    awaited = -1  # where the second half of a pair must stand
    for match in _UNICODE_ESCAPE.finditer(data):
        code = int(match[1], 16) if match[1] else 0
        if awaited >= 0:
            if match.start() != awaited or not 0xDC00 <= code < 0xE000:
                return True
            awaited = -1
        elif 0xD800 <= code < 0xDC00:
            awaited = match.end()
        elif 0xDC00 <= code < 0xE000:
            return True
    return awaited >= 0


def _without_texts(data: bytes) -> bytes:
    return _TEXT.sub(b'""', data)


def _depth(data: bytes, most: int) -> int:
    """How deep brackets lie in each other; `most` + 1 for all that is deeper. Those that never close count as well."""
    left = data.translate(_AS_SQUARE, _ALL_BUT_BRACKETS)
    for depth in range(most + 1):
        shorter = left.replace(b"[]", b"")  # each round takes the innermost level of all
        if len(shorter) == len(left):
            return depth + left.count(b"[")
        left = shorter
    return most + 1


def _has_long_number(data: bytes, digits: int) -> bool:
    return b"0" * (digits + 1) in data.translate(_AS_ZERO)


def _too_many_values(data: bytes, limits: Limits) -> str:
    if _num_values(data) <= limits.json_values or _exact_num_values(data) <= limits.json_values:
        return ""
    return beyond(limits, "json_values", "values")


def _num_values(data: bytes) -> int:
    return 1 + data.count(b",") + data.count(b"[") + data.count(b"{")


def _exact_num_values(data: bytes) -> int:
    bare = _without_texts(data).translate(None, _SPACE)
    return _num_values(bare) - bare.count(b"[]") - bare.count(b"{}")


def _long_text(data: bytes, limits: Limits) -> str:
    most = limits.text_characters
    if len(data) <= most + 2:
        return ""
    whole = _ESCAPE.sub(b"..", data) if b"\\" in data else data
    place = whole.find(b'"')
    while place >= 0 and len(whole) - place > most + 1:
        following = whole.rfind(b'"', place + 1, place + most + 2)
        if following < 0:  # a long text, or much space between two
            following = whole.find(b'"', place + 1)
            if whole.count(b'"', 0, place + 1) % 2:
                return beyond(limits, "text_characters", "characters in a text")
        place = following
    return ""
