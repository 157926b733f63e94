"""What a mutant is: one change of a module that tests are to notice."""

from dataclasses import dataclass


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
