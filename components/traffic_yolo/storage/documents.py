"""The one reader of YAML and the one of JSON, for all that others may have written: options, records, labels.

Depth, number of values, what aliases repeat, digits of numbers and lengths of texts are held against `limits.Limits`; a
key that stands twice, NaN and infinities are refused. A fault is one line of the caller's error class, with the place.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from traffic_yolo.errors import StorageError, TrafficYoloError
from traffic_yolo.limits import beyond, limits
from traffic_yolo.messages import shown
from traffic_yolo.storage.atomic import storage_error
from traffic_yolo.storage.json_bounds import lone_surrogate, passed_limit
from traffic_yolo.storage.locations import AnyPath, local_path
from traffic_yolo.storage.yaml_values import YamlFault, YamlRules, yaml_documents

Refusal = Callable[[str], TrafficYoloError]
BOM = b"\xef\xbb\xbf"


class _JsonFault(ValueError):
    """What is wrong with a text, without a place."""


def read_yaml(path: AnyPath, *, what: str, error: Refusal = StorageError) -> Any:
    """The value in a YAML file; None where it is empty.

    Raises `StorageError` for a file that cannot be read, `error` for one that is not UTF-8 or YAML, holds several
    documents, or passes a limit; `what` names the file's part in the message.
    """
    try:
        text = _bytes(path, what, error).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{what} {path}: not UTF-8 text (byte {fault.start})") from fault
    except OSError as fault:
        if isinstance(fault, StorageError):
            raise
        raise StorageError(f"{what} cannot be read: {path}: {fault.strerror}") from fault
    return parse_yaml(text, where=f"{what} {path}", error=error)


def parse_yaml(text: str, *, where: str, error: Refusal = StorageError) -> Any:
    """The value in a YAML text; raises `error`, the message beginning with `where` and the line."""
    try:
        found = yaml_documents(text, YamlRules(limits()))
    except YamlFault as fault:
        line = f" line {fault.line}" if fault.line else ""
        column = f" column {fault.column}" if fault.column else ""
        reason = "not YAML: " if fault.kind == "syntax" else ""
        raise error(f"{where}{line}{column}: {reason}{fault.message}") from fault
    if len(found) > 1:
        raise error(f"{where}: expected one YAML document; found {len(found)}")
    return found[0] if found else None


def read_json(path: AnyPath, *, what: str, error: Refusal = StorageError) -> Any:
    """The value in a JSON file.

    Raises `StorageError` for a file that cannot be read, `error`, with file, line and column, for one that is not UTF-8
    or JSON, or passes a limit; `what` names the file's part in the message.
    """
    try:
        return json_value(_bytes(path, what, error))
    except json.JSONDecodeError as fault:
        where = f"{path} line {fault.lineno} column {fault.colno}"
        raise error(f"{what} is not valid JSON: {where}: {fault.msg}") from fault
    except UnicodeDecodeError as fault:
        raise error(f"{what} is not UTF-8 text: {path} byte {fault.start}") from fault
    except ValueError as fault:
        if isinstance(fault, TrafficYoloError):
            raise
        raise error(f"{what} is not valid JSON: {path}: {fault}") from fault
    except OSError as fault:
        if isinstance(fault, StorageError):
            raise
        raise storage_error(fault, Path(path), what=what) from fault


def parse_json(data: bytes | str, *, where: str, error: Refusal = StorageError, holds_pictures: bool = False) -> Any:
    """The value in a JSON text; raises `error`, the message beginning with `where`, line and column.

    `holds_pictures`: texts may be as long as a picture that is written out.
    """
    try:
        return json_value(data, holds_pictures=holds_pictures)
    except json.JSONDecodeError as fault:
        raise error(f"{where} line {fault.lineno} column {fault.colno}: not valid JSON: {fault.msg}") from fault
    except UnicodeDecodeError as fault:
        raise error(f"{where}: not UTF-8 text (byte {fault.start})") from fault
    except ValueError as fault:
        raise error(f"{where}: not valid JSON: {fault}") from fault


def json_value(data: bytes | str, *, holds_pictures: bool = False, keys_once: bool = True) -> Any:
    """The value in a JSON text; `ValueError` with one line, json's own class where it knows line and column.

    For callers who take a fault as an answer; others want `read_json` or `parse_json`. `keys_once`: refuse a key that
    stands twice in an object, of which else the last counts.
    """
    bounds = limits()
    if holds_pictures:
        bounds = replace(bounds, text_characters=bounds.embedded_characters)
    encoded = (data.encode(errors="surrogatepass") if isinstance(data, str) else data).removeprefix(BOM)
    if reason := passed_limit(encoded, bounds):
        raise _JsonFault(reason)
    text = encoded.decode()
    if lone_surrogate(encoded):
        raise _JsonFault("a text holds half a character (a lone surrogate such as \\ud800)")
    try:
        hook = _object if keys_once else None
        return json.loads(text, object_pairs_hook=hook, parse_float=_number, parse_constant=_refused)
    except RecursionError as error:
        raise _JsonFault("nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _JsonFault(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} stands there twice")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _JsonFault(f"the number {shown(text)} is beyond what a computer holds")
    return value


def _refused(word: str) -> float:
    raise _JsonFault(f"{word} is no JSON; expected a number or null")


def _bytes(path: AnyPath, what: str, error: Refusal) -> bytes:
    bounds = limits()
    with local_path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size > bounds.document_bytes:
            raise error(f"{what} {path}: {beyond(bounds, 'document_bytes', 'bytes')}")
        return file.read()
