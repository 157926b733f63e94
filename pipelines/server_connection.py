"""The one connection to a Kubeflow Pipelines server: what it is asked, what is asked again, what is said when it fails.

`server_credentials` knows who asks, `server_answers` puts a refusal into a line. kfp's own client makes the calls.
"""

import contextlib
import functools
import io
import json
import logging
import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import kfp
import kfp_server_api
import urllib3
from kfp_server_api.rest import RESTClientObject

from traffic_yolo.cluster.server_release import Need, check_server
from traffic_yolo.errors import ClusterError, OptionsError, TrafficYoloError
from traffic_yolo.storage.documents import json_value
from traffic_yolo_pipelines.server_answers import CHECK_HOST, LOG_IN, refuse_other_than_json, said_by
from traffic_yolo_pipelines.server_credentials import Credentials

NO_NAMESPACE = "kubeflow"  # kfp.Client's default, by which it takes the namespace of its own context file, or none
ATTEMPTS = 4  # of a call that may come twice: with the pauses between them about four seconds
LONGEST_PAUSE_S = 30.0
TIMEOUT_S = (20.0, 120.0)  # to connect, and between two pieces of an answer: a server that says nothing is away
PAGE_SIZE = 100
Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class NoAnswerError(ClusterError):
    """A server, or a gateway before it, that did not say what became of a call: it may have done what it was told."""


class TakenError(ClusterError):
    """A server that has something of this name already."""


