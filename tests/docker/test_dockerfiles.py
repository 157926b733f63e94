"""Dockerfiles, read as text: what they copy exists and reaches the build, and nothing comes from an unnamed place."""

import fnmatch
import re
from pathlib import Path

import pytest

from traffic_yolo.container_images import IMAGES


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, its text) with continued lines joined and comments gone."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


@pytest.fixture(params=IMAGES)
def dockerfile(request: pytest.FixtureRequest, repository: Path) -> Path:
    return repository / "docker" / str(request.param) / "Dockerfile"


def reaches_the_build(name: str, ignore_file: Path) -> bool:
    """Docker's rule for a top-level name: the last pattern that matches decides; '!' lets it in."""
    kept = True
    for pattern in ignore_file.read_text().split():
        if fnmatch.fnmatch(name, pattern.removeprefix("!")):
            kept = pattern.startswith("!")
    return kept


def test_everything_copied_exists_and_is_not_ignored(dockerfile: Path, repository: Path) -> None:
    sources = [name for word, text in instructions(dockerfile) if word == "COPY" for name in text.split()[:-1]]
    assert sources
    for name in sources:
        assert (repository / name).exists(), name
        assert reaches_the_build(name, repository / ".dockerignore"), name


def test_everything_that_setup_cfg_reads_is_copied(dockerfile: Path) -> None:
    copied = {name for word, text in instructions(dockerfile) if word == "COPY" for name in text.split()[:-1]}
    assert {
        "setup.cfg",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "components",
        "pipelines",
        "constraints.txt",
    } <= copied


def test_nothing_but_needed_files_reaches_the_build(repository: Path) -> None:
    for name in (".git", "demo", ".venv", "tests", "docs"):
        assert not reaches_the_build(name, repository / ".dockerignore"), name


def test_base_image_is_pinned_and_nothing_is_added_from_the_network(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    assert not any(word == "ADD" for word, _ in found)
    arguments = dict(text.split("=", 1) for word, text in found if word == "ARG" and "=" in text)
    (base,) = [text for word, text in found if word == "FROM"]
    resolved = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
    assert re.search(r":[^:]*\d", resolved), resolved
    assert not resolved.endswith(":latest")


def test_pip_always_takes_the_constraints_and_the_chosen_index(dockerfile: Path) -> None:
    runs = [text for word, text in instructions(dockerfile) if word == "RUN" and "pip install" in text]
    assert runs
    for text in runs:
        assert "-c constraints.txt" in text
        assert "TORCH_INDEX_URL" in text


def test_command_of_the_platform_is_not_overruled(dockerfile: Path) -> None:
    assert not any(word == "ENTRYPOINT" for word, _ in instructions(dockerfile))
