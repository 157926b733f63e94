"""The table of docs/architecture.md: what lies in the folder that each step leaves."""

import re
from pathlib import Path

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
MODEL_FILES = "the model folder's files"


def stated_files(artifact: str) -> tuple[set[str], set[str]]:
    """The names that are always in the artifact's folder, and those that may be; folders without their slash."""
    section = ARCHITECTURE.read_text(encoding="utf-8").partition("## Artifacts")[2].partition("\n## ")[0]
    (row,) = re.findall(rf"^\| {artifact} \| (.*) \| ?(.*?) ?\|$", section, re.MULTILINE)
    always, besides = ({name.rstrip("/") for name in re.findall(r"`([^`]+)`", cell)} for cell in row)
    if MODEL_FILES in row[0]:
        always |= stated_files("model folder")[0]
    return always, besides


def differing_files(artifact: str, folder: Path) -> set[str]:
    """Names that are missing in the folder, or are there and stated nowhere."""
    always, besides = stated_files(artifact)
    found = {path.name for path in folder.iterdir()}
    return (always - found) | (found - always - besides)
