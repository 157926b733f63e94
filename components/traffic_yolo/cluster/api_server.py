"""The few calls to a Kubernetes API server that a pipeline's task makes, repeated where that is safe and can help."""

import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import urllib3
from kubernetes import client, config

from traffic_yolo.errors import ClusterError
from traffic_yolo.storage import json_value

ATTEMPTS = 6
REQUEST_TIMEOUT_S = 30.0  # of one request: a server that says nothing more counts as away
LONGEST_WAIT_S = 20.0
CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"  # set in every pod
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
log = logging.getLogger(__name__)


class Resource(NamedTuple):
    """A kind of object: where the API has it, and what one is called in messages."""

    group: str
    version: str
    plural: str
    noun: str


class LogLine(NamedTuple):
    """A line of a container's log and the moment of it, as the server writes it (RFC 3339, so texts sort by time)."""

    moment: str
    text: str


class ApiServer:
    """Objects of one namespace. Every method raises `ClusterError`, in one line, where the server says no."""

    def __init__(
        self, namespace: str, *, rights: str, installed: str, instead: str = "", api: client.ApiClient | None = None
    ) -> None:
        """`api`: a client; without one, that of the pod's own service account.

        `rights`: the file that gives the service account what it needs; `installed`: what answers 404 where it is not
        there; `instead`: what to do outside a cluster. Raises `ClusterError` there.
        """
        if api is None:
            try:
                config.load_incluster_config()
            except config.ConfigException as error:
                raise ClusterError(f"this is no pod of a cluster: {error}; {instead}") from error
            api = client.ApiClient()
        self.namespace = namespace
        self._objects, self._pods = client.CustomObjectsApi(api), client.CoreV1Api(api)
        self._rights, self._installed = rights, installed

    def create(self, resource: Resource, document: Mapping[str, Any]) -> bool:
        """Creates an object; False where one of this name stands there already.

        A repeated request whose first answer was lost finds its own object, which is the same as finding it.
        """
        call = self._objects.create_namespaced_custom_object
        try:
            self._patiently(lambda: call(*self._where(resource), dict(document), **_BOUNDED), "create", resource.noun)
        except client.ApiException as error:
            if error.status == 409:
                return False
            raise self.refused("create", error, resource.noun) from error
        return True

    def get(self, resource: Resource, name: str) -> dict[str, Any] | None:
        """The object as the server has it, None where there is none."""
        call = self._objects.get_namespaced_custom_object
        try:
            found = self._patiently(lambda: call(*self._where(resource), name, **_BOUNDED), "get", resource.noun)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise self.refused("get", error, resource.noun) from error
        assert isinstance(found, dict)
        return found

    def delete(self, resource: Resource, name: str) -> None:
        """Removes an object with what belongs to it; one that is gone already is no fault."""
        call = self._objects.delete_namespaced_custom_object
        try:
            self._patiently(lambda: call(*self._where(resource), name, **_BOUNDED), "delete", resource.noun)
        except client.ApiException as error:
            if error.status != 404:
                raise self.refused("delete", error, resource.noun) from error

    def patch(self, resource: Resource, name: str, changes: Sequence[Mapping[str, Any]]) -> bool:
        """Makes the changes of a JSON patch; False where there is no such object."""
        call, body = self._objects.patch_namespaced_custom_object, [dict(change) for change in changes]
        try:
            self._patiently(lambda: call(*self._where(resource), name, body, **_BOUNDED), "patch", resource.noun)
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise self.refused("patch", error, resource.noun) from error
        return True

    def labelled(self, resource: Resource, label: str) -> list[dict[str, Any]]:
        """The objects with a label, `key=value`."""
        call = self._objects.list_namespaced_custom_object
        try:
            found = self._patiently(
                lambda: call(*self._where(resource), label_selector=label, **_BOUNDED), "list", resource.noun
            )
        except client.ApiException as error:
            raise self.refused("list", error, resource.plural) from error
        return [item for item in found["items"] if isinstance(item, dict)]

    def pods(self, label: str) -> list[str]:
        """The names of the pods with a label, youngest last."""
        call = self._pods.list_namespaced_pod
        try:
            found = self._patiently(lambda: call(self.namespace, label_selector=label, **_BOUNDED), "list", "pods")
        except client.ApiException as error:
            raise self.refused("list", error, "pods") from error
        made = sorted((str(pod.metadata.creation_timestamp or ""), pod.metadata.name) for pod in found.items)
        return [name for _, name in made]

    def log_lines(self, pod: str, container: str, *, most: int) -> list[LogLine]:
        """The last lines of a container's log, `most` at most; none where the container has not begun or is gone."""
        call = self._pods.read_namespaced_pod_log
        try:
            text = self._patiently(
                lambda: call(
                    pod, self.namespace, container=container, timestamps=True, tail_lines=most,
                    **{**_BOUNDED, "_preload_content": False},
                ).data.decode(errors="replace"),
                "read", "log",
            )  # fmt: skip
        except client.ApiException as error:
            if error.status in (400, 404):  # no container yet, or no pod any more
                return []
            raise self.refused("read", error, "log") from error
        return [LogLine(*line.split(" ", 1)) for line in text.splitlines() if " " in line]

    def refused(self, verb: str, error: client.ApiException, what: str) -> ClusterError:
        """What the server said against a call, and what to do."""
        reason = _message(error)
        advice = {
            401: "; the server does not take the token of the task's service account: it is missing, expired or of "
            "another cluster (see automountServiceAccountToken)",
            403: f"; the task's service account needs the rights of {self._rights} in {self.namespace}",
            404: f"; is {self._installed} installed?",
        }.get(error.status, "")
        return ClusterError(f"{verb} {what} in {self.namespace}: the server answered {error.status}: {reason}{advice}")

    def _where(self, resource: Resource) -> tuple[str, str, str, str]:
        return resource.group, resource.version, self.namespace, resource.plural

    def _patiently(self, call: Callable[[], Any], verb: str, noun: str) -> Any:
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
                    raise ClusterError(f"{verb} {noun}: the API server cannot be reached: {error}") from error
                problem = type(error).__name__
            pause = random.uniform(0, min(LONGEST_WAIT_S, 0.5 * 2**attempt))
            log.warning("%s %s: %s, trying again in %.1f s", verb, noun, problem, pause)
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


# Of every request; without it a server that hangs would hold the task for ever, SIGTERM or not
_BOUNDED: dict[str, Any] = {"_request_timeout": REQUEST_TIMEOUT_S}


def is_in_cluster() -> bool:
    """Whether this process is in a pod."""
    return bool(os.environ.get(CLUSTER_VARIABLE))


def own_namespace() -> str:
    """The namespace of this pod; `ClusterError` where it is not known."""
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError as error:
        raise ClusterError(f"the task's namespace is not known: {error.strerror}; give the namespace") from error


def _message(error: client.ApiException) -> str:
    try:
        message = json_value(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    return " ".join(str(message).split())[:500]
