"""The one definition of an option: a field of a frozen dataclass, with all that the doors to a step need to know of it.

The command line makes flags of the fields, the KFP components and pipelines make parameters, Katib's trials take them
as arguments; none of them states a default, a word or a range again.
"""

import dataclasses
from typing import Any, Literal

LocationUse = Literal["", "read", "write"]


def option(
    default: Any,
    help_text: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    headline: bool = False,
    location: LocationUse = "",
    alias: str = "",
) -> Any:
    """A field of an options dataclass; its annotation is bool, int, float, str, or one of them `| None`.

    `default`: None means that the option is left to the cfg or the recipe, never -1 or 0; `dataclasses.MISSING` makes
    it required. `choices`: the allowed words. `least` and `most`: the closed range of a number. `headline`: a parameter
    of its own in the forms of Kubeflow; the others are reached there through the step's `settings`. `location`: a path,
    nas:// or s3:// that is read or written. `alias`: a second flag of the same meaning, such as "--format".
    """
    metadata: dict[str, Any] = {"help": help_text}
    metadata |= {"choices": choices} if choices else {}
    metadata |= {"least": least} if least is not None else {}
    metadata |= {"most": most} if most is not None else {}
    metadata |= {"headline": True} if headline else {}
    metadata |= {"location": location} if location else {}
    metadata |= {"alias": alias} if alias else {}
    return dataclasses.field(default=default, metadata=metadata)
