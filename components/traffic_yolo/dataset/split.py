"""Which group of pictures goes into which split, so that no group is cut and new data never moves an old group.

A hash of the group's name decides. Where that leaves a split empty, as it may with a handful of groups, the group whose
hash is nearest goes there; such a group may move when groups are added, so name the sites while you have few.
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


def hashed_split(name: str, *, val_fraction: float = VAL_FRACTION, test_fraction: float = TEST_FRACTION) -> str:
    """The split that the hash of a group's name chooses; a fraction of 0 keeps every group out of that split."""
    position = hash_position(name)
    if position < test_fraction:
        return "test"
    # Counted from the constant: a test split that is named must not shift the validation split
    return "val" if TEST_FRACTION <= position < TEST_FRACTION + val_fraction else "train"


def assign_splits(
    groups: Collection[str],
    *,
    val_groups: Collection[str] = (),
    test_groups: Collection[str] = (),
    what: str = "site",
) -> dict[str, str]:
    """Group -> split.

    Named groups go where they are named; where none is named for a split, a hash chooses among the rest. Every split
    gets at least one group. `what` says in messages what the groups are. Raises `OptionsError` for a name that is no
    group, or fewer than three groups.
    """
    names = sorted(set(groups))
    unknown = sorted((set(val_groups) | set(test_groups)) - set(names))
    if unknown:
        raise OptionsError(f"no {what} {unknown[0]!r} with labels; expected one of {', '.join(names)}")
    if len(names) < len(SPLITS):
        found = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise OptionsError(f"train, val and test need a labelled {what} each; found {found}; label more {what}s")
    fixed = dict.fromkeys(val_groups, "val") | dict.fromkeys(test_groups, "test")
    free = sorted((name for name in names if name not in fixed), key=hash_position)
    val_fraction, test_fraction = 0 if val_groups else VAL_FRACTION, 0 if test_groups else TEST_FRACTION
    splits = fixed | {name: hashed_split(name, val_fraction=val_fraction, test_fraction=test_fraction) for name in free}
    _fill_empty_splits(splits, free)
    return {name: splits[name] for name in names}


def _fill_empty_splits(splits: dict[str, str], free: list[str]) -> None:
    """Moves one free group into each empty split, in place; `free` is in the order of the hash."""
    for wanted, order in (("train", free[::-1]), ("test", free), ("val", free)):
        if wanted in splits.values():
            continue
        counts: Mapping[str, int] = {split: list(splits.values()).count(split) for split in SPLITS}
        taken = next((name for name in order if counts[splits[name]] > 1), None)
        if taken is None:
            raise OptionsError(f"nothing is left for the {wanted} split; name fewer sites in val_sites and test_sites")
        splits[taken] = wanted