class Connection:
    """A server at `host`, and the `namespace` that is meant on it. Methods raise `ClusterError` for what it refuses.

    `credentials`: by default those of the environment.
    """

    def __init__(self, host: str, namespace: str, credentials: Credentials | None = None) -> None:
        """Asks the server how it is, once: a wrong address is told at once. Raises `OptionsError`, `ClusterError`."""
        self.host = host.rstrip("/") if host.startswith("http") else f"https://{host.rstrip('/')}"  # as kfp does
        self.namespace = namespace or _own_namespace()
        self.credentials = credentials or Credentials.of_environment()
        self.client: Any = None
        health = self.ask("asked how it is", self._connected, attempts=1)
        self.tag = self.client.server_tag
        self.namespace = self.namespace or str(self.client.get_user_namespace() or "")
        if health.multi_user and not self.namespace:
            raise OptionsError(f"the server at {self.host} is one of several users; give --namespace, yours on it")

    def check_needs(self, needs: Iterable[Need]) -> None:
        """Raises `ClusterError` where the server is older than what a run needs."""
        check_server(self.host, self.tag, needs)

    def ask(self, asked: str, call: Callable[[], Answer], *, attempts: int = ATTEMPTS) -> Answer:
        """The answer to `call`; `asked` is what it is, in words for a message.

        With several `attempts` it is repeated, after growing pauses, where the server is away or busy: only for what
        may come twice. Raises `NoAnswerError` where it stays away, `TakenError` for a name that is taken,
        `ClusterError` for another refusal.
        """
        for attempt in range(1, attempts + 1):
            try:
                with _quiet():
                    answer = call()
                    self._check_answer(asked)
                return answer
            except TrafficYoloError:
                raise
            except Exception as error:  # kfp lets urllib3's, its own and generated ones through, of no common root
                line = said_by(error, host=self.host, asked=asked, namespace=self.namespace)
                if not self._passes(error):
                    is_taken = getattr(error, "status", 0) == HTTPStatus.CONFLICT
                    raise (TakenError if is_taken else ClusterError)(line) from error
                if attempt == attempts:
                    raise NoAnswerError(line) from error
                if attempt >= ATTEMPTS:  # of a wait: whoever looks on should know why nothing comes
                    log.warning("%s; asking again", line)
                pause(pause_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    def pages(self, asked: str, call: Callable[[str], Any], name: str) -> Iterator[Any]:
        """All of a listing, whose pages `call` gives by their tokens; `name`: the field of an answer that has them."""
        token = ""
        while True:
            answer = self.ask(asked, functools.partial(call, token))
            yield from getattr(answer, name) or ()
            token = answer.next_page_token or ""
            if not token:
                return

    def experiment_id(self, name: str) -> str:
        """Of the experiment of this name in the namespace, which is made where there is none."""
        asked = f"asked for the experiment {name}"
        create = functools.partial(self.client.create_experiment, name, namespace=self.namespace or None)
        try:
            made = self.ask(asked, create)  # which looks for it first, so that it may come twice
        except TakenError:  # another was quicker
            made = self.ask(asked, create)
        return self.id_of(made.experiment_id, asked)

    def id_of(self, found: str | None, asked: str) -> str:
        """An id that an answer has; `ClusterError` where it has none."""
        if not found:
            raise ClusterError(
                f"the server at {self.host}, {asked}, answered without an id; {LOG_IN}, and {CHECK_HOST}"
            )
        return str(found)

    def raw_json(self) -> Any:
        """The last answer as JSON; kfp's models leave out what they do not know."""
        return json_value(self._last_response().data, keys_once=False)

    def text(self, path: str, query: dict[str, str], most: int) -> tuple[int, str]:
        """(status, the first `most` bytes as text) of an address of the server's that its API does not describe.

        A redirect is an answer like another: it leads to a page for logging in. Raises what urllib3 raises.
        """
        calls = self.client.calls
        headers = {**calls.default_headers, "Accept": "*/*", **({"Cookie": calls.cookie} if calls.cookie else {})}
        calls.update_params_for_auth(headers, [], ["Bearer"])
        limit = urllib3.Timeout(connect=TIMEOUT_S[0], read=TIMEOUT_S[1])
        answer = calls.rest_client.pool_manager.request(
            "GET", f"{calls.configuration.host}{path}", fields=query, headers=headers, timeout=limit, redirect=False,
            retries=False, preload_content=False,
        )  # fmt: skip
        try:
            return int(answer.status), answer.read(most, decode_content=True).decode(errors="replace")
        finally:
            answer.close()

    @property
    def ui(self) -> str:
        """The address of the user interface, of which links are made."""
        with contextlib.suppress(AttributeError):
            return str(self.client._get_url_prefix()).rstrip("/")
        return self.host

    def _connected(self) -> Any:
        token_file = self.credentials.token_file
        if token_file:
            token_file.refresh_api_key_hook(kfp_server_api.Configuration())  # refuses a file that holds none
        self.client = self.client or _Client(
            host=self.host,
            namespace=self.namespace or NO_NAMESPACE,
            existing_token=self.credentials.token or None,
            cookies=self.credentials.cookie or None,
            credentials=token_file,
        )
        return self.client.get_kfp_healthz()

    def _last_response(self) -> Any:
        return self.client.calls.last_response

    def _check_answer(self, asked: str) -> None:
        """Raises `ClusterError` where the last answer is no JSON: kfp reads a web page as an answer without fields."""
        refuse_other_than_json(self._last_response(), host=self.host, asked=asked)

    def _passes(self, error: Exception) -> bool:
        """Whether a fault is one that passes by itself."""
        if isinstance(error, kfp_server_api.ApiException):
            status = int(error.status or 0)
            # A file's token may be the old one until whoever keeps it has written the next
            is_old_token = status == HTTPStatus.UNAUTHORIZED and self.credentials.token_file is not None
            return is_old_token or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500
        reason = getattr(error, "reason", None) or error  # urllib3 wraps the reason in what it tried
        if isinstance(reason, urllib3.exceptions.SSLError | urllib3.exceptions.LocationValueError):
            return False
        return isinstance(error, urllib3.exceptions.HTTPError | OSError)


def equal_name(name: str) -> str:
    """The filter of a listing for what has a name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def pause_s(attempt: int) -> float:
    """Seconds before attempt number `attempt` + 1: growing, and random, so that several do not come at once."""
    return float(min(LONGEST_PAUSE_S, 0.5 * 2.0 ** min(attempt - 1, 10)) * random.uniform(0.75, 1.25))


def pause(seconds: float) -> None:
    """Waits before something is asked again."""
    time.sleep(seconds)


class _Client(kfp.Client):
    """kfp's client, which asks once how the server is: kfp's own asks five times with a traceback for each refusal."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:  # noqa: ARG002 (kfp's signature)
        if not isinstance(self.calls.rest_client, _BoundedRest):
            # Of a server that hangs urllib3 would wait for four answers; `ask` says what is asked again, and when
            self._existing_config.retries = urllib3.Retry(total=None, connect=0, read=0, other=0, redirect=5)
            self.calls.rest_client = _BoundedRest(self._existing_config)
        return self._healthz_api.healthz_service_get_healthz()

    def get_experiment(self, *given: Any, **named: Any) -> Any:
        try:
            return super().get_experiment(*given, **named)
        except ValueError:  # "No experiment is found", which kfp makes of a web page as well
            refuse_other_than_json(
                self.calls.last_response, host=self._existing_config.host, asked="asked for its experiments"
            )
            raise

    @property
    def calls(self) -> Any:
        """The client below, which makes the HTTP calls."""
        return self._healthz_api.api_client

    @property
    def server_tag(self) -> str | None:
        """The release that the server, asked how it is, called itself; kfp's own model of the answer leaves it out."""
        answer = json_value(self.calls.last_response.data, keys_once=False)
        tag = answer.get("tag_name")
        return tag if isinstance(tag, str) else None


class _BoundedRest(RESTClientObject):  # type: ignore[misc]
    """kfp's calls with a time limit; without one a server that hangs would hold the command for ever."""

    def request(self, *given: Any, **named: Any) -> Any:
        named["_request_timeout"] = named.get("_request_timeout") or TIMEOUT_S
        return super().request(*given, **named)


def _own_namespace() -> str:
    """That of this pod, "" elsewhere; kfp's client would write it into a file of the user's."""
    with contextlib.suppress(OSError):
        return Path(kfp.Client._NAMESPACE_PATH).read_text(encoding="utf-8").strip()
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what kfp and urllib3 tell: links to runs that are not there, versions, a line for each attempt."""
    attempts = logging.getLogger("urllib3.connectionpool")
    level = attempts.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        attempts.setLevel(logging.ERROR)
        try:
            yield
        finally:
            attempts.setLevel(level)
