"""Which pods the tasks of a run have: the API tells the workflow's nodes by their ids alone, and logs are asked by pod.

Argo makes an id of a node's full name (`<workflow>.root.train.executor`, FNV-1a of 32 bits), and a pod's name of the
workflow's, the template's and that number. So names are put together of those that the run's tasks have, and one whose
id the run tells of is one that is there. Read in kubeflow/pipelines 2.4 to 2.17 (backend/src/v2/compiler/argocompiler,
backend/src/common/util/workflow.go: RetrievePodName) and Argo Workflows 3.5 (pkg/apis/workflow, `NodeID`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.run_report.tasks import children_of, details_of, workflow_of

EXECUTOR = "executor"
TEMPLATE, RETRIED_TEMPLATE = "system-container-impl", "retry-system-container-impl"
DEEPEST = 16  # levels of groups in groups
MOST_NODES = 20_000


@dataclass(frozen=True)
class TaskPods:
    """The attempts of one task: the names that each attempt's pod may have. `label`: the task, and what it is in."""

    label: str
    attempts: list[tuple[str, ...]] = field(default_factory=list)


def pods_of(run: Mapping[str, Any], tasks: Collection[str]) -> list[TaskPods]:
    """The pods of `tasks`, by their names in the pipeline, as far as the API's description of a run tells of them."""
    told = details_of(run)
    ids = {child for one in told for child in children_of(one)}
    workflow = workflow_of(run)
    if not workflow:
        return []
    names = {str(one.get("display_name") or "") for one in told}
    inside = [name for name in names if name and name not in tasks and not name.startswith(EXECUTOR)]
    found: list[TaskPods] = []
    groups = [(f"{workflow}.root", "")]
    for _ in range(DEEPEST):
        below: list[tuple[str, str]] = []
        for path, group in groups:
            for task in sorted(names.intersection(tasks)):
                if node_id(workflow, f"{path}.{task}") in ids:
                    found.append(TaskPods(f"{group}{task}", _attempts(workflow, f"{path}.{task}", names, ids)))
            for name in inside:
                if node_id(workflow, f"{path}.{name}") in ids and len(below) + len(found) < MOST_NODES:
                    # An iteration says which one it is: for-loop-1-iterations(3:3)
                    below.append((f"{path}.{name}", f"{group}{name}/" if "(" in name else group))
        groups = below
        if not groups:
            break
    return found


def node_id(workflow: str, name: str) -> str:
    """The id that Argo gives to the node of a full name."""
    number = 0x811C9DC5
    for byte in name.encode():
        number = ((number ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{workflow}-{number}"


def _attempts(workflow: str, path: str, names: Collection[str], ids: Collection[str]) -> list[tuple[str, ...]]:
    """The pods of a task's attempts, first to last; of a task that is not begun anew, the one."""
    retried = []
    while f"{EXECUTOR}({len(retried)})" in names:
        one = node_id(workflow, f"{path}.{EXECUTOR}({len(retried)})")
        if one not in ids:
            break
        # Retries that a server gives to all templates leave their names
        retried.append((*_pod_names(one, RETRIED_TEMPLATE)[:1], *_pod_names(one, TEMPLATE)))
    if retried:
        return retried
    one = node_id(workflow, f"{path}.{EXECUTOR}")
    return [_pod_names(one, TEMPLATE)] if one in ids else []


def _pod_names(one: str, template: str) -> tuple[str, ...]:
    """Names by Argo's present rule, and by that of POD_NAMES=v1."""
    workflow, _, number = one.rpartition("-")
    return f"{workflow}-{template}-{number}", one
