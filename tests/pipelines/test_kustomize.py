"""The kustomize folders: they hold together, Kubernetes knows every key, and nothing in them says who has the password."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes_schema import hold_to_schema
from pod_security import breaches
from quick_yaml import load_documents

from traffic_yolo.container_images import USER_ID, image
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH, S3_SECRET_KEYS

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "pipelines" / "kustomize"
KUSTOMIZATIONS = sorted(path.parent for path in FOLDER.rglob("kustomization.yaml"))
PLACES = {NAS_MOUNT_PATH: "", "/tmp": "tmp/"}  # of the pod, in the folder that stands for both
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def loaded(path: Path) -> list[Any]:
    return load_documents(path.read_text(encoding="utf-8"))


def built(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) -> document, as kubectl's own kustomize makes them."""
    finished = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    documents = load_documents(finished.stdout)
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(found) == len(documents)
    return found


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as its reader leaves it: copied with what it refers to, and with credentials of its own."""
    top = tmp_path_factory.mktemp("checkout")
    shutil.copytree(FOLDER, top / "pipelines" / "kustomize")
    shutil.copytree(REPOSITORY / "katib", top / "katib")
    folder = top / "pipelines" / "kustomize" / "example"
    shutil.copy(folder / "credentials.env.example", folder / "credentials.env")
    return folder


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_everything_that_is_listed_is_there_and_nothing_lies_unlisted(folder: Path) -> None:
    (kustomization,) = loaded(folder / "kustomization.yaml")
    listed = {(folder / name).resolve() for name in kustomization["resources"]}
    for path in listed:
        assert path.is_file() or (path / "kustomization.yaml").is_file(), path
    assert {path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"} <= listed


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_kubernetes_knows_every_key(path: Path) -> None:
    for document in loaded(path):
        if document["kind"] != "Kustomization":
            hold_to_schema(document)


@needs_kubectl
def test_example_builds_and_all_of_it_lies_in_one_namespace(example: Path) -> None:
    found = built(example)
    assert {kind for kind, _ in found} == {
        "Namespace", "PersistentVolume", "PersistentVolumeClaim", "Secret", "NetworkPolicy", "Role", "RoleBinding",
    }  # fmt: skip
    for (kind, name), document in found.items():
        hold_to_schema(document)
        if kind not in ("Namespace", "PersistentVolume"):
            assert document["metadata"]["namespace"] == "team-vision", name
    for claim_name in ("nas-data", "nas-data-ro"):
        claim = found["PersistentVolumeClaim", claim_name]["spec"]
        volume = found["PersistentVolume", f"{claim_name}-team-vision"]["spec"]
        assert claim["volumeName"] == f"{claim_name}-team-vision"
        assert set(claim["accessModes"]) <= set(volume["accessModes"])
        assert claim["storageClassName"] == volume["storageClassName"] == ""
        assert volume["persistentVolumeReclaimPolicy"] == "Retain"
        is_read_only = claim_name.endswith("-ro")
        assert (volume["nfs"].get("readOnly", False), "ro" in volume["mountOptions"]) == (is_read_only, is_read_only)


@needs_kubectl
def test_secret_has_the_keys_that_tasks_look_for_and_the_name_that_a_run_gives(example: Path) -> None:
    secret = built(example)["Secret", "lab-s3"]
    assert set(secret["data"]) <= set(S3_SECRET_KEYS)
    assert "credentials.env" in (REPOSITORY / ".gitignore").read_text().split()
    template = (FOLDER / "example" / "credentials.env.example").read_text()
    assert [line for line in template.splitlines() if "KEY" in line and not line.endswith("=")] == []


@needs_kubectl
def test_namespace_lets_katib_collect_and_tasks_out_no_further_than_named(example: Path) -> None:
    found = built(example)
    labels = found["Namespace", "team-vision"]["metadata"]["labels"]
    assert labels["katib.kubeflow.org/metrics-collector-injection"] == "enabled"
    for name in ("traffic-yolo-tasks", "traffic-yolo-trials"):
        policy = found["NetworkPolicy", name]["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert not policy.get("ingress")
        assert policy["podSelector"]  # not of everything in the namespace
        for rule in policy["egress"]:
            assert rule["to"], "no destination is any destination"
            assert rule["ports"]
            assert all(place.get("ipBlock", {}).get("cidr") != "0.0.0.0/0" for place in rule["to"])
        # What the example adds to the base is the cluster's own
        assert any("ipBlock" in place for rule in policy["egress"] for place in rule["to"]), name


@needs_kubectl
def test_share_check_is_admitted_and_runs_a_teams_own_image(example: Path) -> None:
    job = built(example / "share-check")["Job", "share-check"]
    pod = job["spec"]["template"]["spec"]
    assert breaches(pod) == []
    assert pod["containers"][0]["image"] == f"registry.example/vision/{image('train').rpartition('/')[2]}"
    assert pod["containers"][0]["securityContext"]["runAsUser"] == USER_ID


def test_share_check_names_the_image_that_the_pipelines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_IMAGE_PREFIX", raising=False)
    (job,) = loaded(FOLDER / "share-check" / "job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image("train")
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {NAS_MOUNT_PATH, "/tmp"}


@pytest.mark.long
def test_share_check_tells_what_a_task_could_not_do(tmp_path: Path) -> None:
    """Its very script, on a folder instead of a claim: all is well; then recordings are missing, then the zoo."""
    (job,) = loaded(FOLDER / "share-check" / "job.yaml")
    (script,) = job["spec"]["template"]["spec"]["containers"][0]["args"]
    for name in ("recordings", "zoo", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "recordings" / "one.h5").write_text("frames")
    # Only where a path begins: `nas://` has a slash of its own
    script = re.sub(rf"(?<= )({NAS_MOUNT_PATH}|/tmp)/", lambda found: f"{tmp_path}/{PLACES[found[1]]}", script)

    def run() -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TRAFFIC_YOLO_NAS_ROOT": str(tmp_path)}
        return subprocess.run(["sh", "-ec", script], capture_output=True, text=True, env=environment, check=False)

    well = run()
    assert well.returncode == 0, well.stderr
    assert "readable: 1 files" in well.stdout
    assert "writable: nas://zoo" in well.stdout
    assert list((tmp_path / "zoo").iterdir()) == []
    shutil.rmtree(tmp_path / "zoo")
    (tmp_path / "zoo").write_text("no folder")
    assert run().returncode != 0
    shutil.rmtree(tmp_path / "recordings")
    assert "recordings" in run().stderr
