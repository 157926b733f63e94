"""Data sets: neutral records, label formats, splits, manifest and report."""

from typing import Any

from traffic_yolo.dataset.store import remaking


def _converted_again(recipe: Any, store: Any, *, expected: str) -> None:
    from traffic_yolo.dataset.convert import repeat_conversion  # slow to load, and seldom needed

    repeat_conversion(recipe, store, expected=expected)


remaking.made_by(_converted_again)
