"""What setup.cfg, constraints.txt and the folders say about each other."""

import configparser
import re
import resource
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    return parser


def requirement_names(text: str) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", line)[0].lower() for line in text.split("\n") if line and line[0] != "#"}


def test_every_package_folder_is_listed() -> None:
    root = REPOSITORY / "components"
    found = {".".join(path.parent.relative_to(root).parts) for path in root.rglob("__init__.py")}
    listed = set(setup_cfg()["options"]["packages"].split())
    assert found | {"traffic_yolo_pipelines"} == listed


def test_every_requirement_is_pinned_in_the_constraints() -> None:
    config = setup_cfg()
    wanted = requirement_names(config["options"]["install_requires"])
    for extra in config["options.extras_require"].values():
        wanted |= requirement_names(extra)
    pinned = requirement_names((REPOSITORY / "constraints.txt").read_text())
    assert {name for name in wanted if not name.startswith("types-")} - pinned == set()


def test_constraints_are_exact() -> None:
    lines = [x for x in (REPOSITORY / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []


def test_help_loads_no_torch_and_answers_quickly() -> None:
    """The promise is 0.3 s on an idle machine; the bound is on processor time, which others on the machine do not use."""
    code = "import sys, traffic_yolo.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    heavy = "assert not {'torch', 'kfp', 'cv2', 'h5py', 'matplotlib', 'numpy'} & set(sys.modules), sys.modules.keys()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "snapshot" in finished.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_installed_version_is_the_one_in_the_source() -> None:
    from importlib.metadata import version

    from traffic_yolo import __version__

    assert version("traffic-yolo") == __version__
