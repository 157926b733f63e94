"""What a run does on a server, look by look: the nodes of its workflow as Argo and Kubeflow's API tell of them.

Nodes are given by their full names below the workflow's (`root.train.executor`). Ids, children and the names of pods
follow the rules that were read in Argo Workflows (`NodeID`) and kubeflow/pipelines (workflow.go: RetrievePodName); a
node's own id is never told, as api_converter.go leaves it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WORKFLOW = "traffic-yolo-finetune-x9ltb"


@dataclass(frozen=True)
class Look:
    """One look at a run: its state, the states of its nodes by their full names, and what each pod has printed."""

    state: str
    nodes: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass
class Play:
    """The looks of a run, one at each call; the last one stays."""

    looks: list[Look] = field(default_factory=lambda: [Look("PENDING")])
    pods_v1: bool = False  # POD_NAMES=v1: a pod is called as its node
    seen: int = 0

    def look(self, run_id: str) -> dict[str, Any]:
        """What the API says of the run beside what it was started with."""
        now = self.looks[min(self.seen, len(self.looks) - 1)]
        self.seen += 1
        details = [self._node(run_id, number, name, now) for number, name in enumerate(all_nodes(now.nodes))]
        told: dict[str, Any] = {"state": now.state}
        if details:
            told["run_details"] = {"task_details": details}
        if now.error:
            told["error"] = {"code": 13, "message": now.error}
        return told

    def log(self, pod: str) -> str | None:
        """What a pod has printed up to the last look; None for one that is not there."""
        now = self.looks[min(max(self.seen - 1, 0), len(self.looks) - 1)]
        for name, text in now.logs.items():
            number = node_id(name)
            retried = "retry-" if name.endswith(")") else ""
            wanted = (
                number if self.pods_v1 else f"{WORKFLOW}-{retried}system-container-impl-{number.rpartition('-')[2]}"
            )
            if pod == wanted:
                return text
        return None

    def _node(self, run_id: str, number: int, name: str, now: Look) -> dict[str, Any]:
        below = [one for one in all_nodes(now.nodes) if one.rpartition(".")[0] == name and one != name]
        told = {
            "run_id": run_id, "task_id": f"t-{number}", "display_name": name.rpartition(".")[2] or WORKFLOW,
            "create_time": f"2026-11-23T00:{number:02}:00Z", "start_time": f"2026-11-23T00:{number:02}:00Z",
            "end_time": "1970-01-01T00:00:00Z", "state": now.nodes.get(name, "RUNNING"),
        }  # fmt: skip
        if name.endswith(".executor") and f"{name}(0)" in now.nodes:
            below = [one for one in now.nodes if one.startswith(f"{name}(")]
        return told | ({"child_tasks": [{"pod_name": node_id(one)} for one in below]} if below else {})


def all_nodes(given: Mapping[str, str]) -> list[str]:
    """The full names of the nodes that are given, and of all that they are in; the workflow's own is ""."""
    found = {"": None}
    for name in given:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            found[".".join(parts[:length])] = None
    return list(found)


def node_id(name: str) -> str:
    """Argo's id of a node: FNV-1a of 32 bits of its full name."""
    value = 2166136261
    for byte in f"{WORKFLOW}.{name}".encode():
        value = (value ^ byte) * 16777619 % 2**32
    return f"{WORKFLOW}-{value}"
