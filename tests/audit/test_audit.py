"""The audit: its exit code says whether something is wrong, and what was never looked up is not called safe."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

import audit

KNOWN = {"name": "some", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}
SAFE: dict[str, Any] = {"name": "other", "version": "2.0", "vulns": []}
PASSED_OVER = {"name": "own", "skip_reason": "Dependency not found on PyPI and could not be audited: own (3.0)"}


@pytest.mark.parametrize(
    ("dependencies", "code", "line"),
    [
        ([SAFE], 0, "1 of 1 distributions looked up"),
        ([KNOWN, SAFE], 1, "some 1.0: PYSEC-1; mended in 1.1"),
        ([SAFE, PASSED_OVER], 2, "the database does not know own"),
        ([PASSED_OVER], 2, "0 of 1 distributions looked up"),
        ([KNOWN, PASSED_OVER], 1, "the database does not know own"),
        ([], 2, "0 of 0 distributions looked up"),
    ],
)
def test_what_was_passed_over_is_not_called_safe(dependencies: list[Any], code: int, line: str) -> None:
    lines, found = audit.told(dependencies)
    assert found == code
    assert line in lines


def program(folder: Path, script: str) -> str:
    path = folder / "pip-audit"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_audit_writes_what_it_found_and_ends_with_the_worst_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.dumps({"dependencies": [KNOWN]})
    answering = program(tmp_path, f'for last in "$@"; do :; done; echo \'{report}\' > "$last"; exit 1')
    assert audit.main(["--out", str(tmp_path / "out"), "--pip-audit", answering]) == 1
    assert "vulnerabilities: some 1.0: PYSEC-1; mended in 1.1" in capsys.readouterr().out
    lines = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    assert all(line.count("==") == 1 and "+" not in line for line in lines)  # 2.13.0+cpu is 2.13.0 in every database
    assert not any(line.startswith("traffic-yolo==") for line in lines)
    table = (tmp_path / "out" / "licences.csv").read_text().splitlines()
    assert len(table) == len(lines) + 1
    assert any(line.startswith("torch,") and "BSD-3-Clause" in line for line in table)


def test_a_database_that_is_out_of_reach_is_no_clean_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "hashes", lambda _requirements, out: str(out / "hashes.txt"))
    silent = program(tmp_path, 'echo "ConnectionError: no route" >&2; exit 1')
    assert audit.main(["--out", str(tmp_path / "out"), "--pip-audit", silent]) == 2
    told = capsys.readouterr().out
    assert "the database was not reached: ConnectionError: no route" in told
    assert "for a look elsewhere" in told


def test_hashes_are_those_of_the_files_that_pip_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"install": [{"metadata": {"name": "some", "version": "1.0"},
                           "download_info": {"archive_info": {"hashes": {"sha256": "ab" * 32}}}}]}  # fmt: skip

    def pip(command: list[str], **_others: Any) -> Any:
        Path(command[command.index("--report") + 1]).write_text(json.dumps(answer))
        return type("Finished", (), {"returncode": 0})

    monkeypatch.setattr(audit.subprocess, "run", pip)
    assert audit.hashes(tmp_path / "requirements.txt", tmp_path) == str(tmp_path / "hashes.txt")
    assert (tmp_path / "hashes.txt").read_text() == f"some==1.0 --hash=sha256:{'ab' * 32}\n"
