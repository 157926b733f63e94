"""Runs the benchmarks of this folder: `python tests/benchmarks/run.py [topic ...]`; without topics, all of them.

Prints each row as it comes and the whole table at the end. The exit code is 0 whether targets hold or not: a loaded
machine must not fail a build. `--json FILE` keeps the rows.
"""

import argparse
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from harness import Row, machine, table  # noqa: E402  (the folder is no package)


def topics() -> list[str]:
    """The names of the benchmarks that exist."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def rows_of(topic: str) -> Iterator[Row]:
    """The rows of one benchmark, as they are measured."""
    spec = importlib.util.spec_from_file_location(f"bench_{topic}", FOLDER / f"bench_{topic}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield from module.rows()


def main() -> int:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topics", nargs="*", metavar="topic", help=f"of: {', '.join(topics())}")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    if unknown := set(options.topics) - set(topics()):
        parser.error(f"unknown topic {sorted(unknown)[0]!r}; expected one of {', '.join(topics())}")
    print(machine(), flush=True)
    rows: list[Row] = []
    for topic in options.topics or topics():
        for row in rows_of(topic):
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
    print(f"\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
