"""The pipelines of this package, by name: each file `<name>_pipeline.py` holds the function `<name>_pipeline`."""

import difflib
import importlib
from pathlib import Path
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

_ENDING = "_pipeline"


def pipeline_names() -> tuple[str, ...]:
    """The names, in their order."""
    return tuple(sorted(path.stem.removesuffix(_ENDING) for path in Path(__file__).parent.glob(f"*{_ENDING}.py")))


def pipeline_named(name: str) -> Any:
    """The pipeline of a name; `OptionsError` for one that is none, with the nearest."""
    known = pipeline_names()
    if name not in known:
        near = difflib.get_close_matches(name[:80], known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise OptionsError(f"{shown(name)} is no pipeline; {advice}")
    return getattr(importlib.import_module(f"{__package__}.{name}{_ENDING}"), f"{name}{_ENDING}")
