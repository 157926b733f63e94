"""An API server with Katib behind it, as far as the launcher meets them: no cluster is at hand.

It keeps objects as a real one does, and its controllers move on a step with each request: Katib makes trials up to
`parallelTrialCount`, each trial works in its Job unless that is suspended, and edits are refused as Katib's webhook does.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

EXPERIMENTS = "/apis/kubeflow.org/v1beta1/namespaces/team/experiments"
TRIALS = "/apis/kubeflow.org/v1beta1/namespaces/team/trials"
EDITABLE = ("parallelTrialCount", "maxTrialCount", "maxFailedTrialCount")


class KatibServer:
    """`objects`: Experiments by name. `statuses` that an Experiment takes on, one a request; without, Katib's own.

    `faults`: answers in place of the next ones. `work`: steps of trials that ran. `jobs` by name; `hidden_jobs`: how
    many requests a Job is asked for before Katib has made it. `most_trials`: as many as the algorithm has suggested.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.faults: list[int | str] = []
        self.requests: list[str] = []
        self.trials: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.job_path = "/apis/batch/v1/namespaces/team/jobs"
        self.hidden_jobs = 0
        self.work = 0
        self.makes_trials = False
        self.most_trials = 10_000
        self.url = ""

    def step(self) -> None:
        """A moment of the controllers: running trials work, one that has worked enough ends, and Katib makes others."""
        for name, experiment in self.objects.items():
            if not self.makes_trials:
                continue
            for trial in self.active():
                if not suspended(self.jobs[trial]):
                    self.work += 1
                    self.jobs[trial]["worked"] = self.jobs[trial].get("worked", 0) + 1
                if self.jobs[trial].get("worked", 0) >= 40:
                    self.trials[trial]["status"] = {"conditions": [{"type": "Succeeded", "status": "True"}]}
            spec = experiment["spec"]
            most = min(spec["maxTrialCount"], self.most_trials)
            while len(self.active()) < spec.get("parallelTrialCount", 3) and len(self.trials) < most:
                trial = f"{name}-{len(self.trials)}"
                self.trials[trial] = {"metadata": {"name": trial, "labels": {"katib.kubeflow.org/experiment": name}}}
                self.jobs[trial] = {"metadata": {"name": trial}, "spec": {}}
            experiment["status"] = {"trials": len(self.trials), "trialsRunning": len(self.active())}

    def active(self) -> list[str]:
        """The trials that have not ended."""
        return [name for name, trial in self.trials.items() if "status" not in trial]

    def answer(self, method: str, target: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of a request."""
        self.step()
        url = urlsplit(target)
        if url.path == TRIALS:
            wanted = parse_qs(url.query)["labelSelector"][0].removeprefix("katib.kubeflow.org/experiment=")
            items = [
                t for t in self.trials.values() if t["metadata"]["labels"]["katib.kubeflow.org/experiment"] == wanted
            ]
            return 200, {"items": items}
        for path, store in ((EXPERIMENTS, self.objects), (self.job_path, self.jobs)):
            if url.path == path or url.path.startswith(f"{path}/"):
                return self._of_store(method, url.path.removeprefix(path).strip("/"), store, body)
        return 404, {"message": "the server could not find the requested resource"}

    def _of_store(
        self, method: str, name: str, store: dict[str, dict[str, Any]], body: Any
    ) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            name = body["metadata"]["name"]
            if name in store:
                return 409, {"message": f'experiments.kubeflow.org "{name}" already exists'}
            store[name] = body
            return 201, body
        if store is self.jobs and self.hidden_jobs:
            self.hidden_jobs -= 1
            return 404, {"message": f'"{name}" not found'}
        if name not in store:
            return 404, {"message": f'"{name}" not found'}
        if method == "DELETE":
            if store is self.objects:
                self.trials.clear()
                self.jobs.clear()
            return 200, store.pop(name)
        if method == "PATCH":
            return self._patch(store, name, body)
        if self.statuses and store is self.objects:
            store[name]["status"] = self.statuses.pop(0)
        return 200, store[name]

    def _patch(self, store: dict[str, dict[str, Any]], name: str, body: Any) -> tuple[int, dict[str, Any]]:
        if not isinstance(body, list):
            return 415, {"message": "the body is no JSON patch"}
        patched = json.loads(json.dumps(store[name]))
        for change in body:
            *above, last = (part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:])
            place = patched
            for key in above:
                if key not in place:
                    return 422, {"message": f"the path {change['path']} does not exist"}
                place = place[key]
            place[last] = change["value"]
        if store is self.objects and patched["spec"] != store[name]["spec"]:
            most, made = patched["spec"]["maxTrialCount"], len(self.trials)
            if most <= made:
                return 400, {"message": "spec.maxTrialCount: must be greater than status.trials count"}
            if {k: v for k, v in patched["spec"].items() if k not in EDITABLE} != {
                k: v for k, v in store[name]["spec"].items() if k not in EDITABLE
            }:
                return 400, {"message": "only the three counts are editable"}
        store[name] = patched
        return 200, patched


def suspended(job: dict[str, Any]) -> bool:
    """Whether a trial's object waits, by the field of its kind."""
    spec = job["spec"]
    return bool(spec.get("suspend") or spec.get("runPolicy", {}).get("suspend"))


@contextmanager
def serving(state: KatibServer) -> Iterator[KatibServer]:
    """The server at `state.url` for as long as the block runs."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            with lock:
                self._answered()

        def _answered(self) -> None:
            state.requests.append(self.command)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            fault = state.faults.pop(0) if state.faults else 0
            if fault == "hang up":
                self.connection.close()
                return
            if fault == "lose the answer":
                state.answer(self.command, self.path, body)
                fault = 504
            status, value = (
                (int(fault), {"message": "a fault"}) if fault else state.answer(self.command, self.path, body)
            )
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
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
