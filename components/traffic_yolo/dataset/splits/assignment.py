"""Which group of pictures goes into which split, so that no group is cut and new data never moves an old group.

By hash: the name alone decides, so nothing that is added can move a group. A hash knows nothing of classes, and with a
handful of groups it may leave a split empty; then the group whose hash is nearest goes there. No rule that fills every
split of every set of groups can be stable by itself: were each group's split fixed whatever else there is, three groups
of one split would leave the others empty. So a rule that looks at the other groups, to fill a split or to balance
classes, needs a memory: the splits of the groups that were placed before (`pinned`, a data set's `splits.yaml`), which
it keeps. Where there are fewer groups than splits, training comes first and validation second, for nothing can be
trained without both; the others stay empty, and whoever asked says so.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from traffic_yolo.dataset.records import SPLITS
from traffic_yolo.dataset.splits.choice import DEFAULT_SHARES
from traffic_yolo.errors import OptionsError

BALANCE_ROUNDS = 10


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
    def closed(self) -> tuple[str, ...]:
        """The splits whose groups the user named: his choice, to which nothing is added."""
        return tuple(split for split, named in (("val", self.val), ("test", self.test)) if named)


def hash_position(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def hashed_split(name: str, *, shares: Mapping[str, float] = DEFAULT_SHARES, closed: Collection[str] = ()) -> str:
    """The split that the hash of a group's name chooses: from 0 up the share of test, then of val, then of train.

    What would fall into a split that is `closed` goes to training, or where training has no share, to the other one:
    the borders stay where they are, so that naming the groups of one split does not shift another.
    """
    position = hash_position(name)
    chosen, border = "", 0.0
    for split in reversed(SPLITS):
        border += shares[split]
        if shares[split]:
            chosen = split  # the last one with a share takes what rounding leaves above the sum
            if position < border:
                break
    if chosen not in closed:
        return chosen
    return next((split for split in SPLITS if shares[split] and split not in closed), "train")


def assign_splits(
    groups: Collection[str],
    *,
    fixed: FixedGroups = FixedGroups(),
    what: str = "site",
    counts: Mapping[str, Mapping[str, int]] | None = None,
    shares: Mapping[str, float] = DEFAULT_SHARES,
) -> dict[str, str]:
    """Group -> split, in the order of the names.

    Fixed groups go where they are fixed. Of the rest, a hash decides, or, with `counts` (group -> class -> boxes), what
    brings each class's share of boxes nearest to `shares` (split -> share, 1 in all). Every split with a share gets at
    least one group as long as there are groups that nobody fixed; see above for fewer groups than splits. `what` says
    in messages what the groups are. Raises `OptionsError` for a named group that is none.
    """
    names = sorted(set(groups))
    unknown = sorted((set(fixed.val) | set(fixed.test)) - set(names))
    if unknown:
        raise OptionsError(f"no {what} {unknown[0]!r} with labels; expected one of {', '.join(names)}")
    splits = fixed.of(names)
    free = sorted((name for name in names if name not in splits), key=hash_position)
    wanted = [split for split in SPLITS if shares[split]]
    if len(names) < len(wanted):
        _place_few(splits, free, wanted, fixed.closed)
    elif counts is None:
        splits |= {name: hashed_split(name, shares=shares, closed=fixed.closed) for name in free}
    else:
        _balance(splits, free, counts, _open_shares(shares, fixed.closed))
    _fill_empty_splits(splits, free, wanted)
    return {name: splits[name] for name in names}


def _place_few(splits: dict[str, str], free: Sequence[str], wanted: Sequence[str], closed: Collection[str]) -> None:
    """Each group of `free` (in the order of the hash) into the first of the `wanted` splits that is empty; in place."""
    for name in reversed(free):
        empty = [split for split in wanted if split not in splits.values() and split not in closed]
        splits[name] = empty[0] if empty else wanted[0]


def _open_shares(shares: Mapping[str, float], closed: Collection[str]) -> dict[str, float]:
    """The shares of the splits that groups may be added to; training takes those of the closed ones."""
    opened = {split: share for split, share in shares.items() if share and split not in closed}
    rest = 1 - sum(opened.values())
    if rest > 0:
        heir = next(iter(opened), "train")
        opened[heir] = opened.get(heir, 0.0) + rest
    return opened


def _balance(
    splits: dict[str, str],
    free: Sequence[str],
    counts: Mapping[str, Mapping[str, int]],
    wanted: Mapping[str, float],
) -> None:
    """Places the groups of `free` where the shares of all classes come nearest to what is `wanted`; in place.

    The largest first, each where it lowers the squared distance most; then single groups move while that lowers it.
    Rare classes weigh as much as frequent ones.
    """
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


def _fill_empty_splits(splits: dict[str, str], free: Sequence[str], wanted: Collection[str]) -> None:
    """Moves one of the `free` groups (in the order of the hash) into each `wanted` split that is empty; in place.

    A split stays empty where the others can spare no free group; of val and test that is test, for training needs val.
    """
    moved: dict[str, str] = {}
    for split, order in (("train", free[::-1]), ("test", free), ("val", free)):
        if split not in wanted or split in splits.values():
            continue
        counts = Counter(splits.values())
        taken = next((name for name in order if counts[splits[name]] > 1), None)
        if taken is not None:
            splits[taken] = split
            moved[split] = taken
    if "test" in moved and "val" in wanted and "val" not in splits.values():
        splits[moved["test"]] = "val"
