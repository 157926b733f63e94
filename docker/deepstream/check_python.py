"""Ends the build of the image where DeepStream's Python is not one that the package takes; read by any Python 3.

`check_python.py VERSION SETUP_CFG`: VERSION is DeepStream's, for the message.
"""

import configparser
import re
import sys


def problem(version, required, deepstream):
    """One line on what is wrong, "" where nothing is. `version`: of Python, (3, 10); `required`: ">=3.11,<3.13"."""
    for rule in required.split(","):
        match = re.match(r"(>=|<)\s*(\d+)\.(\d+)$", rule.strip())
        if match is None:
            return "setup.cfg: python_requires: expected rules such as >=3.11,<3.13, found " + rule
        limit = (int(match.group(2)), int(match.group(3)))
        if not (version >= limit if match.group(1) == ">=" else version < limit):
            return (
                f"DEEPSTREAM_VERSION={deepstream} has Python {version[0]}.{version[1]}, and traffic-yolo needs "
                f"{required}; take a version on Ubuntu 24.04 (8.0 and later), or run deepstream-app there and this "
                f"package elsewhere: docs/deepstream.md"
            )
    return ""


def main():
    """Reads the rule from setup.cfg; exit code 2 with one line where this Python breaks it."""
    settings = configparser.ConfigParser()
    settings.read(sys.argv[2])
    found = problem(tuple(sys.version_info[:2]), settings["options"]["python_requires"], sys.argv[1])
    if found:
        sys.stderr.write("error: " + found + "\n")
        raise SystemExit(2)


if __name__ == "__main__":
    main()
