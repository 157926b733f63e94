"""A manifest for a data set that a test writes by hand."""

import json
from pathlib import Path

from traffic_yolo.dataset.data_set import SCHEMA_VERSION
from traffic_yolo.dataset.manifest import CLASSES_NAME, MANIFEST_NAME
from traffic_yolo.storage import sha256_of_file


def write_manifest(root: Path, fingerprint: str = "f" * 64) -> None:
    """States the checksums of the classes and annotations that lie in `root` now; as far as a reader wants them."""
    paths = [root / CLASSES_NAME, *sorted((root / "annotations").glob("*.json"))]
    files = [
        {"path": str(path.relative_to(root)), "size": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in paths
    ]
    counts = {
        path.stem.removeprefix("instances_"): {"images": len(json.loads(path.read_text())["images"])}
        for path in paths[1:]
    }
    manifest = {"schema_version": SCHEMA_VERSION, "fingerprint": fingerprint, "counts": counts, "files": files}
    (root / MANIFEST_NAME).write_text(json.dumps(manifest))


def state_again(root: Path) -> None:
    """Puts the checksums of the annotations that lie in `root` now into its manifest, as if convert had written them."""
    manifest = json.loads((root / MANIFEST_NAME).read_text())
    for entry in manifest["files"]:
        if entry["path"].startswith("annotations/"):
            entry["sha256"] = sha256_of_file(root / entry["path"])
    (root / MANIFEST_NAME).write_text(json.dumps(manifest))
