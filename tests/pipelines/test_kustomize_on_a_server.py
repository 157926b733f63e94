"""The kustomize folders before a real API server: it takes every object, and gives the rights that are stated, no more."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import ApiServer, api_server, why_no_server

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="20 s; set TRAFFIC_YOLO_SLOW=1 to run it"),
    pytest.mark.skipif(bool(why_no_server()), reason=why_no_server()),
]
RUNNER = "--as=system:serviceaccount:team-vision:pipeline-runner"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which somebody has filled in the credentials."""
    top = tmp_path_factory.mktemp("checkout")
    for name in ("pipelines/kustomize", "katib"):
        shutil.copytree(REPOSITORY / name, top / name)
    folder = top / "pipelines" / "kustomize" / "example"
    shutil.copy(folder / "credentials.env.example", folder / "credentials.env")
    return folder


@pytest.fixture(scope="module")
def applied(server: ApiServer, example: Path) -> list[str]:
    """What the server said when all of it was applied: after a dry run, which leaves nothing."""
    # A dry run makes no namespace either, in which the next object of the same run would be looked for
    assert server.kubectl("apply", "-f", str(example / "namespace.yaml")).returncode == 0
    dry = server.kubectl("apply", "--dry-run=server", "-k", str(example))
    assert dry.returncode == 0, dry.stderr
    assert all(line.endswith("(server dry run)") for line in dry.stdout.splitlines())
    assert "nas-data" not in server.kubectl("-n", "team-vision", "get", "pvc", "-o", "name").stdout
    done = server.kubectl("apply", "-k", str(example))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_server_takes_all_of_it_and_the_second_time_changes_nothing(
    server: ApiServer, example: Path, applied: list[str]
) -> None:
    assert sum(line.endswith(" created") for line in applied) == len(applied) - 1  # the namespace was there
    again = server.kubectl("apply", "-k", str(example))
    assert again.returncode == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if not line.endswith(" unchanged")] == []


def test_share_check_is_taken(server: ApiServer, example: Path, applied: list[str]) -> None:
    assert applied
    dry = server.kubectl("apply", "--dry-run=server", "-k", str(example / "share-check"))
    assert (dry.returncode, dry.stdout.strip()) == (0, "job.batch/share-check created (server dry run)"), dry.stderr


@pytest.mark.parametrize(
    ("verb", "resource", "may"),
    [
        ("create", "experiments.kubeflow.org", True),
        ("patch", "experiments.kubeflow.org", True),
        ("list", "trials.kubeflow.org", True),
        ("patch", "jobs.batch", True),
        ("delete", "jobs.batch", False),
        ("create", "jobs.batch", False),
        ("get", "secrets", False),
        ("create", "pods", False),
        ("delete", "persistentvolumeclaims", False),
    ],
)
def test_runs_may_do_what_launching_takes_and_no_more(
    verb: str, resource: str, may: bool, server: ApiServer, applied: list[str]
) -> None:
    assert applied
    asked = server.kubectl("-n", "team-vision", "auth", "can-i", verb, resource, RUNNER)
    assert asked.stdout.strip() == ("yes" if may else "no"), asked.stderr
    elsewhere = server.kubectl("-n", "default", "auth", "can-i", verb, resource, RUNNER)
    assert elsewhere.stdout.strip() == "no"
