"""Every way in which one value of a JSON or YAML document may be another: what a damaged or edited record looks like."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

MISSING = object()
# What stands in the place of a value; each of them is JSON
ODD: tuple[Any, ...] = (
    MISSING, None, True, False, -1, 0, 1, 1.5, 2**53, -(2**70), "", "x", "../..", "\u202e", [], {}, [[]], [None], {"a": 1},
)  # fmt: skip


def paths_of(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a document, from the outermost, which is ()."""
    yield above
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield from paths_of(one, (*above, key))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place, or without the place for `MISSING`."""
    if not path:
        return None if value is MISSING else value
    changed = copy.deepcopy(document)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed


def all_changed(document: Any, odd: tuple[Any, ...] = ODD) -> Iterator[tuple[str, Any]]:
    """(what was done, the document) for every place and odd value."""
    for path in paths_of(document):
        for value in odd:
            yield f"{'.'.join(map(str, path))} = {value!r:.20}", with_value(document, path, value)


def changed(document: Any, rng: random.Random) -> Any:
    """The document with one to three values changed, doubled or exchanged."""
    for _ in range(rng.randint(1, 3)):
        paths = list(paths_of(document))
        path = rng.choice(paths)
        other = document
        for key in rng.choice(paths):
            other = other[key]
        document = with_value(document, path, rng.choice([*ODD, copy.deepcopy(other)]))
    return document


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Cuts, doubles, exchanges pieces of a file; numbers in it become odd ones. JSON documents change by their values."""
    if rng.random() < 0.5:
        try:
            return json.dumps(changed(json.loads(data), rng)).encode()
        except ValueError:
            pass
    words = [
        b"nan",
        b"-1",
        b"1e999",
        b"null",
        b"[]",
        b"{}",
        b'"',
        b"<a>",
        b"\xff\xfe",
        b"9" * 40,
        b"\0",
        b"\n",
        b"../",
        b"%",
    ]
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randrange(len(data) + 1), rng.randint(1, 12)
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at] + data[at + length :]
        elif kind == 1:
            data = data[:at] + rng.choice(words) + data[at:]
        elif kind == 2:
            data = data[:at] + rng.randbytes(length) + data[at + length :]
        elif kind == 3:
            data = data[:at] + data[at : at + length] * 2 + data[at + length :]
        elif kind == 4:
            data = data[:at]
        else:  # the next number becomes a word
            end = start = next((i for i in range(at, len(data)) if data[i : i + 1].isdigit()), at)
            while data[end : end + 1].isdigit():
                end += 1
            data = data[:start] + rng.choice(words) + data[end:]
    return data
