"""Figures of equal numbers are drawn once a test process: matplotlib takes most of the time of a small conversion.

The shares of most tests have the same boxes and pictures, so the reports of their data sets have the same figures. The
first one is drawn by the real code, and so is each whose numbers no figure had before. That equal numbers give equal text
is what tests/test_html_report.py holds, which draws by itself.
"""

import pickle
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

KeyOf = Callable[..., object]

# File of the data set's report, function (or class and method) that draws -> what it draws of its arguments
DRAWING: dict[tuple[str, str], KeyOf] = {
    ("report.page", "_size_section"): lambda found, classes: (found.widths, found.heights, found.aspects, [*classes]),
    ("report.page", "_heat_section"): lambda found: list(found.heat.items()),
    ("report.page", "_crowding_section"): lambda found: [
        (split, sorted(counts.items())) for split, counts in found.crowding.items()
    ],
    ("report.anchor_fit", "AnchorObserver._drawn"): lambda observer: (observer._grid, observer._anchors),
    ("report.picture_observer", "PictureObserver._light_section"): lambda observer: (
        list(observer._light.items()),
        sorted(observer._by_site.items()),
    ),
}
remembering: set[tuple[str, str]] = set()  # members of `DRAWING` whose module is loaded
_drawn: dict[bytes, Any] = {}
_modules = 0  # how many were loaded at the last look


def draw_once() -> None:
    """Makes `DRAWING` remember what it drew, in the modules loaded so far; it may be called before every test."""
    global _modules
    if len(remembering) == len(DRAWING) or len(sys.modules) == _modules:
        return
    _modules = len(sys.modules)
    loaded = {
        name.removeprefix("traffic_yolo.dataset."): name
        for name in sys.modules
        if name.startswith("traffic_yolo.dataset.")
    }
    for file, function in DRAWING.keys() - remembering:
        if file in loaded:
            owner: Any = sys.modules[loaded[file]]
            *classes, name = function.split(".")
            for each in classes:
                owner = getattr(owner, each)
            setattr(owner, name, _remembered(getattr(owner, name), function, DRAWING[file, function]))
            remembering.add((file, function))


def _remembered(draw: Callable[..., Any], name: str, key_of: KeyOf) -> Callable[..., Any]:
    @wraps(draw)
    def drawn(*arguments: Any) -> Any:
        key = pickle.dumps((name, key_of(*arguments)))
        if key not in _drawn:
            _drawn[key] = draw(*arguments)
        return _drawn[key]

    return drawn
