"""Whether a bundle's files are those that were published, before any of them is deployed."""

from pathlib import Path

from traffic_yolo.errors import ModelError
from traffic_yolo.storage import sha256_of_file

SUMS_NAME = "SHA256SUMS"  # of the registry's bundles; a test compares the names


def check_published(folder: Path) -> None:
    """Raises `ModelError` for a file that is missing or another than SHA256SUMS says; a folder without one passes."""
    path = folder / SUMS_NAME
    if not path.is_file():
        return
    stated = [line.partition("  ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    if not stated:
        raise ModelError(f"{path} is empty; publish the bundle again, or fetch it anew")
    for digest, _, name in stated:
        if not name or "/" in name:
            raise ModelError(f"{path}: expected lines `<sha256>  <file>`, found {digest!r:.80}")
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} is missing; the bundle is incomplete, fetch it anew")
        found = sha256_of_file(folder / name)
        if found != digest:
            raise ModelError(
                f"{folder}: {name} was changed after publishing (SHA-256 {found[:12]}…, expected {digest[:12]}…); "
                f"fetch it anew"
            )
