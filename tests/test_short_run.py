"""What `make test` leaves out: what is marked long, and of generated sets all but an even choice."""

import pytest

pytest_plugins = ("pytester",)

SUITE = """
import pytest

@pytest.mark.parametrize("case", range(10))
@pytest.mark.many(3)
def test_set(case): ...

@pytest.mark.parametrize("case", range(2))
@pytest.mark.many(5)
def test_small_set(case): ...

@pytest.mark.long
def test_long(): ...

@pytest.mark.parametrize("case", [1, pytest.param(2, marks=pytest.mark.long)])
def test_one_long_case(case): ...

class TestClass:
    def test_short(self): ...
"""


def outcome(folder: pytest.Pytester, *options: str) -> list[str]:
    """Names of the tests that ran."""
    folder.makepyfile(test_suite=SUITE)
    folder.makeconftest(
        """
        import pytest
        from short_run import shortened

        def pytest_addoption(parser):
            parser.addoption("--short", action="store_true")

        def pytest_collection_modifyitems(config, items):
            if config.getoption("--short"):
                items[:] = shortened(items)
        """
    )
    folder.makeini("[pytest]\nmarkers =\n    long: x\n    many(n): x\n")
    found = folder.inline_run("-p", "no:cacheprovider", *options)
    passed, skipped, failed = found.listoutcomes()
    assert skipped == failed == []
    return [report.nodeid.split("::", 1)[1] for report in passed]


def test_short_leaves_out_what_is_long_and_keeps_an_even_choice_of_many(pytester: pytest.Pytester) -> None:
    assert outcome(pytester, "--short") == [
        *(f"test_set[{case}]" for case in (0, 3, 6)),
        "test_small_set[0]",
        "test_small_set[1]",
        "test_one_long_case[1]",
        "TestClass::test_short",
    ]


def test_without_it_everything_runs(pytester: pytest.Pytester) -> None:
    assert len(outcome(pytester)) == 10 + 2 + 1 + 2 + 1
