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

GROUP, VERSION, PLURAL = "kubeflow.org", "v1beta1", "experiments"
ATTEMPTS = 6
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
            _patiently(lambda: self._api.create_namespaced_custom_object(*self._where, dict(document)), "create")
        except client.ApiException as error:
            if error.status == 409:
                return False
            raise self._refused("create", error) from error
        return True

    def get(self, name: str) -> dict[str, Any] | None:
        """The Experiment as the server has it, None where there is none."""
        try:
            found = _patiently(lambda: self._api.get_namespaced_custom_object(*self._where, name), "get")
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise self._refused("get", error) from error
        assert isinstance(found, dict)
        return found

    def delete(self, name: str) -> None:
        """Removes the Experiment with its trials; one that is gone already is no fault."""
        try:
            _patiently(lambda: self._api.delete_namespaced_custom_object(*self._where, name), "delete")
        except client.ApiException as error:
            if error.status != 404:
                raise self._refused("delete", error) from error

    def _refused(self, verb: str, error: client.ApiException) -> ClusterError:
        reason = _message(error)
        advice = ""
        if error.status in (401, 403):
            advice = f"; the task's service account needs the rights of katib/rbac.yaml in {self.namespace}"
        elif error.status == 404:
            advice = "; is Katib installed?"
        return ClusterError(
            f"{verb} experiment in {self.namespace}: the server answered {error.status}: {reason}{advice}"
        )


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
