"""Which group of pictures goes into which split, so that no group is cut and new data never moves an old group.

A hash of the group's name decides. Where that leaves the validation or test split empty, as it may with a handful of
groups, the group whose hash is nearest goes there, and the report says so: name the sites when you have few.
"""

import hashlib
from collections.abc import Collection, Mapping

from traffic_yolo.dataset.records import SPLITS
from traffic_yolo.errors import OptionsError

VAL_FRACTION = 0.2
TEST_FRACTION = 0.2


def hash_position(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def assign_splits(
    groups: Collection[str],
    *,
    val_groups: Collection[str] = (),
    test_groups: Collection[str] = (),
    val_fraction: float = VAL_FRACTION,
    test_fraction: float = TEST_FRACTION,
) -> dict[str, str]:
    """Group -> split.

    Named groups go where they are named; where none is named for a split, a hash chooses among the rest. Every split
    gets at least one group. Raises `OptionsError` for a name that is no group, or fewer than three groups.
    """
    names = sorted(set(groups))
    unknown = sorted((set(val_groups) | set(test_groups)) - set(names))
    if unknown:
        raise OptionsError(f"no site {unknown[0]!r} with labels; the sites are {', '.join(names)}")
    if len(names) < len(SPLITS):
        raise OptionsError(
            f"train, val and test need a site or recording each; found {len(names)}: {', '.join(names)}; add recordings"
        )
    fixed = dict.fromkeys(val_groups, "val") | dict.fromkeys(test_groups, "test")
    free = sorted((name for name in names if name not in fixed), key=hash_position)
    splits = dict(fixed)
    for name in free:
        position = hash_position(name)
        if not test_groups and position < test_fraction:
            splits[name] = "test"
        elif not val_groups and test_fraction <= position < test_fraction + val_fraction:
            splits[name] = "val"
        else:
            splits[name] = "train"
    _fill_empty_splits(splits, free)
    return {name: splits[name] for name in names}


def _fill_empty_splits(splits: dict[str, str], free: list[str]) -> None:
    """Moves one free group into each empty split, in place; `free` is in the order of the hash."""
    for wanted, order in (("test", free), ("val", free), ("train", free[::-1])):
        if wanted in splits.values():
            continue
        counts: Mapping[str, int] = {split: list(splits.values()).count(split) for split in SPLITS}
        taken = next((name for name in order if counts[splits[name]] > 1), None)
        if taken is None:
            raise OptionsError(f"the {wanted} split would be empty: name fewer sites in val_sites and test_sites")
        splits[taken] = wanted
