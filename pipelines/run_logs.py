"""What a run's pods print, asked of the server: of its API, or of the user interface before it.

Neither is described by the API. Its own address (`/apis/v1alpha1/runs/…/nodes/…/log`) gives a log up to now, never more
of it, and answers 200 with an error as JSON where it has none; the user interface does not hand that address on, and
has `/k8s/pod/logs`. Read in kubeflow/pipelines 2.4 to 2.17 (backend/src/apiserver/server/run_log_server.go,
frontend/server/app.ts).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import urllib3

from traffic_yolo.errors import ERROR_PREFIX, GATE_PREFIX
from traffic_yolo.messages import one_line
from traffic_yolo.storage.documents import json_value
from traffic_yolo_pipelines.server_answers import is_page
from traffic_yolo_pipelines.server_connection import Connection

MOST_BYTES = 16 << 20  # of one log
MOST_LINE = 2000  # characters
_ERROR_MARK = '{"error_message":'
# Lines that Kubeflow's launcher and Argo's executor write around those of the task: glog's and logrus'
_NOT_THE_TASK_S = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ |time=\S+ level=")


API, INTERFACE = "API", "user interface"


@dataclass
class RunLogs:
    """The logs of one run. `absent`: why the server gives none, "" as long as it may."""

    connection: Connection
    run_id: str
    absent: str = ""
    _refusals: dict[str, str] = field(default_factory=dict)
    _source: str = ""  # the one that has given a log

    def lines(self, pods: Sequence[str], *, ended: bool = False) -> list[str] | None:
        """What a pod has printed, which has one of some names; None where the server has nothing (yet, or any more).

        `ended`: whether it prints no more, so that a last line without an end is one.
        """
        for source in (self._source,) if self._source else (API, INTERFACE):
            for pod in () if source in self._refusals else pods:
                found = self._asked(source, pod)
                if found is not None:
                    self._source = source
                    return _lines(found, ended=ended)
                if source in self._refusals:
                    break
        if {API, INTERFACE} <= set(self._refusals):
            self.absent = "; ".join(f"{source}: {reason}" for source, reason in self._refusals.items())
        return None

    def _asked(self, source: str, pod: str) -> str | None:
        if source == API:
            path, query = f"/apis/v1alpha1/runs/{quote(self.run_id)}/nodes/{quote(pod)}/log", {}
        else:
            path, query = "/k8s/pod/logs", {"podname": pod, "runid": self.run_id}
            if self.connection.namespace:
                query["podnamespace"] = self.connection.namespace
        try:
            status, text = self.connection.text(path, query, MOST_BYTES)
        except (urllib3.exceptions.HTTPError, OSError):
            return None  # the run itself is asked next, and says so
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None  # also the user interface's answer for a pod that is not there
        if status == HTTPStatus.OK and not is_page(text):
            return without_error(text)
        self._refusals[source] = "a web page" if status == HTTPStatus.OK else f"{status}"
        return None


def without_error(text: str) -> str | None:
    """A log without the error that the API puts after what it could read; None where there is nothing but one."""
    start = text.rfind(_ERROR_MARK)
    if start < 0:
        return text
    try:
        told: Any = json_value(text[start:], keys_once=False)
    except ValueError:
        return text
    if not isinstance(told, dict) or "error_message" not in told:
        return text
    return text[:start] or None


def telling_line(lines: Sequence[str]) -> str:
    """The line of a failed task's log that says why: its own error, else the last that it printed; "" for none."""
    own = [line for line in lines if line.strip() and not _NOT_THE_TASK_S.match(line)]
    for line in reversed(own):
        if line.startswith((ERROR_PREFIX, GATE_PREFIX)):
            return line
    return own[-1].strip() if own else ""


def _lines(text: str, *, ended: bool) -> list[str]:
    """Whole lines, each printable; one that is not ended yet is left for the next look."""
    whole = text if ended and not text.endswith("\n") else text[: text.rfind("\n") + 1]
    lines = whole.removesuffix("\n").split("\n") if whole else []
    return [one_line(line.rstrip("\r")[:MOST_LINE].expandtabs()) for line in lines]
