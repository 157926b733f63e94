"""Threads before and behind the network: bounded, in order, and no error is lost."""

import threading
from collections.abc import Iterator

import pytest

from traffic_yolo.beside import Behind, ahead


def test_items_come_in_order_and_the_error_after_them() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("broken")

    found = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(items(), 2):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]


def test_no_more_are_made_than_the_queue_takes_and_the_thread_ends_with_its_reader() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            made.append(number)
            yield number

    stream = ahead(items(), 3)
    assert next(stream) == 0
    stream.close()
    assert len(made) <= 1 + 3 + 1  # taken, waiting, in hand
    assert not [thread for thread in threading.enumerate() if thread.name == "reading ahead"]


def test_a_generator_that_is_left_early_ends_before_its_reader_goes_on() -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield from range(10_000)
        finally:
            ended.append(threading.current_thread().name)

    stream = ahead(items(), 3)
    assert next(stream) == 0
    stream.close()
    assert ended == ["reading ahead"]


def test_what_is_done_behind_is_done_in_order_before_the_block_ends() -> None:
    done: list[int] = []
    with Behind(2) as behind:
        for number in range(9):
            behind.do(lambda number=number: done.append(number))
    assert done == list(range(9))


def test_an_error_behind_is_raised_at_the_block_s_end() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind(2) as behind:
        behind.do(fail)
