"""What the images hold, its licences, and what is known to be wrong with it: `make audit`.

`python tests/audit/audit.py --out FOLDER` writes `requirements.txt` (every distribution, exact), `licences.csv`, and
`vulnerabilities.json` of pip-audit. Where its database cannot be reached, that is said, and `hashes.txt` is written instead:
what pip would install, held to SHA-256, for an audit elsewhere. Exit code 1: something is wrong; 2: it could not be looked at.
"""

import argparse
import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from licences import PACKAGE, Licence, complaints, installed, licence_of

UNREACHED = ("ServiceError", "ConnectionError", "Could not connect", "Max retries exceeded", "HTTPError", "SSLError")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is found")
    out: Path = parser.parse_args(arguments).out
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
    code = vulnerabilities(requirements, out)
    return max(code, 1 if refused else 0)


def write_licences(found: Iterable[Licence], path: Path) -> None:
    """One line a distribution."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "version", "licence", "whole text of the GPL in"])
        writer.writerows([one.name, one.version, one.licence, " ".join(one.carries)] for one in found)


def vulnerabilities(requirements: Path, out: Path) -> int:
    """Asks pip-audit; 0 where nothing is known, 1 where something is, 2 where nobody could be asked."""
    report = out / "vulnerabilities.json"
    report.unlink(missing_ok=True)
    if importlib.util.find_spec("pip_audit") is None:
        print("vulnerabilities: pip-audit is not installed; run `make audit`", file=sys.stderr)
        return 2
    command = [
        sys.executable, "-m", "pip_audit", "-r", str(requirements), "--no-deps", "--disable-pip",
        "--progress-spinner", "off", "-f", "json", "-o", str(report),
    ]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if report.is_file():
        return tell_vulnerabilities(json.loads(report.read_text()), report)
    last = (finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"])[-1]
    print(f"vulnerabilities: not looked up: {last}", file=sys.stderr)
    if not any(word in finished.stderr for word in UNREACHED):
        return 2
    print(f"the database of vulnerabilities was not reached; pinned instead: {hashes(requirements, out)}", file=sys.stderr)
    return 2


def tell_vulnerabilities(report: dict[str, list[dict[str, object]]], path: Path) -> int:
    """Prints one line for each; 1 where there is one, 2 where a distribution was passed over."""
    code = 0
    for one in report["dependencies"]:
        if "skip_reason" in one:
            print(f"{one['name']}: not looked up: {one['skip_reason']}")
            code = max(code, 2)
            continue
        for known in one["vulns"]:  # type: ignore[attr-defined]
            mended = ", ".join(known["fix_versions"]) or "no release"
            print(f"{one['name']} {one['version']}: {known['id']}; mended in {mended}")
            code = 1
    print(f"vulnerabilities: {path}")
    return code


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
