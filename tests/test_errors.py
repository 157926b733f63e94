"""The exceptions of the package and how they end a program."""

import inspect

import pytest

from traffic_yolo import entry_point, errors
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.errors import DatasetError, LabelError, StorageError, TrafficYoloError


def our_errors() -> list[type[BaseException]]:
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
    ]


@pytest.mark.parametrize("error", our_errors(), ids=lambda error: error.__name__)
def test_every_error_has_one_root_and_says_in_one_sentence_what_it_is(error: type[BaseException]) -> None:
    assert issubclass(error, errors.TrafficYoloError)
    assert error.__doc__


def test_user_error_becomes_one_line_and_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, entry_point.one_line_errors():
        raise errors.DatasetError("data set not found: x; give the folder that convert wrote")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: data set not found: x; give the folder that convert wrote\n"


def test_several_problems_are_a_line_each_and_one_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, entry_point.one_line_errors():
        raise errors.ProblemsError(["source: not found", "zoo: cannot be written"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: source: not found\nerror: zoo: cannot be written\n"


def test_gates_end_a_program_with_exit_code_one_and_a_line_that_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, entry_point.one_line_errors():
        raise errors.GateError("m 0002 is in the zoo, but not in use")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "gates failed: m 0002 is in the zoo, but not in use\n"


def test_fault_of_ours_keeps_its_type_and_traceback() -> None:
    with pytest.raises(ZeroDivisionError), entry_point.one_line_errors():
        1 / 0  # noqa: B018


@pytest.mark.parametrize("kind", [TrafficYoloError, StorageError, LabelError, DatasetError])
def test_the_text_of_an_error_is_one_printable_line_whatever_it_quotes(kind: type[TrafficYoloError]) -> None:
    error = kind("a.csv: no column \x1b[31mred\nline\u202e; found caf\u00e9")
    assert str(error) == r"a.csv: no column \x1b[31mred\nline\u202e; found caf\xe9".replace(r"\xe9", "\u00e9")
    assert Problem("label-broken", "a\x00b").message == r"a\x00b"
