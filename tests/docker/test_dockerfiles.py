"""Dockerfiles, read as text: what they copy exists and reaches the build, and nothing comes from an unnamed place."""

import fnmatch
import re
from pathlib import Path

import pytest

from traffic_yolo.container_images import IMAGES

SOURCES = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "components", "pipelines", "constraints.txt"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, its text) with continued lines joined and comments gone."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def copied(path: Path) -> list[str]:
    """What COPY takes from the checkout (not from an earlier stage)."""
    texts = [text for word, text in instructions(path) if word == "COPY" and "--from=" not in text]
    return [name for text in texts for name in text.split()[:-1]]


@pytest.fixture(params=IMAGES)
def dockerfile(request: pytest.FixtureRequest, repository: Path) -> Path:
    return repository / "docker" / str(request.param) / "Dockerfile"


def reaches_the_build(name: str, ignore_file: Path) -> bool:
    """Docker's rule for a name: the last pattern that matches it or a folder around it decides; '!' lets it in."""
    parts = name.split("/")
    names = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    kept = True
    for line in ignore_file.read_text().split():
        pattern = line.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        tried = [*names, *parts] if anywhere != pattern else names
        if any(fnmatch.fnmatch(one, anywhere) for one in tried):
            kept = line.startswith("!")
    return kept


def test_everything_copied_exists_and_is_not_ignored(dockerfile: Path, repository: Path) -> None:
    assert copied(dockerfile)
    for name in copied(dockerfile):
        assert (repository / name).exists(), name
        assert reaches_the_build(name, repository / ".dockerignore"), name


def test_everything_that_setup_cfg_reads_is_copied(dockerfile: Path) -> None:
    assert set(copied(dockerfile)) >= SOURCES


@pytest.mark.parametrize(
    "name",
    [".git", ".git/config", "demo", ".venv", "tests", "docs", "build/audit", ".env", "components/.env",
     "components/traffic_yolo/.env.local", "credentials.env", "pipelines/kustomize/example/credentials.env",
     "pipelines/server.key", "components/ca.pem", "components/traffic_yolo/__pycache__/cli.pyc"],
)  # fmt: skip
def test_nothing_but_needed_files_reaches_the_build(name: str, repository: Path) -> None:
    assert not reaches_the_build(name, repository / ".dockerignore")


def test_sources_reach_the_build(repository: Path) -> None:
    for path in ("components/traffic_yolo/cli.py", "pipelines/finetune_pipeline.yaml", "docker/train/slim.py"):
        assert reaches_the_build(path, repository / ".dockerignore"), path


def test_no_variable_or_argument_of_a_build_may_hold_a_secret(dockerfile: Path) -> None:
    """Both are recorded in the image; a secret is mounted."""
    named = [text for word, text in instructions(dockerfile) if word in ("ARG", "ENV", "LABEL")]
    assert not re.search(r"(?i)token|passw|secret|credential|\bkey\b|_key\b", " ".join(named))
    for word, text in instructions(dockerfile):
        if word == "RUN" and "/run/secrets" in text:
            assert "--mount=type=secret" in text


def test_base_images_are_pinned_and_nothing_is_added_from_the_network(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    assert not any(word == "ADD" for word, _ in found)
    arguments = dict(text.split("=", 1) for word, text in found if word == "ARG" and "=" in text)
    texts = [text for word, text in found if word == "FROM"]
    stages = {text.partition(" AS ")[2] for text in texts}
    bases = [base for text in texts if (base := text.partition(" AS ")[0]) not in stages]
    assert bases
    for base in bases:
        resolved = base
        while (again := re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], resolved)) != resolved:
            resolved = again
        assert re.search(r":[^:]*\d", resolved), resolved
        assert not resolved.endswith(":latest")


def test_stages_have_the_python_that_they_share(repository: Path) -> None:
    """An environment that one image made runs in another only where Python is the same, and lies at the same path."""
    text = (repository / "docker" / "train" / "Dockerfile").read_text()
    build, run = (re.search(rf"^ARG {name}=(.*)$", text, re.MULTILINE)[1] for name in ("BUILD_IMAGE", "PYTHON_IMAGE"))  # type: ignore[index]
    assert build.replace("-bookworm", "-slim-bookworm") == run


def test_pip_always_takes_the_constraints_and_the_chosen_index(dockerfile: Path) -> None:
    runs = [text for word, text in instructions(dockerfile) if word == "RUN" and re.search(r"\bpip\b.* install", text)]
    assert runs
    for text in runs:
        assert "-c constraints.txt" in text
        assert "TORCH_INDEX_URL" in text or "--no-deps" in text


def test_command_of_the_platform_is_not_overruled(dockerfile: Path) -> None:
    assert not any(word == "ENTRYPOINT" for word, _ in instructions(dockerfile))


def test_everything_is_written_below_tmp(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    variables = dict(pair for word, text in found if word == "ENV" for pair in re.findall(r"(\w+)=(\S+)", text))
    assert variables["HOME"] == "/tmp"
    assert variables["MPLCONFIGDIR"].startswith("/tmp/")
    assert {"USER", "LOGNAME"} <= set(variables)
    assert [text for word, text in found if word == "WORKDIR"][-1] == "/tmp"
