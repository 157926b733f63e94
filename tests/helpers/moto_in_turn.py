"""Moto's server, but conditional requests one at a time: it looks and writes in two steps, where real servers take one.

Run as a program, with the arguments of `python -m moto.server`.
"""

import threading
from typing import Any

from moto import server

CONDITIONS = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}


class InTurn(server.DomainDispatcherApplication):
    """The application that `moto.server` serves from a thread for each request."""

    _turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if CONDITIONS.isdisjoint(environ):
            return super().__call__(environ, start_response)
        with self._turn:
            return super().__call__(environ, start_response)


if __name__ == "__main__":
    server.DomainDispatcherApplication = InTurn  # type: ignore[misc]
    server.main()
