"""An API server with Kubeflow Trainer behind it, as far as the launcher meets them: no cluster is at hand.

It keeps TrainJobs as a real one does, takes JSON patches by their rules, and its controller moves on a step with each look
at a TrainJob: a pod is made, prints a line at each step unless the TrainJob is suspended, and the TrainJob ends.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TRAINJOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"
PODS = "/api/v1/namespaces/team/pods"


class TrainJobServer:
    """`objects`: TrainJobs by name. `steps`: how many a training takes; `ends`: the condition that it ends with.

    `faults`: answers in place of the next ones, by method and path where it is a function. `work`: steps that pods made;
    `done`: called when a training ends. `pods`: name -> its log, lines with the moment of each.
    """

    def __init__(self, steps: int = 3, ends: str = "Complete") -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, list[str]] = {}
        self.steps, self.ends = steps, ends
        self.work = 0
        self.faults: list[int | str] = []
        self.refuses: Callable[[str, str], int] = lambda _method, _path: 0
        self.requests: list[str] = []
        self.done: Callable[[dict[str, Any]], None] = lambda _job: None
        self.makes_pods = True
        self.url = ""

    def step(self, job: dict[str, Any]) -> None:
        """A moment of the controller."""
        status = job.setdefault("status", {})
        if status.get("conditions") and status["conditions"][0]["type"] in ("Complete", "Failed"):
            return
        suspended = bool(job["spec"].get("suspend"))
        if suspended:
            status["conditions"] = [{"type": "Suspended", "status": "True", "reason": "Suspended", "message": ""}]
            status["jobsStatus"] = []
            self.pods.clear()
            return
        status["conditions"] = []
        if not self.makes_pods:
            return
        if not self.pods:
            self.pods[f"{job['metadata']['name']}-node-0-0-{self.work}"] = []
        self.work += 1
        (log,) = self.pods.values()
        # Two lines of one moment: a look may come between them and the next ones
        log += [f"2026-11-29T12:00:{len(log) // 2:02d}.5Z iteration {self.work}{part}" for part in ("a", "b")]
        status["jobsStatus"] = [{"name": "node", "active": 1, "ready": 1, "succeeded": 0, "failed": 0, "suspended": 0}]
        if self.work >= self.steps:
            status["conditions"] = [
                {"type": self.ends, "status": "True", "reason": f"Jobs{self.ends}", "message": f"jobset {self.ends}"}
            ]
            self.done(job)

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Status and body of a request."""
        url = urlsplit(target)
        if url.path == PODS:
            wanted = dict(part.split("=") for part in parse_qs(url.query)["labelSelector"][0].split(","))
            assert wanted["jobset.sigs.k8s.io/replicatedjob-name"] == "node"
            assert wanted["batch.kubernetes.io/job-completion-index"] == "0"
            ours = wanted["jobset.sigs.k8s.io/jobset-name"] in self.objects
            items = [{"metadata": {"name": name}} for name in self.pods if ours]
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        if url.path.startswith(f"{PODS}/"):
            name, _, rest = url.path.removeprefix(f"{PODS}/").partition("/")
            query = parse_qs(url.query)
            assert (rest, query["container"], query["timestamps"]) == ("log", ["node"], ["True"])
            if name not in self.pods:
                return 404, {"message": f'pods "{name}" not found'}
            return 200, "".join(f"{line}\n" for line in self.pods[name][-int(query["tailLines"][0]) :])
        if url.path == TRAINJOBS or url.path.startswith(f"{TRAINJOBS}/"):
            return self._trainjob(method, unquote(url.path.removeprefix(TRAINJOBS).strip("/")), body)
        return 404, {"message": "the server could not find the requested resource"}

    def _trainjob(self, method: str, name: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            name = body["metadata"]["name"]
            assert body["metadata"].get("namespace", "team") == "team"
            if name in self.objects:
                return 409, {"message": f'trainjobs.trainer.kubeflow.org "{name}" already exists'}
            self.objects[name] = body
            return 201, body
        if name not in self.objects:
            return 404, {"message": f'trainjobs.trainer.kubeflow.org "{name}" not found'}
        if method == "DELETE":
            self.pods.clear()
            return 200, self.objects.pop(name)
        if method == "PATCH":
            return self._patch(name, body)
        self.step(self.objects[name])
        return 200, self.objects[name]

    def _patch(self, name: str, body: Any) -> tuple[int, Any]:
        if not isinstance(body, list):
            return 415, {"message": "the body is no JSON patch"}
        patched = json.loads(json.dumps(self.objects[name]))
        for change in body:
            *above, last = (part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:])
            place = patched
            for key in above:
                if key not in place:
                    return 422, {"message": f"the path {change['path']} does not exist"}
                place = place[key]
            place[last] = change["value"]
        fixed = [
            {key: value for key, value in each["spec"].items() if key != "suspend"}
            for each in (patched, self.objects[name])
        ]
        if fixed[0] != fixed[1]:
            return 422, {"message": "spec is immutable but for suspend"}
        self.objects[name] = patched
        return 200, patched


@contextmanager
def serving(state: TrainJobServer) -> Iterator[TrainJobServer]:
    """The server at `state.url` for as long as the block runs."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            with lock:
                self._answered()

        def _answered(self) -> None:
            state.requests.append(f"{self.command} {urlsplit(self.path).path}")
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            fault = state.faults.pop(0) if state.faults else state.refuses(self.command, urlsplit(self.path).path)
            if fault == "lose the answer":
                state.answer(self.command, self.path, body)
                fault = 504
            status, value = (
                (int(fault), {"message": "a fault"}) if fault else state.answer(self.command, self.path, body)
            )
            is_log = isinstance(value, str)
            data = value.encode() if is_log else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_log else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = _do

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
