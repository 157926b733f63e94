"""What makes a data set again: the options of its conversion, and what tells the content that it was made of."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import DatasetError, OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import changed


@dataclass(frozen=True)
class Recipe:
    """A conversion that can be repeated on another machine.

    `options`: every relative path in them made absolute. `content`: text of the share's `ShareContent`, "" where the
    conversion took what it found; `elsewhere`: whether pictures may lie where that does not tell of them; `cache`: the
    hashes that spare reading it all. `snapshot`: location of the listing that it kept to instead. `files`: what
    `named_files` said.
    """

    options: ConvertOptions
    content: str = ""
    elsewhere: bool = False
    cache: str = ""
    snapshot: str = ""
    files: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON values, of the options those that are not at their defaults."""
        rest = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "options"}
        return {"options": changed(self.options), **rest}

    @classmethod
    def of_dict(cls, values: Any, *, where: str) -> "Recipe":
        """What `as_dict` gave; `DatasetError`, beginning with `where`, for anything else."""
        try:
            rest = {name: value for name, value in dict(values).items() if name != "options"}
            made = cls(ConvertOptions(**values["options"]), **rest)
        except (KeyError, TypeError, ValueError, OptionsError) as error:
            raise DatasetError(f"{where}: not a conversion of this version ({error}); run convert anew") from error
        for field in dataclasses.fields(cls):
            kind = {"options": ConvertOptions, "elsewhere": bool}.get(field.name, str)
            if not isinstance(getattr(made, field.name), kind):
                found = shown(getattr(made, field.name))
                raise DatasetError(f"{where}: {field.name}: expected {kind.__name__}, found {found}; run convert anew")
        return made


def absolute(options: ConvertOptions) -> ConvertOptions:
    """The options with each relative path made absolute, as this process means it."""
    changes: Mapping[str, Any] = {
        field.name: absolute_location(value)
        for field in dataclasses.fields(options)
        if field.metadata.get("location") and (value := getattr(options, field.name))
    }
    return dataclasses.replace(options, **changes)


def absolute_location(location: str) -> str:
    """A location whose relative path is made absolute; a name of a layout, or text in braces, stays as it is."""
    from traffic_yolo.atm.layouts import builtin_layouts  # which readers of data sets have no use for

    if not location or "://" in location or location.lstrip().startswith("{") or location in builtin_layouts():
        return location
    return str(Path(location).resolve())
