"""Which group of pictures goes into which split, so that no group is cut and new data never moves an old group.

By hash: the name alone decides, so nothing that is added can move a group. A hash knows nothing of classes, and with a
handful of groups it may leave a split empty; then the group whose hash is nearest goes there. No rule that fills every
split of every set of groups can be stable by itself: were each group's split fixed whatever else there is, three groups
of one split would leave the others empty. So a rule that looks at the other groups, to fill a split or to balance
classes, needs a memory: the splits of the groups that were placed before (`pinned`, a data set's `splits.yaml`), which
it keeps.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from traffic_yolo.dataset.records import SPLITS
from traffic_yolo.errors import OptionsError

VAL_FRACTION = 0.2
TEST_FRACTION = 0.2
BALANCE_ROUNDS = 10
FRACTIONS = {"train": 1 - VAL_FRACTION - TEST_FRACTION, "val": VAL_FRACTION, "test": TEST_FRACTION}


@dataclass(frozen=True)
class FixedGroups:
    """Groups whose split is not to be chosen: `named` by the user for val or test, `pinned` by an earlier data set."""

    val: Collection[str] = ()
    test: Collection[str] = ()
    pinned: Mapping[str, str] = field(default_factory=dict)

    def of(self, groups: Collection[str]) -> dict[str, str]:
        """Group -> split for those among `groups`; what the user names counts before what is pinned."""
        named = dict.fromkeys(self.val, "val") | dict.fromkeys(self.test, "test")
        return {name: split for name, split in {**self.pinned, **named}.items() if name in groups}

    @property
    def val_fraction(self) -> float:
        """The share of the other groups that go to the validation split: none where the user named its groups."""
        return 0 if self.val else VAL_FRACTION

    @property
    def test_fraction(self) -> float:
        """As `val_fraction`, of the test split."""
        return 0 if self.test else TEST_FRACTION


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
    fixed: FixedGroups = FixedGroups(),
    what: str = "site",
    counts: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, str]:
    """Group -> split, in the order of the names.

    Fixed groups go where they are fixed. Of the rest, a hash decides, or, with `counts` (group -> class -> boxes), what
    brings each class's share of boxes nearest to 60 : 20 : 20. Every split gets at least one group. `what` says in
    messages what the groups are. Raises `OptionsError` for a named group that is none, or fewer than three groups.
    """
    names = sorted(set(groups))
    unknown = sorted((set(fixed.val) | set(fixed.test)) - set(names))
    if unknown:
        raise OptionsError(f"no {what} {unknown[0]!r} with labels; expected one of {', '.join(names)}")
    if len(names) < len(SPLITS):
        found = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise OptionsError(f"train, val and test need a labelled {what} each; found {found}; label more {what}s")
    splits = fixed.of(names)
    free = sorted((name for name in names if name not in splits), key=hash_position)
    if counts is None:
        fractions = {"val_fraction": fixed.val_fraction, "test_fraction": fixed.test_fraction}
        splits |= {name: hashed_split(name, **fractions) for name in free}
    else:
        _balance(splits, free, counts, fixed)
    _fill_empty_splits(splits, free)
    return {name: splits[name] for name in names}


def _balance(
    splits: dict[str, str], free: Sequence[str], counts: Mapping[str, Mapping[str, int]], fixed: FixedGroups
) -> None:
    """Places the groups of `free` where the shares of all classes come nearest to what is wanted; in place.

    The largest first, each where it lowers the squared distance most; then single groups move while that lowers it.
    Rare classes weigh as much as frequent ones.
    """
    wanted = dict(FRACTIONS)
    for split, named in (("val", fixed.val), ("test", fixed.test)):
        if named:  # the user's choice: nothing is added to it
            wanted["train"] += wanted.pop(split)
    totals: Counter[str] = Counter()
    for name in [*splits, *free]:
        totals.update(counts.get(name, {}))
    shares = {
        name: {c: count / totals[c] for c, count in counts.get(name, {}).items() if count} for name in [*splits, *free]
    }
    have: dict[str, dict[str, float]] = {split: dict.fromkeys(totals, 0.0) for split in SPLITS}
    for name, split in splits.items():
        _add(have[split], shares[name], 1)

    def best(name: str) -> str:
        def change(split: str) -> float:
            before = {c: have[split][c] - wanted[split] for c in shares[name]}
            return sum(((before[c] + own) ** 2 - before[c] ** 2) / wanted[split] for c, own in shares[name].items())

        return min(wanted, key=change)

    order = sorted(free, key=lambda name: (-sum(shares[name].values()), hash_position(name)))
    for _ in range(BALANCE_ROUNDS):
        moved = False
        for name in order:
            if name in splits:
                _add(have[splits[name]], shares[name], -1)
            chosen = best(name)
            moved |= splits.get(name) != chosen
            splits[name] = chosen
            _add(have[chosen], shares[name], 1)
        if not moved:
            break


def _add(have: dict[str, float], shares: Mapping[str, float], sign: int) -> None:
    for class_name, share in shares.items():
        have[class_name] += sign * share


def _fill_empty_splits(splits: dict[str, str], free: Sequence[str]) -> None:
    """Moves one free group into each empty split, in place; `free` is in the order of the hash."""
    for wanted, order in (("train", free[::-1]), ("test", free), ("val", free)):
        if wanted in splits.values():
            continue
        counts: Mapping[str, int] = {split: list(splits.values()).count(split) for split in SPLITS}
        taken = next((name for name in order if counts[splits[name]] > 1), None)
        if taken is None:
            raise OptionsError(f"nothing is left for the {wanted} split; name fewer sites in val_sites and test_sites")
        splits[taken] = wanted
