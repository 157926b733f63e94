"""Go's regular expressions, by RE2 itself: no look-around, no back-references, at most 1,000 repetitions."""

from functools import lru_cache
from typing import Any

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # a wrong expression is the user's, and is reported as a finding


@lru_cache(maxsize=256)
def compile_go(pattern: str) -> Any:
    """The compiled expression; `ValueError` with RE2's own words for one that Go does not take."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0] if error.args else "not an expression"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error
