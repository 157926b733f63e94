"""A Kubeflow Pipelines server on the loopback that takes the calls of `kfp.Client` for runs, strictly, and records them.

How are you, the experiment of a name, the pipeline of a name, its versions, an upload, and runs: started from a version,
found by a name, looked at, terminated. Method, path, query, content type and every field are held to the API's v2beta1
definitions (kubeflow/pipelines, backend/api/v2beta1: run.proto, experiment.proto, pipeline.proto, filter.proto, and
pipeline_upload_server.go); a pipeline spec to KFP's own messages and the parameters to its form. What does not fit is
refused as the server would, and is kept in `faults`, so that a client that overlooks the refusal is found out. Logs are
given as `run_log_server.go` does, or as the user interface before the API: `logs_by`.
"""

import email
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from driver_replay import Compiled, DriverError, Server
from quick_yaml import load_documents
from workflow_play import Play

API = "/apis/v2beta1"
JSON = "application/json"
HEALTH, EXPERIMENTS, RUNS = ("GET", f"{API}/healthz"), ("GET", f"{API}/experiments"), ("POST", f"{API}/runs")
NEW_EXPERIMENT, FOUND_RUNS = ("POST", f"{API}/experiments"), ("GET", f"{API}/runs")
PIPELINES, NEW_PIPELINE = ("GET", f"{API}/pipelines"), ("POST", f"{API}/pipelines")
UPLOAD = ("POST", f"{API}/pipelines/upload_version")
INTERFACE_LOG = ("GET", "/k8s/pod/logs")
_VERSIONS = re.compile(rf"{API}/pipelines/([\w-]+)/versions")
_VERSION = re.compile(rf"{API}/pipelines/([\w-]+)/versions/([\w-]+)")
_RUN = re.compile(rf"{API}/runs/([\w-]+?)(:terminate)?")
_LOG = re.compile(r"/apis/v1alpha1/runs/([\w-]+)/nodes/([\w.-]+)/log")
INDEX = "<!doctype html><html><head><title>Kubeflow Pipelines</title></head></html>"
Call = tuple[str, str]
Fault = Literal["502", "503", "reset", "lost"]  # lost: taken, and the answer does not arrive


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
    `tag`: the release that it calls itself; `page`: how many of a listing it gives at a time; `passing`: faults of a
    call, each once and in their order; `play`: what a run does, a look at a time; `logs_by`: who gives logs.
    """

    multi_user: bool = True
    tag: str = "2.17.0"
    token: str = ""
    cookie: str = ""
    page: int = 100
    play: Play = field(default_factory=Play)
    logs_by: Literal["API", "user interface", "nobody"] = "API"
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    compiled: dict[str, Compiled] = field(default_factory=dict)
    instead: dict[Call, Answer] = field(default_factory=dict)
    passing: dict[Call, list[Fault]] = field(default_factory=dict)
    calls: list[Recorded] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    host: str = ""

    @property
    def runs(self) -> list[Any]:
        """The bodies of the runs that were asked for."""
        return [recorded.body for recorded in self.calls if recorded.call == RUNS]

    @property
    def told(self) -> list[Call]:
        """The calls that came, those that only ask left out."""
        return [one.call for one in self.calls if one.call[0] != "GET"]

    def pipeline_of(self, body: Mapping[str, Any]) -> Compiled:
        """The compiled pipeline that the body of a run refers to."""
        return self.compiled[body["pipeline_version_reference"]["pipeline_version_id"]]

    def answer(self, recorded: Recorded, raw: bytes) -> Answer | None:
        """Takes a call or refuses it; None: nothing is answered, and the connection ends."""
        self.calls.append(recorded)
        fault = self.passing[recorded.call].pop(0) if self.passing.get(recorded.call) else ""
        if fault == "reset":
            return None
        if fault in ("502", "503"):
            return Answer(int(fault), "<html><title>Bad Gateway</title></html>", "text/html")
        if recorded.call in self.instead:
            return self.instead[recorded.call]
        try:
            taken = self._take(recorded, raw)
        except RefusedError as error:
            self.faults.append(f"{' '.join(recorded.call)}: {error}")
            return Answer(error.status, {"error": str(error), "code": 3, "message": str(error), "details": []})
        if fault == "lost":
            return None
        return taken if isinstance(taken, Answer) else Answer(200, taken)

    def _take(self, recorded: Recorded, raw: bytes) -> Any:
        method, path = recorded.call
        if found := _LOG.fullmatch(path):
            return self._log(found[1], found[2], recorded)
        if recorded.call == INTERFACE_LOG:
            return self._interface_log(recorded)
        self._check_caller(recorded, raw)
        takers = {
            HEALTH: self._health, EXPERIMENTS: self._list, NEW_EXPERIMENT: self._experiment, RUNS: self._run,
            FOUND_RUNS: self._find_runs, PIPELINES: self._list_pipelines, NEW_PIPELINE: self._new_pipeline,
        }  # fmt: skip
        if recorded.call in takers:
            return takers[recorded.call](recorded)
        if recorded.call == UPLOAD:
            return self._upload(recorded, raw)
        if method == "GET" and (found := _VERSIONS.fullmatch(path)):
            of = [self._shown(one) for one in self.versions.values() if one["pipeline_id"] == found[1]]
            return self._page("pipeline_versions", of, recorded)
        if method == "GET" and (found := _VERSION.fullmatch(path)):
            return self._one_version(found[1], found[2])
        if found := _RUN.fullmatch(path):
            return self._one_run(method, found[1], found[2] or "")
        raise RefusedError(404, "Not Found")

    def _check_caller(self, recorded: Recorded, raw: bytes) -> None:
        headers = recorded.headers
        self._check_identity(headers)
        if headers.get("accept") != JSON:
            raise RefusedError(406, f"expected accept: {JSON}")
        method = recorded.call[0]
        if method == "GET" and raw:
            raise RefusedError(400, "a body where none is taken")
        kind = headers.get("content-type", "")
        if recorded.call == UPLOAD:
            if not kind.startswith("multipart/form-data; boundary="):
                raise RefusedError(415, f"unexpected content-type: {kind}")
        elif method == "POST" and (kind != JSON or recorded.query):
            raise RefusedError(415, f"expected content-type: {JSON} and no query")

    def _check_identity(self, headers: Mapping[str, str]) -> None:
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            raise RefusedError(401, "the token is missing or wrong")
        if self.cookie and headers.get("cookie") != self.cookie:
            raise RefusedError(401, "the cookie is missing or wrong")

    def _health(self, recorded: Recorded) -> dict[str, Any]:
        _allow(recorded.query, ())
        # What backend/src/apiserver/main.go writes, which is more than the API's definition of the answer has
        told = {"commit_sha": "2f3b5e9", "tag_name": self.tag, "multi_user": self.multi_user}
        return told | {"pipeline_store": "database"}

    def _list(self, recorded: Recorded) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        _allow(query, ("filter", "namespace"))
        self._own_namespace(query)
        found = [one for one in self.experiments.values() if one["display_name"] == _wanted_name(recorded.query)]
        found = [one for one in found if one.get("namespace", "") == query.get("namespace", "")]
        return {"experiments": found, "total_size": len(found)} if found else {}

    def _experiment(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(body, ("display_name", "description", "namespace"))
        self._own_namespace(body)
        if not isinstance(body.get("display_name"), str) or not body["display_name"]:
            raise RefusedError(400, "Experiment has an empty name")
        if _is_taken(body, self.experiments):
            raise RefusedError(409, "Already exist error: an experiment of the name exists")
        made = {"experiment_id": f"e-{len(self.experiments) + 1}", **body, "created_at": "2026-11-23T00:00:00Z"}
        self.experiments[made["experiment_id"]] = made
        return made

    def _run(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(
            body, ("experiment_id", "display_name", "pipeline_version_reference", "runtime_config", "service_account")
        )
        if body.get("experiment_id") not in self.experiments:
            raise RefusedError(404, f"Experiment {body.get('experiment_id')!r} not found")
        if not isinstance(body.get("display_name"), str) or not body["display_name"]:
            raise RefusedError(400, "The run name is empty")
        self._check_parameters(body)
        run_id = f"r-{len(self.started) + 1}"
        self.started[run_id] = {"run_id": run_id, "state": "PENDING", "created_at": "2026-11-23T00:00:00Z", **body}
        return self.started[run_id]

    def _check_parameters(self, body: Mapping[str, Any]) -> None:
        """Refuses a version that is not there, and parameters that its form does not have, or of another type."""
        reference = body["pipeline_version_reference"]
        _allow(reference, ("pipeline_id", "pipeline_version_id"))
        version = self.versions.get(reference["pipeline_version_id"])
        if version is None or version["pipeline_id"] != reference["pipeline_id"]:
            raise RefusedError(404, "Pipeline version not found")
        _allow(body["runtime_config"], ("parameters",))
        try:
            Server().run(self.compiled[reference["pipeline_version_id"]], body["runtime_config"]["parameters"])
        except DriverError as error:
            raise RefusedError(400, str(error)) from error

    def _find_runs(self, recorded: Recorded) -> dict[str, Any]:
        _allow(recorded.query, ("filter", "experiment_id", "namespace", "page_token", "page_size", "sort_by"))
        if recorded.query.get("experiment_id", [""])[0] not in self.experiments:
            raise RefusedError(404, "Experiment not found")
        found = [one for one in self.started.values() if one["display_name"] == _wanted_name(recorded.query)]
        return {"runs": found, "total_size": len(found)} if found else {}

    def _one_run(self, method: str, run_id: str, action: str) -> dict[str, Any]:
        if run_id not in self.started:
            raise RefusedError(404, f"Run {run_id} not found")
        run = self.started[run_id]
        if (method, action) == ("POST", ":terminate"):
            run["is_terminated"] = True
            return {}
        if (method, action) != ("GET", ""):
            raise RefusedError(405, "Method Not Allowed")
        return {**{name: run[name] for name in run if name != "is_terminated"}, **self.play.look(run_id)}

    def _one_version(self, pipeline_id: str, version_id: str) -> dict[str, Any]:
        version = self.versions.get(version_id)
        if version is None or version["pipeline_id"] != pipeline_id:
            raise RefusedError(404, "Pipeline version not found")
        made = self.compiled[version_id]
        return {**self._shown(version), "pipeline_spec": {"pipeline_spec": made.spec, "platform_spec": made.platform}}

    def _shown(self, version: Mapping[str, Any]) -> dict[str, Any]:
        return dict(version)

    def _log(self, run_id: str, pod: str, recorded: Recorded) -> Answer:
        """As run_log_server.go: 200 is written before anything is read, and `follow` is none of its path's words."""
        self._check_identity(recorded.headers)
        if self.logs_by == "user interface":
            return Answer(200, INDEX, "text/html")  # it hands v1beta1 and v2beta1 on, and has its page for the rest
        if self.logs_by == "nobody":
            return Answer(404, "404 page not found", "text/plain")
        text = self.play.log(pod) if run_id in self.started else None
        if text is None:
            message = f'Failed to read logs for run {run_id}: pods "{pod}" not found'
            return Answer(200, json.dumps({"error_message": message, "error_details": message}), "text/plain")
        return Answer(200, text, "text/plain")

    def _interface_log(self, recorded: Recorded) -> Answer:
        """As the user interface's pod-logs.ts."""
        self._check_identity(recorded.headers)
        query = {name: only for name, (only,) in recorded.query.items()}
        _allow(query, ("podname", "runid", "podnamespace", "createdat"))
        if self.logs_by == "nobody":
            return Answer(404, "404 page not found", "text/plain")
        if self.multi_user and not query.get("podnamespace"):
            return Answer(422, "podnamespace argument is required", "text/plain")
        text = self.play.log(query["podname"])
        if text is None:
            return Answer(500, "Could not get main container logs: Error: not found", "text/plain")
        return Answer(200, text, "text/plain")

    def _page(self, name: str, found: list[Any], recorded: Recorded) -> dict[str, Any]:
        _allow(recorded.query, ("page_token", "page_size", "sort_by", "namespace", "filter"))
        start = int(recorded.query.get("page_token", ["0"])[0] or 0)
        page = found[start : start + self.page]
        more = {"next_page_token": str(start + self.page)} if start + self.page < len(found) else {}
        return {name: page, "total_size": len(found), **more} if page else {}

    def _list_pipelines(self, recorded: Recorded) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        self._own_namespace(query)
        found = [one for one in self.pipelines.values() if one["display_name"] == _wanted_name(recorded.query)]
        found = [one for one in found if one.get("namespace", "") == query.get("namespace", "")]
        return self._page("pipelines", found, recorded)

    def _new_pipeline(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(body, ("display_name", "description", "namespace"))
        self._own_namespace(body)
        if _is_taken(body, self.pipelines):
            raise RefusedError(409, "Already exist error: a pipeline of the name exists")
        made = {"pipeline_id": f"p-{len(self.pipelines) + 1}", **body, "created_at": "2026-11-23T00:00:00Z"}
        self.pipelines[made["pipeline_id"]] = made
        return made

    def _upload(self, recorded: Recorded, raw: bytes) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        _allow(query, ("name", "pipelineid", "description"))
        if query.get("pipelineid") not in self.pipelines:
            raise RefusedError(400, "Please specify a pipeline id when creating versions")
        head = f"Content-Type: {recorded.headers['content-type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + raw)
        (part,) = [one for one in form.walk() if not one.is_multipart()]
        assert isinstance(part, Message)
        if part.get_param("name", header="content-disposition") != "uploadfile":
            raise RefusedError(400, "no uploadfile")
        if not str(part.get_filename()).endswith((".yaml", ".yml")):
            raise RefusedError(400, "unexpected extension")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if any(
            (one["pipeline_id"], one["display_name"]) == (query["pipelineid"], query["name"])
            for one in self.versions.values()
        ):
            raise RefusedError(409, "Already exist error: a version of the name exists")
        version_id = f"v-{len(self.versions) + 1}"
        self.compiled[version_id] = Compiled.of(load_documents(data))
        self.versions[version_id] = {
            "pipeline_id": query["pipelineid"], "pipeline_version_id": version_id, "display_name": query["name"],
            "created_at": "2026-11-23T00:00:00Z",
        }  # fmt: skip
        return self.versions[version_id]

    def _own_namespace(self, given: Mapping[str, Any]) -> None:
        if self.multi_user and not given.get("namespace"):
            raise RefusedError(400, "Invalid input error: a namespace is required")


def _is_taken(body: Mapping[str, Any], there: Mapping[str, Mapping[str, Any]]) -> bool:
    names = ("display_name", "namespace")
    return any(all(one.get(name, "") == body.get(name, "") for name in names) for one in there.values())


def _wanted_name(query: Mapping[str, list[str]]) -> str:
    """The name that a filter asks for; `RefusedError` for a filter of another kind."""
    (predicate,) = json.loads(query["filter"][0])["predicates"]
    if set(predicate) != {"operation", "key", "stringValue"} or predicate["key"] != "display_name":
        raise RefusedError(400, f"a filter of another kind: {predicate}")
    if predicate["operation"] not in (1, "EQUALS"):
        raise RefusedError(400, f"unknown operation: {predicate['operation']}")
    return str(predicate["stringValue"])


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
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
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
