"""Classes that somebody wrote in two ways: a model would learn them as two."""

import re
from collections.abc import Collection, Iterator

from traffic_yolo.messages import shown


def alike_classes(classes: Collection[str]) -> Iterator[str]:
    """A message for each class whose name differs from an earlier one in case, blanks, hyphens or underscores alone."""
    first: dict[str, str] = {}
    for name in classes:
        before = first.setdefault(re.sub(r"[\s_-]+", "", name).casefold(), name)
        if before != name:
            yield f"expected one spelling of a class, found {shown(before)} and {shown(name)}; they are two: rename one"
