"""What a Kubeflow Pipelines server says against a run, on one line: where, what was asked, its reason, what to do."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any

from kfp_server_api import ApiException

from traffic_yolo.errors import ClusterError
from traffic_yolo.messages import one_line
from traffic_yolo.storage.documents import json_value
from traffic_yolo_pipelines.server_credentials import COOKIE_VARIABLE, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE

LOG_IN = (
    f"log in to the server and set {TOKEN_VARIABLE} to a token ({TOKEN_FILE_VARIABLE}: to a file with one), or "
    f"{COOKIE_VARIABLE} to the session's cookie"
)
CHECK_HOST = "check that --host is the address of the Kubeflow Pipelines API"
MOST_CHARACTERS = 400  # of a server's own words
# In this order: `message` says the most; gateways and proxies before the server have the others
_FIELDS = ("message", "error_message", "error_description", "error", "details", "detail")


def refuse_other_than_json(answer: Any, *, host: str, asked: str) -> None:
    """Raises `ClusterError` for an answer of status 200 that is no JSON object: what stands before the server gave it.

    `answer`: a response of kfp's REST client.
    """
    text = _text(answer.data)
    try:
        if isinstance(json_value(text, keys_once=False), dict):
            return
    except ValueError:
        pass
    kind = "a web page" if is_page(text) else "no JSON"
    words = said_in(text)
    kind += f" ({words})" if words else ""
    raise ClusterError(f"the server at {host}, {asked}, answered with {kind}; {LOG_IN}, and {CHECK_HOST}")


def said_by(error: Exception, *, host: str, asked: str, namespace: str) -> str:
    """The line for what kfp's client raised when the server at `host` was `asked` something."""
    if not isinstance(error, ApiException) or not error.status:
        reason = getattr(error, "reason", None) or error  # urllib3 wraps the reason in what it tried
        words = re.sub(r"^<?[\w.]+ object at 0x[0-9a-f]+>: |^[\w.]+\(.*?\): ", "", one_line(str(reason).strip()))
        return f"the server at {host}, {asked}, gave no answer: {_cut(words)}; check --host, and that it can be reached"
    status = int(error.status)
    name = HTTPStatus(status).phrase if status in set(HTTPStatus) else error.reason or ""
    words = said_in(_text(error.body)) or "no reason given"
    return f"the server at {host}, {asked}, refused: {status} {name}: {words}; {_what_to_do(status, namespace)}"


def said_in(body: str) -> str:
    """A server's own words in the body of its answer, on one line: of JSON its message, of a page its title."""
    try:
        found = _message(json_value(body, keys_once=False))
    except ValueError:
        found = _title(body) if is_page(body) else body
    return _cut(one_line(" ".join(found.split())))


def _message(value: Any) -> str:
    """The first of `_FIELDS` that says something, at any depth; a text is its own message."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next(filter(None, map(_message, value)), "")
    if isinstance(value, Mapping):
        return next(filter(None, (_message(value.get(name)) for name in _FIELDS)), "")
    return ""


def _what_to_do(status: int, namespace: str) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return f"{LOG_IN}; one that was given may have expired"
    if status == HTTPStatus.FORBIDDEN:
        where = f"the namespace {namespace}" if namespace else "the namespace; --namespace names it"
        return f"ask for the right to do so in {where}"
    if status == HTTPStatus.NOT_FOUND:
        return f"{CHECK_HOST}, often one that ends in /pipeline"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "the fault is the server's: try again later, and see the log of its ml-pipeline pod"
    return "correct what it names and submit again"


def is_page(text: str) -> bool:
    """Whether a text is a web page."""
    return bool(re.match(r"\s*<(!doctype html|html|head|body)\b", text, re.IGNORECASE))


def _title(page: str) -> str:
    """The title of a web page, or else its text."""
    reader = _PageReader()
    reader.feed(page)
    return " ".join(reader.title or reader.words)


class _PageReader(HTMLParser):
    """Collects the title and the visible words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.words: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            (self.title if self._inside == "title" else self.words).extend(data.split())


def _text(body: Any) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."
