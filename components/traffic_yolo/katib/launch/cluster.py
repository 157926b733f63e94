"""The calls to a Kubernetes API server that an Experiment needs, by Katib's own names."""

from collections.abc import Mapping
from typing import Any

from traffic_yolo.cluster.access import mapping_at
from traffic_yolo.cluster.api_server import ApiServer, Resource
from traffic_yolo.katib.spec.constants import SUSPENDABLE

GROUP, VERSION = "kubeflow.org", "v1beta1"
EXPERIMENTS = Resource(GROUP, VERSION, "experiments", "experiment")
TRIALS = Resource(GROUP, VERSION, "trials", "trial")
EXPERIMENT_LABEL = "katib.kubeflow.org/experiment"  # controller.v1beta1/consts/const.go


class Experiments:
    """Experiments of one namespace. Every method raises `ClusterError`, in one line, where the server says no."""

    def __init__(self, namespace: str, *, api: Any = None) -> None:
        """`api`: of the pod's own service account where it is not given. Raises `ClusterError` outside a cluster."""
        self._server = ApiServer(
            namespace,
            rights="katib/rbac.yaml",
            installed="Katib",
            instead="run the experiment by `katib run`",
            api=api,
        )
        self.namespace = namespace

    def create(self, document: Mapping[str, Any]) -> bool:
        """Creates an Experiment; False where one of this name stands there already."""
        return self._server.create(EXPERIMENTS, document)

    def get(self, name: str) -> dict[str, Any] | None:
        """The Experiment as the server has it, None where there is none."""
        return self._server.get(EXPERIMENTS, name)

    def delete(self, name: str) -> None:
        """Removes the Experiment with its trials; one that is gone already is no fault."""
        self._server.delete(EXPERIMENTS, name)

    def mark(self, name: str, annotation: str, value: str, *, parallel: int | None = None) -> None:
        """Writes an annotation of the Experiment, and its parallelTrialCount if one is given; one gone is no fault."""
        key = annotation.replace("~", "~0").replace("/", "~1")
        changes: list[dict[str, Any]] = [{"op": "add", "path": f"/metadata/annotations/{key}", "value": value}]
        if parallel is not None:
            changes.append({"op": "add", "path": "/spec/parallelTrialCount", "value": parallel})
        self._server.patch(EXPERIMENTS, name, changes)

    def trials(self, name: str) -> list[dict[str, Any]]:
        """The Trials of an Experiment as the server has them."""
        return self._server.labelled(TRIALS, f"{EXPERIMENT_LABEL}={name}")

    def set_suspended(self, kind: str, name: str, *, suspended: bool) -> bool:
        """Suspends the object of a trial, or lets it go on; False where it is not there (yet, or any more).

        `kind`: one of `SUSPENDABLE`.
        """
        group, version, plural, keys = SUSPENDABLE[kind]
        resource = Resource(group, version, plural, plural)
        found = self._server.get(resource, name)
        if found is None:
            return False
        *above, key = keys
        if mapping_at(found, *above).get(key, False) is suspended:
            return True
        present = len(above)
        while present and not mapping_at(found, *above[:present]):
            present -= 1
        value: Any = suspended
        for missing in reversed(keys[present + 1 :]):
            value = {missing: value}
        path = "".join(f"/{part}" for part in keys[: present + 1])
        return self._server.patch(resource, name, [{"op": "add", "path": path, "value": value}])
