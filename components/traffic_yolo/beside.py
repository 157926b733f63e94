"""Work in a thread beside the caller's: a bounded number of things ahead of it, or behind it."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
WAIT_S = 0.1  # until a full queue is looked at again, in case that nobody empties it any more


class _End(Generic[Item]):
    """What stands in the queue after the last item: why there are no more."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[Item], size: int) -> Generator[Item, None, None]:
    """Yields `items` unchanged, at most `size` of them made ahead by a thread of their own.

    What making them raises, is raised here after those before it. The thread ends with this iterator.
    """
    waiting: queue.Queue[Item | _End[Item]] = queue.Queue(size)
    stop = threading.Event()

    def offer(item: Item | _End[Item]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=WAIT_S)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not offer(item):
                    break
            if isinstance(items, Generator):
                items.close()  # here and now, where it ran: what it holds, and what it says when it ends
        except BaseException as raised:  # the caller's to raise
            error = raised
        offer(_End(error))

    thread = threading.Thread(target=work, daemon=True, name="reading ahead")
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join()


class Behind:
    """Runs what it is given one after another in a thread of its own, at most `size` calls behind; a context manager.

    An error of a call is raised by a later `do`, or at the end of the block, which waits for all calls.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writing behind")
        self._calls: deque[Future[None]] = deque()

    def do(self, call: Callable[[], None]) -> None:
        """Runs `call` later; waits while `size` calls are not done."""
        self._calls.append(self._pool.submit(call))
        while len(self._calls) > self._size:
            self._calls.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            while self._calls and error is None:
                self._calls.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
