"""The tasks of a run as the API of Kubeflow Pipelines tells them, asked from within the cluster."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3

from traffic_yolo.errors import ClusterError
from traffic_yolo.messages import one_line, shown_names
from traffic_yolo.storage import parse_json

API_VARIABLE = "TRAFFIC_YOLO_KFP_API"
IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"  # where the server is by its own manifests
TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"  # kfp's own
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"
TIMEOUT_S = 10.0
MOST_BYTES = 32 << 20
MOST_REASON = 300  # characters of a task's own words
# Nodes of the workflow that are no task: graphs, and what Kubeflow runs before and around each
_OWN_NODES = re.compile(
    r"(root|executor(\(\d+\))?|driver|.*-driver|for-loop-\d+|.*-iterations?(\(.*\))?|iteration(-item)?(\(.*\))?"
    r"|condition-\d+|condition-branches-\d+|exit-handler-\d+|exit-hook.*)"
)


@dataclass(frozen=True)
class TaskState:
    """One task. `state`: as the API has it, such as SUCCEEDED; `reason`: its own words where it failed."""

    name: str
    state: str
    started: str
    seconds: float | None
    reason: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether it ended badly."""
        return self.state in ("FAILED", "ERROR", "SYSTEM_ERROR", "CANCELED")


def read_tasks(run_id: str) -> list[TaskState]:
    """The tasks of a run in the order of their start.

    Asks the address in `API_VARIABLE`, else the server of the cluster; with the token that Kubeflow puts into a pod,
    where there is one. Raises `ClusterError` in one line where the API does not tell.
    """
    api = (os.environ.get(API_VARIABLE) or IN_CLUSTER).rstrip("/")
    address = f"{api}/apis/v2beta1/runs/{run_id}"
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_S)) as pool:
            # A redirect leads to a page for logging in, and is not to be given the token
            answer = pool.request("GET", address, headers=_headers(), redirect=False, preload_content=False)
            body = answer.read(MOST_BYTES)
    except (urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
        raise ClusterError(f"{api} gave no answer ({type(error).__name__})") from error
    if answer.status != HTTPStatus.OK:
        raise ClusterError(f"{api} refused: {answer.status}")
    run = parse_json(body, where=f"the answer of {api}", error=ClusterError)
    return tasks_of(run)


def tasks_of(run: Any) -> list[TaskState]:
    """The tasks in the API's description of a run; what has another shape is left out."""
    others = {run.get("display_name"), workflow_of(run)} if isinstance(run, Mapping) else set()
    found = [_task(one) for one in details_of(run) if _is_task(str(one.get("display_name") or ""), others)]
    return sorted(found, key=lambda task: (task.started or "9", task.name))


def details_of(run: Any) -> list[Mapping[str, Any]]:
    """The nodes of a run's workflow in the API's description of it: tasks, and what is before and around them."""
    details = run.get("run_details") if isinstance(run, Mapping) else None
    told = details.get("task_details") if isinstance(details, Mapping) else None
    return [one for one in told or () if isinstance(one, Mapping)] if isinstance(told, list | None) else []


def children_of(node: Mapping[str, Any]) -> list[str]:
    """The ids of the nodes that come after one, which the API calls names of pods."""
    told = node.get("child_tasks")
    children = [one for one in told if isinstance(one, Mapping)] if isinstance(told, list) else []
    return [str(one["pod_name"]) for one in children if one.get("pod_name")]


def workflow_of(run: Any) -> str:
    """The name of the run's workflow, with which the ids of its nodes begin; "" while none is told of."""
    return next((child.rpartition("-")[0] for one in details_of(run) for child in children_of(one)), "")


def _is_task(name: str, others: set[Any]) -> bool:
    return bool(name) and not _OWN_NODES.fullmatch(name) and name not in others


def _task(told: Mapping[str, Any]) -> TaskState:
    error = told.get("error")
    reason = str(error.get("message") or "") if isinstance(error, Mapping) else ""
    started, ended = (str(told.get(name) or "") for name in ("start_time", "end_time"))
    name = shown_names([str(told["display_name"])])
    return TaskState(name, str(told.get("state") or "UNKNOWN"), started, _between(started, ended), _words(reason))


def _between(started: str, ended: str) -> float | None:
    """Seconds between two times; None where one is missing (the API says 1970 for what has not ended)."""
    try:
        passed = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return None
    return passed if passed >= 0 else None


def _words(text: str) -> str:
    text = one_line(" ".join(text[: 4 * MOST_REASON].split()))
    return text if len(text) <= MOST_REASON else f"{text[: MOST_REASON - 3]}..."


def _headers() -> dict[str, str]:
    file = Path(os.environ.get(TOKEN_FILE_VARIABLE) or TOKEN_FILE)
    token = file.read_text(encoding="ascii").strip() if file.is_file() else ""
    return {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
