"""S3 servers and places for the tests of storage."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_servers import S3Server, ceph_gateway, why_no_ceph
from storage_settings import use

from traffic_yolo.storage import NAS_ROOT_VARIABLE

FOREIGN = (
    "AWS_SESSION_TOKEN",
    "AWS_CA_BUNDLE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "SSL_CERT_FILE",
)


@pytest.fixture(scope="session")
def ceph() -> Iterator[S3Server]:
    """A real S3 server; skipped with the reason where it cannot be started."""
    if reason := why_no_ceph():
        pytest.skip(f"no Ceph gateway: {reason}")
    with ceph_gateway() as server:
        yield server


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting of this machine's own; a cache of the test's own; retries that do not wait long."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAFFIC_YOLO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.01)
    return monkeypatch


@pytest.fixture(params=["moto", "ceph"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bucket(moto: S3Server, clean: pytest.MonkeyPatch) -> str:
    """A new bucket of moto."""
    return f"s3://{use(moto, clean)}"


@pytest.fixture(params=["path", "file", "nas", "moto", "ceph"])
def root(request: pytest.FixtureRequest, tmp_path: Path, clean: pytest.MonkeyPatch) -> str:
    """An empty location of every scheme."""
    if request.param in ("moto", "ceph"):
        return f"s3://{use(request.getfixturevalue(request.param), clean)}/some/prefix"
    (tmp_path / "root").mkdir()
    clean.setenv(NAS_ROOT_VARIABLE, str(tmp_path))
    return {"path": str(tmp_path / "root"), "file": f"file://{tmp_path / 'root'}", "nas": "nas://root"}[request.param]
