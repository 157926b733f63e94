"""Prints what setup.cfg requires, with the extras named: `requirements.py setup.cfg train kubeflow deploy`.

pip has no way to install a package's requirements without the package; in a layer of their own they are sent once, and
not again with every commit.
"""

import configparser
import sys
from collections.abc import Iterator
from pathlib import Path


def requirements(path: Path, extras: list[str]) -> Iterator[str]:
    """Every requirement, one a line; raises `KeyError` for an extra that is not there."""
    config = configparser.ConfigParser()
    config.read_string(path.read_text(encoding="utf-8"))
    listed = [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    for text in listed:
        yield from (line for line in text.splitlines() if line and not line.startswith("#"))


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2:])))
