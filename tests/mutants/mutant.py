"""What a mutant is: one change of a module that tests are to notice; and what is made of what they say."""

from dataclasses import dataclass

from changed_copy import Outcome


@dataclass(frozen=True)
class Mutant:
    """`text` stands exactly once in the module and becomes `mutated`, which is wrong in the way that `name` says.

    `accepted`: why it may survive; "" for a mutant that has to die.
    """

    name: str
    text: str
    mutated: str
    accepted: str = ""


@dataclass(frozen=True)
class Target:
    """A module by its import name, the tests that hold it (pytest's names, relative to the repository), its mutants."""

    module: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]


def judge(mutant: Mutant, outcome: Outcome) -> tuple[str, bool]:
    """A word for what came of a mutant, and whether it is as the table says."""
    if outcome.passed:
        return ("accepted", True) if mutant.accepted else ("SURVIVED", False)
    if not outcome.failed:
        return "BROKEN", False  # the tests did not run: such a change shows nothing
    return ("KILLED", False) if mutant.accepted else ("killed", True)
