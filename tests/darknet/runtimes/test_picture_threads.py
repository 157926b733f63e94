"""Pictures beside one another: the same bits as one after another, and PyTorch's number of threads as it was."""

import threading
from collections.abc import Iterator

import pytest
import torch

from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.darknet.runtimes.picture_threads import PictureThreads


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_batch_beside_one_another_is_the_batch_one_by_one(mixed_network, pictures, two_threads):
    runtime = open_runtime(mixed_network, RuntimeOptions("pytorch"))
    beside = runtime(pictures(5))
    runtime._threads = 1
    assert all(torch.equal(a, b) for a, b in zip(beside, runtime(pictures(5)), strict=True))


def test_threads_share_pytorchs_number_and_leave_it(two_threads):
    torch.set_num_threads(5)
    shares = PictureThreads(2, 5).map(lambda _: torch.get_num_threads(), range(8))
    assert shares == [2] * 8
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), later) == (5, [5])


def test_items_run_beside_one_another_in_order_and_without_gradients():
    both = threading.Barrier(2, timeout=60)  # broken unless two items are in work at once

    def work(item: int) -> tuple[int, bool]:
        both.wait()
        return item, torch.is_inference_mode_enabled()

    assert PictureThreads(2, 2).map(work, range(6)) == [(item, True) for item in range(6)]


def test_an_error_is_raised_and_the_threads_end_with_their_owner():
    def fail(item: int) -> None:
        raise ValueError(f"picture {item}")

    owner = PictureThreads(3, 3)
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("pictures_")]
    with pytest.raises(ValueError, match="picture 0"):
        owner.map(fail, range(3))
    del owner
    for thread in mine[-3:]:
        thread.join(timeout=60)
        assert not thread.is_alive()
