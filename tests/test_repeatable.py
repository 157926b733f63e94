"""What one run of the suite draws, the next draws too, whatever ran before it in the same process."""

import itertools
import random
import sys
from types import ModuleType

import pytest
from examples import SLOW, examples
from hypothesis import given
from hypothesis import strategies as st
from shuffling import shuffled


def drawn() -> list[tuple[int, str]]:
    """What hypothesis draws for a test."""
    found = []

    @examples(200)
    @given(st.integers(), st.text())
    def collects(number: int, text: str) -> None:
        found.append((number, text))

    collects()
    return found


@pytest.mark.skipif(SLOW, reason="draws anew on purpose")
def test_examples_depend_neither_on_earlier_draws_nor_on_the_modules_that_others_loaded(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drawn()
    random.seed(5)
    # Constants of a module that looks like a part of the project, as a lazily imported one does
    source = tmp_path / "loaded_late.py"
    source.write_text("NUMBERS = [" + ", ".join(str(7_777_000 + n) for n in range(500)) + "]\n")
    module = ModuleType("loaded_late")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "loaded_late", module)
    assert drawn() == first


def test_a_random_order_is_that_of_its_seed_and_keeps_the_tests_of_a_file_together() -> None:
    tests = [f"{file}::{number}" for file in ("a.py", "b.py", "c.py", "d.py") for number in range(6)]

    def order(seed: int) -> list[str]:
        return shuffled(tests, lambda test: test.split("::")[0], seed)

    assert sorted(order(1)) == tests
    assert order(1) == order(1) != order(2)
    files = [test.split("::")[0] for test in order(1)]
    assert [file for file, _ in itertools.groupby(files)] == list(dict.fromkeys(files)) != sorted(set(files))
    assert order(1)[:6] != sorted(order(1)[:6])
