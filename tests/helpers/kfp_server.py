"""A Kubeflow Pipelines server on the loopback that takes the calls of `kfp.Client` for a run, strictly, and records them.

Three calls and no other: how are you (GET healthz), the experiment of a name (GET and POST experiments), start this run
(POST runs). Method, path, query, content type and every field are held to the API's v2beta1 definitions
(kubeflow/pipelines, backend/api/v2beta1: run.proto, experiment.proto, filter.proto); of the run, the pipeline spec to
KFP's own messages and the parameters to the form. What does not fit is refused as the server would, and is kept in
`faults`, so that a client that overlooks the refusal is found out.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from driver_replay import Compiled, Server

API = "/apis/v2beta1"
JSON = "application/json"
HEALTH, EXPERIMENTS, RUNS = ("GET", f"{API}/healthz"), ("GET", f"{API}/experiments"), ("POST", f"{API}/runs")
NEW_EXPERIMENT = ("POST", f"{API}/experiments")
Call = tuple[str, str]


class Answer(NamedTuple):
    """What is answered to a call: a dictionary as JSON, a text as it is."""

    status: int
    body: Any
    content_type: str = JSON
    headers: Mapping[str, str] = {}


class Recorded(NamedTuple):
    """A call that came, with what of it matters to a test."""

    call: Call
    query: Mapping[str, list[str]]
    body: Any
    headers: Mapping[str, str]


class RefusedError(Exception):
    """A call that the API does not take; `status` as the server would answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class KfpServer:
    """The server's state. `instead`: what is answered to a call in place of the API, such as by a proxy before it.

    `token` and `cookie`: what each call has to bring, where they are set; `multi_user`: then each call names a namespace;
    `tag`: the release that it calls itself.
    """

    multi_user: bool = True
    tag: str = "2.17.0"
    token: str = ""
    cookie: str = ""
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    instead: dict[Call, Answer] = field(default_factory=dict)
    calls: list[Recorded] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    host: str = ""

    @property
    def runs(self) -> list[Any]:
        """The bodies of the runs that were asked for."""
        return [recorded.body for recorded in self.calls if recorded.call == RUNS]

    def answer(self, recorded: Recorded, raw: bytes) -> Answer:
        """Takes a call or refuses it."""
        self.calls.append(recorded)
        if recorded.call in self.instead:
            return self.instead[recorded.call]
        try:
            return Answer(200, self._take(recorded, raw))
        except RefusedError as error:
            self.faults.append(f"{' '.join(recorded.call)}: {error}")
            return Answer(error.status, {"error": str(error), "code": 3, "message": str(error), "details": []})

    def _take(self, recorded: Recorded, raw: bytes) -> dict[str, Any]:
        headers = recorded.headers
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            raise RefusedError(401, "the token is missing or wrong")
        if self.cookie and headers.get("cookie") != self.cookie:
            raise RefusedError(401, "the cookie is missing or wrong")
        if headers.get("accept") != JSON:
            raise RefusedError(406, f"expected accept: {JSON}")
        takers = {HEALTH: self._health, EXPERIMENTS: self._list, NEW_EXPERIMENT: self._experiment, RUNS: self._run}
        if recorded.call not in takers:
            raise RefusedError(404, "Not Found")
        if recorded.call[0] == "GET" and raw:
            raise RefusedError(400, "a body where none is taken")
        if recorded.call[0] == "POST" and (headers.get("content-type") != JSON or recorded.query):
            raise RefusedError(415, f"expected content-type: {JSON} and no query")
        return takers[recorded.call](recorded)

    def _health(self, recorded: Recorded) -> dict[str, Any]:
        _allow(recorded.query, ())
        # What backend/src/apiserver/main.go writes, which is more than the API's definition of the answer has
        told = {"commit_sha": "2f3b5e9", "tag_name": self.tag, "multi_user": self.multi_user}
        return told | {"pipeline_store": "database"}

    def _list(self, recorded: Recorded) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        _allow(query, ("filter", "namespace"))
        self._own_namespace(query)
        (predicate,) = json.loads(query["filter"])["predicates"]
        if set(predicate) != {"operation", "key", "stringValue"} or predicate["key"] != "display_name":
            raise RefusedError(400, f"a filter of another kind: {predicate}")
        if predicate["operation"] not in (1, "EQUALS"):
            raise RefusedError(400, f"unknown operation: {predicate['operation']}")
        found = [one for one in self.experiments.values() if one["display_name"] == predicate["stringValue"]]
        found = [one for one in found if one.get("namespace", "") == query.get("namespace", "")]
        return {"experiments": found, "total_size": len(found)} if found else {}

    def _experiment(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(body, ("display_name", "description", "namespace"))
        self._own_namespace(body)
        if not isinstance(body.get("display_name"), str) or not body["display_name"]:
            raise RefusedError(400, "Experiment has an empty name")
        made = {"experiment_id": f"e-{len(self.experiments) + 1}", **body, "created_at": "2026-11-23T00:00:00Z"}
        self.experiments[made["experiment_id"]] = made
        return made

    def _run(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(body, ("experiment_id", "display_name", "pipeline_spec", "runtime_config", "service_account"))
        if body.get("experiment_id") not in self.experiments:
            raise RefusedError(404, f"Experiment {body.get('experiment_id')!r} not found")
        if not isinstance(body.get("display_name"), str) or not body["display_name"]:
            raise RefusedError(400, "The run name is empty")
        _allow(body["runtime_config"], ("parameters",))
        _allow(body["pipeline_spec"], ("pipeline_spec", "platform_spec"))
        Server().run(
            pipeline_of(body), body["runtime_config"]["parameters"]
        )  # which refuses other parameters and types
        return {"run_id": f"r-{len(self.runs)}", "state": "PENDING", **body}

    def _own_namespace(self, given: Mapping[str, Any]) -> None:
        if self.multi_user and not given.get("namespace"):
            raise RefusedError(400, "Invalid input error: a namespace is required")


def pipeline_of(body: Mapping[str, Any]) -> Compiled:
    """The compiled pipeline in the body of a run."""
    return Compiled.of([body["pipeline_spec"]["pipeline_spec"], body["pipeline_spec"]["platform_spec"]])


def _allow(given: Any, names: tuple[str, ...]) -> None:
    if not isinstance(given, Mapping) or set(given) - set(names):
        raise RefusedError(400, f"unknown fields: expected some of {names}, found {given!r:.200}")


@contextmanager
def kfp_server(kind: type[KfpServer] = KfpServer, **settings: Any) -> Iterator[Any]:
    """A running server. `settings` as of its `kind`."""
    server = kind(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            address = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = (self.command, address.path)
            query = parse_qs(address.query, keep_blank_values=True)
            try:
                body = json.loads(raw) if raw else None
            except ValueError:
                body = raw
            answer = server.answer(Recorded(call, query, body, headers), raw)
            data = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any

        def log_message(self, *_arguments: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server.host = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
