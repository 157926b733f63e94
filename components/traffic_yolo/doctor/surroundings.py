"""What lies around the program: variables of the environment, places of storage, and the cluster's servers."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from traffic_yolo.doctor.probe import State
from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.storage import NAS_ROOT_VARIABLE, parse_yaml

Seen = list[tuple[str, str, State]]
OURS = "TRAFFIC_YOLO_"
# Variables of others that change what the program does
OTHERS = (
    "AWS_ACCESS_KEY_ID", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CUDA_VISIBLE_DEVICES", "HTTPS_PROXY", "HTTP_PROXY", "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST", "MLFLOW_TRACKING_URI", "NO_PROXY", "NUMBA_CACHE_DIR", "OMP_NUM_THREADS", "SSL_CERT_FILE",
)  # fmt: skip
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|COOKIE|CREDENTIAL|WEBHOOK", re.IGNORECASE)
NO_SECRET = ("TRAFFIC_YOLO_KFP_TOKEN_FILE",)  # the path of a file
USER_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")
CONNECT_S = 3.0


def environment(variables: Mapping[str, str]) -> Seen:
    """Variables that are set and change what the program does; of a secret, that it is set."""
    names = sorted(name for name in variables if name.startswith(OURS) or name in OTHERS)
    return [(name, shown_value(name, variables[name]), "ok") for name in names] or [("variables", "none is set", "ok")]


def shown_value(name: str, value: str) -> str:
    """The value of a variable as a page may show it: no secret, and no user and password of an address."""
    if SECRET.search(name) and name not in NO_SECRET:
        return f"set ({len(value)} characters)" if value else "set, and empty"
    return USER_IN_ADDRESS.sub("…@", value)[:200] or "set, and empty"


def nas(variables: Mapping[str, str]) -> Seen:
    """Whether the root of nas:// is there."""
    root = variables.get(NAS_ROOT_VARIABLE, "")
    if not root:
        return [("nas://", f"{NAS_ROOT_VARIABLE} is not set, so that nas:// means nothing here", "ok")]
    if not Path(root).is_dir():
        return [("nas://", f"{root}: no folder is there; is the share mounted?", "warning")]
    how = "may be written to" if os.access(root, os.W_OK) else "may only be read"
    return [("nas://", f"{root}: there, {how}", "ok")]


def object_storage(variables: Mapping[str, str]) -> Seen:
    """Whether the server of object storage answers; no credential is sent."""
    address = next((variables[name] for name in ("TRAFFIC_YOLO_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
                    if variables.get(name)), "")  # fmt: skip
    return [_reached("s3://", address)] if address else [("s3://", "no endpoint is set", "ok")]


def pipelines_server(variables: Mapping[str, str]) -> Seen:
    """Whether the server of Kubeflow Pipelines can be connected to."""
    address = variables.get("TRAFFIC_YOLO_KFP_HOST", "")
    if not address:
        return [("Kubeflow Pipelines", "TRAFFIC_YOLO_KFP_HOST is not set", "ok")]
    return [_reached("Kubeflow Pipelines", address)]


def kubernetes_server(variables: Mapping[str, str]) -> Seen:
    """Whether the API server can be connected to: of the cluster whose pod this is, else of the kubeconfig."""
    host = variables.get("KUBERNETES_SERVICE_HOST", "")
    if host:
        address = f"https://{f'[{host}]' if ':' in host else host}:{variables.get('KUBERNETES_SERVICE_PORT', '443')}"
        return [_reached("Kubernetes (this pod's)", address)]
    given = variables.get("KUBECONFIG", "").split(os.pathsep)[0]
    config = Path(given).expanduser() if given else Path.home() / ".kube" / "config"
    if not config.is_file():
        return [("Kubernetes", f"no pod of a cluster, and no {config}", "warning" if given else "ok")]
    address = server_of(config.read_text(encoding="utf-8"))
    if not address:
        return [("Kubernetes", f"{config}: its current context names no server", "warning")]
    return [_reached("Kubernetes", address)]


def server_of(kubeconfig: str) -> str:
    """The address of the current context's cluster in a kubeconfig; "" where it names none."""
    try:
        value = parse_yaml(kubeconfig, where="kubeconfig")
    except TrafficYoloError:
        return ""
    if not isinstance(value, dict):
        return ""
    context = _named(value.get("contexts"), value.get("current-context"), "context")
    return str(_named(value.get("clusters"), context.get("cluster"), "cluster").get("server") or "")


def _named(entries: object, name: object, key: str) -> dict[str, object]:
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(key), dict):
            return dict(entry[key])
    return {}


def _reached(what: str, address: str) -> tuple[str, str, State]:
    """Whether something listens at an address; a proxy between is not asked."""
    shown = USER_IN_ADDRESS.sub("…@", address)
    try:
        split = urlsplit(address if "://" in address else f"https://{address}")
        port = split.port or (80 if split.scheme == "http" else 443)
        if not split.hostname:
            return what, f"{shown}: no address of a server", "warning"
        with socket.create_connection((split.hostname, port), timeout=CONNECT_S):
            return what, f"{shown}: connected", "ok"
    except (OSError, ValueError) as error:
        return what, f"{shown}: {error}", "warning"
