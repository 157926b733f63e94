"""The first step of the DeepStream image: a version whose Python is too old ends the build in one line."""

import configparser
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.deepstream.config.deploy_config import IMAGE_PARSER


@pytest.fixture
def script(repository: Path) -> Path:
    return repository / "docker" / "deepstream" / "check_python.py"


@pytest.fixture
def check(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location("check_python", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("version", "is_taken"), [((3, 8), False), ((3, 10), False), ((3, 11), True), ((3, 12), True), ((3, 13), False)]
)
def test_pythons_are_held_to_setup_cfg(check: Any, repository: Path, version: tuple[int, int], is_taken: bool) -> None:
    settings = configparser.ConfigParser()
    settings.read(repository / "setup.cfg")
    found = check.problem(version, settings["options"]["python_requires"], "7.1")
    assert (found == "") == is_taken
    if not is_taken:
        assert f"DEEPSTREAM_VERSION=7.1 has Python {version[0]}.{version[1]}, and traffic-yolo needs >=3.11" in found


def test_the_script_ends_the_build(script: Path, repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(script), "9.1"]
    assert subprocess.run([*command, str(repository / "setup.cfg")], check=False).returncode == 0
    (tmp_path / "setup.cfg").write_text("[options]\npython_requires = >=3.99\n")
    done = subprocess.run([*command, str(tmp_path / "setup.cfg")], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: DEEPSTREAM_VERSION=9.1 has Python 3.")
    assert done.stderr.count("\n") == 1


def test_the_image_puts_the_parser_where_the_run_looks_for_it(repository: Path) -> None:
    text = (repository / "docker" / "deepstream" / "Dockerfile").read_text()
    folder, name = IMAGE_PARSER.rsplit("/", 1)
    assert f"COPY --from=parser /build/{name} {folder}/\n" in text
    assert 'RUN python3 check_python.py "${DEEPSTREAM_VERSION}" setup.cfg\n' in text
    assert text.index('check_python.py "${') < text.index("cmake -S")
