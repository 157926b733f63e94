"""What the images hold, its licences, and what is known to be wrong with it: `make audit`.

`python tests/audit/audit.py --out FOLDER --pip-audit PROGRAM` writes `requirements.txt` (every distribution, exact),
`licences.csv`, and `vulnerabilities.json` of pip-audit. Where its database cannot be asked, that is said, and `hashes.txt` is
written besides: what pip would install, held to SHA-256, for an audit elsewhere. Exit code 1: something is wrong; 2: not all
could be looked up.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from licences import PACKAGE, Licence, complaints, installed, licence_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is found")
    parser.add_argument("--pip-audit", required=True, metavar="PROGRAM", help="pip-audit, of an environment of its own")
    given = parser.parse_args(arguments)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    found = [one for one in map(licence_of, installed()) if one.name != PACKAGE]
    write_licences(found, out / "licences.csv")
    requirements = out / "requirements.txt"
    # A build of one's own, 2.13.0+cpu, is the release 2.13.0 in every database
    requirements.write_text("".join(f"{one.name}=={one.version.partition('+')[0]}\n" for one in found))
    refused = complaints(found)
    for line in refused:
        print(f"licence: {line}")
    print(f"{len(found)} distributions; licences: {len(refused)} to look at ({out / 'licences.csv'})")
    code = vulnerabilities(given.pip_audit, requirements, out)
    return max(code, 1 if refused else 0)


def write_licences(found: Iterable[Licence], path: Path) -> None:
    """One line a distribution."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "version", "licence", "whole text of the GPL in"])
        writer.writerows([one.name, one.version, one.licence, " ".join(one.carries)] for one in found)


def vulnerabilities(program: str, requirements: Path, out: Path) -> int:
    """Asks pip-audit; 0 where nothing is known, 1 where something is, 2 where not everything could be looked up."""
    report = out / "vulnerabilities.json"
    report.unlink(missing_ok=True)
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-o", str(report)]
    finished = subprocess.run([program, "-r", str(requirements), *options], capture_output=True, text=True, check=False)
    if report.is_file():
        lines, code = told(json.loads(report.read_text())["dependencies"])
    else:
        last = (finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"])[-1]
        lines, code = [f"the database was not reached: {last}"], 2
    for line in lines:
        print(f"vulnerabilities: {line}")
    if code == 2:
        print(f"vulnerabilities: for a look elsewhere: {hashes(requirements, out)}")
    return code


def told(dependencies: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """Lines on what pip-audit reports, and the exit code. It says of what it does not know that nothing is known of it."""
    passed_over = [one["name"] for one in dependencies if "skip_reason" in one]
    lines = [
        f"{one['name']} {one['version']}: {known['id']}; mended in {', '.join(known['fix_versions']) or 'no release'}"
        for one in dependencies
        for known in one.get("vulns", [])
    ]
    code = 1 if lines else 2 if passed_over or not dependencies else 0
    looked_up = len(dependencies) - len(passed_over)
    lines.append(f"{looked_up} of {len(dependencies)} distributions looked up")
    if passed_over:
        lines.append(f"the database does not know {', '.join(passed_over[:5])}{' …' if len(passed_over) > 5 else ''}")
    return lines, code


def hashes(requirements: Path, out: Path) -> str:
    """Writes what pip would install of `requirements` with its SHA-256; returns the file, or why there is none."""
    report = out / "pip-report.json"
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps",
        "--report", str(report), "-r", str(requirements),
    ]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        return f"nothing, pip ended with {finished.stderr.strip().splitlines()[-1]}"
    lines = []
    for one in json.loads(report.read_text())["install"]:
        metadata, archive = one["metadata"], one["download_info"].get("archive_info", {})
        lines.append(f"{metadata['name']}=={metadata['version']} --hash=sha256:{archive['hashes']['sha256']}\n")
    path = out / "hashes.txt"
    path.write_text("".join(sorted(lines)))
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
