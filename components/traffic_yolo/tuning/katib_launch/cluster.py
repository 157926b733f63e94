"""The few calls to a Kubernetes API server that an Experiment needs, repeated where that is safe and can help."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3
from kubernetes import client, config

from traffic_yolo.errors import ClusterError
from traffic_yolo.storage import json_value
from traffic_yolo.tuning.katib_spec.access import mapping_at
from traffic_yolo.tuning.katib_spec.constants import SUSPENDABLE

GROUP, VERSION, PLURAL = "kubeflow.org", "v1beta1", "experiments"
EXPERIMENT_LABEL = "katib.kubeflow.org/experiment"  # controller.v1beta1/consts/const.go
ATTEMPTS = 6
REQUEST_TIMEOUT_S = 30.0  # of one request: a server that says nothing more counts as away
LONGEST_WAIT_S = 20.0
log = logging.getLogger(__name__)


class Experiments:
    """Experiments of one namespace."""

    def __init__(self, namespace: str, *, api: client.CustomObjectsApi | None = None) -> None:
        """`api`: of the pod's own service account where it is not given. Raises `ClusterError` outside a cluster."""
        if api is None:
            try:
                config.load_incluster_config()
            except config.ConfigException as error:
                raise ClusterError(
                    f"this is no pod of a cluster: {error}; run the experiment by `katib run`"
                ) from error
            api = client.CustomObjectsApi()
        self.namespace = namespace
        self._api = api
        self._where = (GROUP, VERSION, namespace, PLURAL)

    def create(self, document: Mapping[str, Any]) -> bool:
        """Creates an Experiment; False where one of this name stands there already.

        A repeated request whose first answer was lost finds its own object, which is the same as finding it.
        """
        try:
            _patiently(
                lambda: self._api.create_namespaced_custom_object(*self._where, dict(document), **_BOUNDED), "create"
            )
        except client.ApiException as error:
            if error.status == 409:
                return False
            raise self._refused("create", error) from error
        return True

    def get(self, name: str) -> dict[str, Any] | None:
        """The Experiment as the server has it, None where there is none."""
        try:
            found = _patiently(lambda: self._api.get_namespaced_custom_object(*self._where, name, **_BOUNDED), "get")
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise self._refused("get", error) from error
        assert isinstance(found, dict)
        return found

    def delete(self, name: str) -> None:
        """Removes the Experiment with its trials; one that is gone already is no fault."""
        try:
            _patiently(lambda: self._api.delete_namespaced_custom_object(*self._where, name, **_BOUNDED), "delete")
        except client.ApiException as error:
            if error.status != 404:
                raise self._refused("delete", error) from error

    def mark(self, name: str, annotation: str, value: str, *, parallel: int | None = None) -> None:
        """Writes an annotation of the Experiment, and its parallelTrialCount if one is given; one gone is no fault."""
        key = annotation.replace("~", "~0").replace("/", "~1")
        changes: list[dict[str, Any]] = [{"op": "add", "path": f"/metadata/annotations/{key}", "value": value}]
        if parallel is not None:
            changes.append({"op": "add", "path": "/spec/parallelTrialCount", "value": parallel})
        self._patch(self._where, name, changes, what="experiment")

    def trials(self, name: str) -> list[dict[str, Any]]:
        """The Trials of an Experiment as the server has them."""
        where, label = (GROUP, VERSION, self.namespace, "trials"), f"{EXPERIMENT_LABEL}={name}"
        try:
            found = _patiently(
                lambda: self._api.list_namespaced_custom_object(*where, label_selector=label, **_BOUNDED), "list"
            )
        except client.ApiException as error:
            raise self._refused("list", error, "trials") from error
        return [item for item in found["items"] if isinstance(item, dict)]

    def set_suspended(self, kind: str, name: str, *, suspended: bool) -> bool:
        """Suspends the object of a trial, or lets it go on; False where it is not there (yet, or any more).

        `kind`: one of `SUSPENDABLE`.
        """
        group, version, plural, keys = SUSPENDABLE[kind]
        where = (group, version, self.namespace, plural)
        try:
            found = _patiently(lambda: self._api.get_namespaced_custom_object(*where, name, **_BOUNDED), "get")
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise self._refused("get", error, plural) from error
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
        return self._patch(where, name, [{"op": "add", "path": path, "value": value}], what=plural)

    def _patch(self, where: tuple[str, ...], name: str, changes: list[dict[str, Any]], *, what: str) -> bool:
        """False where there is no such object."""
        try:
            _patiently(lambda: self._api.patch_namespaced_custom_object(*where, name, changes, **_BOUNDED), "patch")
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise self._refused("patch", error, what) from error
        return True

    def _refused(self, verb: str, error: client.ApiException, what: str = "experiment") -> ClusterError:
        reason = _message(error)
        advice = {
            401: "; the server does not take the token of the task's service account: it is missing, expired or of "
            "another cluster (see automountServiceAccountToken)",
            403: f"; the task's service account needs the rights of katib/rbac.yaml in {self.namespace}",
            404: "; is Katib installed?",
        }.get(error.status, "")
        return ClusterError(f"{verb} {what} in {self.namespace}: the server answered {error.status}: {reason}{advice}")


# Of every request; without it a server that hangs would hold the task for ever, SIGTERM or not
_BOUNDED: dict[str, Any] = {"_request_timeout": REQUEST_TIMEOUT_S}


def _patiently(call: Callable[[], Any], verb: str) -> Any:
    """The call's answer; repeated with growing, random pauses when the server is away, busy or broken."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except client.ApiException as error:
            if attempt == ATTEMPTS or not (error.status == 429 or error.status >= 500 or error.status == 0):
                raise
            problem = f"{error.status}"
        except urllib3.exceptions.HTTPError as error:
            if attempt == ATTEMPTS:
                raise ClusterError(f"{verb} experiment: the API server cannot be reached: {error}") from error
            problem = type(error).__name__
        pause = random.uniform(0, min(LONGEST_WAIT_S, 0.5 * 2**attempt))
        log.warning("%s experiment: %s, trying again in %.1f s", verb, problem, pause)
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _message(error: client.ApiException) -> str:
    try:
        message = json_value(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    return " ".join(str(message).split())[:500]
