"""Kubernetes' own API server over etcd, where both programs are installed: schemas, defaults, RBAC and dry runs as on a cluster.

No controller and no node: nothing is bound, and no pod starts.
"""

import contextlib
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from s3_servers import free_port

VARIABLE = "TRAFFIC_YOLO_KUBE_APISERVER"  # the program, where it is not on the PATH
TOKEN = "token-of-the-tests"
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: tests
clusters: [{{name: tests, cluster: {{server: "{url}", insecure-skip-tls-verify: true}}}}]
users: [{{name: tests, user: {{token: {token}}}}}]
contexts: [{{name: tests, context: {{cluster: tests, user: tests}}}}]
"""


@dataclass(frozen=True)
class ApiServer:
    """A running server, and what tells kubectl where it is."""

    url: str
    kubeconfig: Path

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as an administrator."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def why_no_server() -> str:
    """What is not installed; empty where the server can be started."""
    program = os.environ.get(VARIABLE, "kube-apiserver")
    missing = [name for name in (program, "etcd", "kubectl") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


@contextlib.contextmanager
def api_server() -> Iterator[ApiServer]:
    """Starts etcd and the server, and stops both; raises `RuntimeError` with the log where it does not get ready."""
    with tempfile.TemporaryDirectory(prefix="api-server-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        store, peers, port = free_port(), free_port(), free_port()
        etcd = [
            "etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{store}", "--advertise-client-urls", f"http://127.0.0.1:{store}",
            "--listen-peer-urls", f"http://127.0.0.1:{peers}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}",
            "--initial-cluster", f"default=http://127.0.0.1:{peers}",
        ]  # fmt: skip
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / "tokens.csv").write_text(f"{TOKEN},tests,tests,system:masters\n")
        server = [
            os.environ.get(VARIABLE, "kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{store}",
            "--bind-address", "127.0.0.1", "--secure-port", str(port), "--cert-dir", str(folder / "certificates"),
            "--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC",
            "--service-cluster-ip-range", "10.96.0.0/24", "--disable-admission-plugins", "ServiceAccount",
            "--service-account-issuer", "https://tests.invalid", "--service-account-key-file", str(folder / "key.pem"),
            "--service-account-signing-key-file", str(folder / "key.pem"),
        ]  # fmt: skip
        logs = [
            stack.enter_context(_running(command, folder / f"{place}.log"))
            for place, command in enumerate((etcd, server))
        ]
        url = f"https://127.0.0.1:{port}"
        _wait(f"{url}/readyz", logs)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(KUBECONFIG.format(url=url, token=TOKEN))
        yield ApiServer(url, kubeconfig)


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[Path]:
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, logs: list[Path], *, seconds: float = 120) -> None:
    context = ssl._create_unverified_context()  # a certificate that the server made for itself
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if urllib.request.urlopen(request, context=context, timeout=5).status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("the API server did not get ready:\n" + "\n".join(log.read_text()[-3000:] for log in logs))
