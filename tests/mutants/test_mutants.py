"""The mutants can be made: each text stands once in its module, each tests' file is there. `make mutants` tries them."""

import ast
from pathlib import Path

import pytest
from changed_copy import COPIED, REPOSITORY, ChangedCopy, Outcome, changed, path_of
from mutant import Mutant, Target, judge
from mutant_table import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.module)
def test_every_mutant_changes_one_place_of_its_module_and_is_still_python(target: Target) -> None:
    source = (REPOSITORY / path_of(target.module)).read_text()
    for mutant in target.mutants:
        assert mutant.mutated != mutant.text
        ast.parse(changed(source, mutant.text, mutant.mutated))
    names = [mutant.name for mutant in target.mutants]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.module)
def test_the_tests_of_a_module_are_there(target: Target) -> None:
    for test in target.tests:
        path, _, name = test.partition("[")[0].partition("::")
        assert path.split("/")[0] in COPIED
        assert not name or f"def {name}(" in (REPOSITORY / path).read_text()


def test_modules_stand_once() -> None:
    modules = [target.module for target in TARGETS]
    assert len(set(modules)) == len(modules)


def test_a_module_that_was_renamed_and_a_text_that_went_are_named() -> None:
    with pytest.raises(LookupError, match=r"no module traffic_yolo\.nothing: .*nothing\.py is not there"):
        path_of("traffic_yolo.nothing")
    with pytest.raises(LookupError, match="expected once, found 2 times: 'a'"):
        changed("a + a", "a", "b")


def test_the_copy_alone_is_changed_and_put_back(tmp_path: Path) -> None:
    target, mutant = TARGETS[0], TARGETS[0].mutants[0]
    ours, copied = REPOSITORY / path_of(target.module), tmp_path / path_of(target.module)
    before = ours.read_bytes()
    copy = ChangedCopy(tmp_path)
    stamp = copied.stat().st_mtime_ns
    with copy.change(target.module, mutant.text, mutant.mutated):
        assert mutant.mutated in copied.read_text()
        assert (tmp_path / "roots" / target.module.replace(".", "/")).with_suffix(".py").samefile(copied)
    assert ours.read_bytes() == copied.read_bytes() == before
    assert copied.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("code", "accepted", "verdict"),
    [
        (1, "", ("killed", True)),
        (None, "", ("killed", True)),  # an endless loop
        (0, "", ("SURVIVED", False)),
        (0, "equal", ("accepted", True)),
        (1, "equal", ("KILLED", False)),  # the table is out of date
        (2, "", ("BROKEN", False)),  # the tests could not be collected
        (4, "equal", ("BROKEN", False)),
    ],
)
def test_a_mutant_is_judged_by_what_pytest_says(code: int | None, accepted: str, verdict: tuple[str, bool]) -> None:
    assert judge(Mutant("m", "a", "b", accepted), Outcome(code, "", 1.0)) == verdict
