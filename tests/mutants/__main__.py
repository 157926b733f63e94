"""`make mutants`: changes one line of a module at a time, and says whether its tests notice.

A survivor that the table does not accept makes exit code 1; so do an accepted one that dies (the table is out of date)
and tests that fail without any change.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from changed_copy import ChangedCopy
from mutant import Mutant, Target, judge
from mutant_table import TARGETS

LEAST_LIMIT_S = 120.0  # a change may make a loop endless: the tests get this, or ten times what they take without it


def main() -> int:
    """Runs the mutants, all or those named."""
    parser = argparse.ArgumentParser(prog="tests/mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the mutants whose module or name holds one of these")
    words = parser.parse_args().words
    chosen = [(target, [m for m in target.mutants if _is_meant(target, m, words)]) for target in TARGETS]
    wrong = killed = accepted = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = ChangedCopy(Path(folder))
        for target, mutants in chosen:
            if not mutants:
                continue
            plain = copy.run(target.tests, limit_s=1200)
            print(f"{target.module} ({plain.seconds:.0f} s without a change)", flush=True)
            if not plain.passed:
                print(f"  its tests do not pass:\n{plain.tail}")
                wrong += len(mutants)
                continue
            for mutant in mutants:
                with copy.change(target.module, mutant.text, mutant.mutated):
                    outcome = copy.run(target.tests, limit_s=max(LEAST_LIMIT_S, 10 * plain.seconds))
                verdict, is_right = judge(mutant, outcome)
                print(f"  {verdict:<9} {mutant.name} ({outcome.seconds:.0f} s)", flush=True)
                killed, accepted = killed + (verdict == "killed"), accepted + (verdict == "accepted")
                if verdict == "accepted":
                    print(f"            {mutant.accepted}")
                if not is_right:
                    wrong += 1
                    print(f"            {mutant.text!r}\n         -> {mutant.mutated!r}\n{outcome.tail}")
    print(f"{killed} killed, {accepted} accepted, {wrong} wrong")
    return 1 if wrong else 0


def _is_meant(target: Target, mutant: Mutant, words: list[str]) -> bool:
    return not words or any(word in f"{target.module} {mutant.name}" for word in words)


if __name__ == "__main__":
    sys.exit(main())
