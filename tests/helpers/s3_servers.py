"""S3 servers for tests: moto (starts in two seconds, accepts any secret) and Ceph's RADOS gateway (a real one)."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CEPH_VARIABLE = "TRAFFIC_YOLO_CEPH_RGW"  # 0: do not start it even where it is installed
CEPH_BINARIES = ("ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "ceph", "radosgw", "radosgw-admin")


@dataclass(frozen=True)
class S3Server:
    """A running server. `is_real`: it checks signatures and conditions as a production server does."""

    name: str
    host: str
    access_key: str
    secret_key: str
    is_real: bool

    @property
    def environment(self) -> dict[str, str]:
        """What our code reads."""
        return {
            "TRAFFIC_YOLO_S3_ENDPOINT": f"http://{self.host}",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def moto_server() -> Iterator[S3Server]:
    """Moto in a process of its own: its warnings are not ours."""
    port = free_port()
    program = Path(__file__).with_name("moto_in_turn.py")
    command = [sys.executable, "-W", "ignore", str(program), "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, dict(os.environ), Path(os.devnull)):
        _wait_for(f"http://127.0.0.1:{port}/moto-api/", seconds=300)
        yield S3Server("moto", f"127.0.0.1:{port}", "test", "test-secret", is_real=False)


def why_no_ceph() -> str:
    """Why the gateway cannot be started here; empty where it can."""
    if os.environ.get(CEPH_VARIABLE) == "0":
        return f"{CEPH_VARIABLE}=0"
    missing = [name for name in CEPH_BINARIES if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed (Debian: apt-get install ceph-mon ceph-osd ceph-common radosgw)"
    return "" if os.geteuid() == 0 else "Ceph's daemons want to be started by root"


@contextlib.contextmanager
def ceph_gateway() -> Iterator[S3Server]:
    """One monitor, one OSD in memory and one RADOS gateway below a temporary folder: about 12 s to start."""
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-ceph-") as name, contextlib.ExitStack() as daemons:
        folder = Path(name)
        cluster = _CephCluster(folder)
        cluster.prepare()
        daemons.enter_context(cluster.daemon("ceph-mon", "-i", "a", "--public-addr", f"127.0.0.1:{cluster.mon_port}"))
        cluster.ceph("-s")
        cluster.ceph("config", "set", "mon", "mon_allow_pool_size_one", "true")
        cluster.key(folder / "osd" / "keyring", "osd.0", "mon", "osd")
        cluster.ceph("auth", "add", "osd.0", "-i", f"{folder}/osd/keyring")
        cluster.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", cluster.osd_uuid)
        daemons.enter_context(cluster.daemon("ceph-osd", "-i", "0"))
        port = free_port()
        frontend = f"beast endpoint=127.0.0.1:{port}"
        daemons.enter_context(cluster.daemon("radosgw", "-n", "client.admin", f"--rgw-frontends={frontend}"))
        _wait_for(f"http://127.0.0.1:{port}/", seconds=300)
        cluster.run(
            "radosgw-admin", "user", "create", "--uid=test", "--display-name=test", "--access-key=test-access",
            "--secret-key=test-secret-key",
        )  # fmt: skip
        yield S3Server("ceph", f"127.0.0.1:{port}", "test-access", "test-secret-key", is_real=True)


class _CephCluster:
    """The smallest cluster that a gateway accepts: everything on the loopback device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mon_port = free_port()
        self.osd_uuid = "11111111-2222-3333-4444-555555555555"
        self.conf = folder / "ceph.conf"

    def prepare(self) -> None:
        fsid = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
        for daemon in ("mon", "osd"):
            (self.folder / daemon).mkdir()
        self.conf.write_text(
            f"""[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{self.mon_port}
ms_bind_msgr1 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
mon_data = {self.folder}/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
osd_data = {self.folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = {self.folder}
admin_socket = {self.folder}/$name.$pid.asok
keyring = {self.folder}/keyring
log_file = {self.folder}/$name.log
pid_file = {self.folder}/$name.pid
rgw_data = {self.folder}/rgw
rgw_enable_usage_log = false
[osd.0]
keyring = {self.folder}/osd/keyring
"""
        )
        monmap, keyring = self.folder / "monmap", self.folder / "keyring"
        self.key(keyring, "mon.", "mon")
        self.key(keyring, "client.admin", "mon", "osd", "mgr")
        address = f"[v2:127.0.0.1:{self.mon_port}]"
        self.run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, "--clobber", str(monmap))
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(monmap), "--keyring", str(keyring))

    def key(self, keyring: Path, name: str, *services: str) -> None:
        create = [] if keyring.exists() else ["--create-keyring"]
        caps = [word for service in services for word in ("--cap", service, "allow *")]
        self.run("ceph-authtool", *create, str(keyring), "--gen-key", "-n", name, *caps)

    def ceph(self, *arguments: str) -> None:
        self.run("ceph", "--connect-timeout", "60", *arguments)

    def run(self, program: str, *arguments: str) -> None:
        command = (
            [program, "-c", str(self.conf), *arguments]
            if program not in ("monmaptool", "ceph-authtool")
            else [program, *arguments]
        )
        finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if finished.returncode:
            raise RuntimeError(f"{' '.join(command)}: {finished.stderr[-2000:]}")

    @contextlib.contextmanager
    def daemon(self, program: str, *arguments: str) -> Iterator[None]:
        command = [program, "-f", "-c", str(self.conf), *arguments]
        with _running(command, dict(os.environ), self.folder / f"{program}.out"):
            yield


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    with output.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
