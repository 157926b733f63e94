"""Decides the split of every frame: one for all, named sites, an earlier data set, the source's own splits, or a rule.

No source is refused for having too few groups: a split may stay empty, and then a note says so and what to do.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from traffic_yolo.dataset.records import ALL, SPLITS, Frame, PictureKey
from traffic_yolo.dataset.splits.assignment import FixedGroups, assign_splits, hash_position, hashed_split
from traffic_yolo.dataset.splits.choice import SplitChoice
from traffic_yolo.dataset.splits.groups import LEVELS, Item, picture_of
from traffic_yolo.dataset.splits.pins import SplitPins
from traffic_yolo.errors import OptionsError

FEW_GROUPS = 10  # below, a hash alone rarely fills all splits, and what it filled may move
METHODS = ("hash", "balanced")


@dataclass(frozen=True)
class SplitRequest:
    """What the user asks for. `level` "auto" takes the coarsest that works; named sites go before everything else.

    `keep_own`: the source's own splits stand as they are, empty ones too, for the source is a data set of ours.
    """

    level: str = "auto"
    method: str = "hash"
    val_sites: Collection[str] = ()
    test_sites: Collection[str] = ()
    pins: SplitPins | None = None
    choice: SplitChoice = field(default_factory=SplitChoice)
    keep_own: bool = False


@dataclass(frozen=True)
class SplitPlan:
    """`split_of(frame)` names the frame's split; `rule` says how, `notes` what a reader of the report should know.

    `filled` are the splits that get a labelled picture. `group_of` names the group that must not be cut, "" where there
    is none.
    """

    rule: str
    split_of: Callable[[Frame], str]
    filled: frozenset[str]
    notes: list[str] = field(default_factory=list)
    group_of: Callable[[Frame], str] = lambda _: ""


# Picture names -> the name of a picture that stands for all that look like it
LookAlikes = Callable[[], Mapping[str, str]]


def plan_splits(
    keys: Sequence[PictureKey],
    request: SplitRequest,
    *,
    may_split_pictures: bool,
    look_alikes: LookAlikes = dict,
) -> SplitPlan:
    """The plan for a source with these labelled pictures.

    One split for all, where that was asked for. With level "auto", the first that fits: named or pinned groups; the
    source's own splits, where no site is in two of them and no shares were asked for; sites, where there are as many as
    splits to fill; recordings likewise; pictures, where the source allows it and tells no sites, those that look alike
    together (`look_alikes` is called only then, for it reads every picture); else what groups there are, and a note on
    the splits that stay empty. Raises `OptionsError` for an unknown site, kept splits that are against what is asked
    for, or a level that the source does not know.
    """
    if request.choice.whole:
        return _all_in_one(keys, request, request.choice.whole)
    if not keys:
        return _all_for_training(request)
    level = request.pins.level if request.pins is not None else request.level
    if request.pins is not None and request.level not in ("auto", level):
        raise OptionsError(f"the splits to keep are by {level}, not by {request.level}; leave split_level out")
    if level != "auto":
        return _by_picture(keys, request, "", look_alikes) if level == "picture" else _by_level(keys, request, level)
    if request.val_sites or request.test_sites:
        return _by_level(keys, request, "site")
    if not request.choice.is_asked and _own_splits_are_honest(keys, keep_own=request.keep_own):
        return _by_source(keys, keep_own=request.keep_own)
    return _by_coarsest(keys, request, may_split_pictures, look_alikes)


def _by_coarsest(
    keys: Sequence[PictureKey], request: SplitRequest, may_split_pictures: bool, look_alikes: LookAlikes
) -> SplitPlan:
    sites = {key.site for key in keys if key.site}
    recordings = {key.recording for key in keys}
    needed = len(request.choice.wanted)
    if len(sites) >= needed:
        return _by_level(keys, request, "site")
    why = f"only {len(sites)} site{'s' if len(sites) > 1 else ''} with labels" if sites else "no sites known"
    if len(recordings) >= needed:
        return _by_level(keys, request, "recording", why)
    if may_split_pictures and not sites:
        return _by_picture(keys, request, why, look_alikes)
    by_site = len(sites) == len(recordings) and all(key.site for key in keys)
    return _by_level(keys, request, "site" if by_site else "recording")


def _all_in_one(keys: Sequence[PictureKey], request: SplitRequest, split: str) -> SplitPlan:
    """Every picture in one split. Raises `OptionsError` where a group that is to be kept is in another."""
    asked = "splits none" if split == ALL else f"splits {split}"
    if request.pins is not None:
        if split == ALL:
            raise OptionsError(f"{asked} makes no splits, and keep_splits keeps some; leave one of them out")
        group_of = LEVELS[request.pins.level]
        elsewhere = {group_of(key) for key in keys if request.pins.splits.get(group_of(key), split) != split}
        if elsewhere:
            name = min(elsewhere)
            kept = f"{request.pins.level} {name}, which keep_splits has in {request.pins.splits[name]}"
            raise OptionsError(f"{asked} would move {kept}; leave one of them out")
    rule = "no splits" if split == ALL else f"all in {split}"
    return SplitPlan(rule, lambda _: split, frozenset({split}))


def _all_for_training(request: SplitRequest) -> SplitPlan:
    named = dict.fromkeys(request.val_sites, "val") | dict.fromkeys(request.test_sites, "test")
    note = "no human labels: val and test are empty, so nothing can be evaluated on this data set"
    filled = frozenset({"train"})
    return SplitPlan("no human labels: all for training", lambda frame: named.get(frame.site, "train"), filled, [note])


def _by_level(keys: Sequence[PictureKey], request: SplitRequest, level: str, why: str = "") -> SplitPlan:
    """Groups of one level. Sites that the user names are taken out first, whatever the level."""
    group_of = LEVELS[level]
    named = dict.fromkeys(request.val_sites, "val") | dict.fromkeys(request.test_sites, "test")
    check_named_sites(keys, named)
    groups = {group_of(key) for key in keys} - {""}
    if not groups or (level in ("camera", "day") and not any(getattr(key, level) for key in keys)):
        raise OptionsError(f"split by {level}: no labelled picture says its {level}; choose another split_level")
    fixed = _fixed_groups(keys, request, level, named)
    counts = _class_counts(keys, group_of) if request.method == "balanced" else None
    shares = request.choice.shares
    splits = assign_splits(groups, fixed=fixed, what=level, counts=counts, shares=shares)

    def split_of(frame: Frame) -> str:
        if frame.site in named:
            return named[frame.site]
        group = group_of(frame)
        if not group:
            return "train"
        # A group without human labels: where it would go once it has some, lest training sees a later test group
        pinned = fixed.pinned.get(group)
        return splits.get(group) or pinned or hashed_split(group, shares=shares, closed=fixed.closed)

    filled = frozenset(named.get(key.site) or splits.get(group_of(key), "train") for key in keys)
    notes = _empty_notes(request, filled, level, splits)
    notes += _level_notes(keys, request, level, why, len(groups)) if len(groups) > 1 else []
    rule = _rule(request, level, fixed)
    return SplitPlan(rule, split_of, filled, notes, lambda frame: _named_group(level, group_of(frame)))


def _empty_notes(request: SplitRequest, filled: Collection[str], level: str, splits: Mapping[str, str]) -> list[str]:
    """One line on the splits that were wanted and stay empty, and on what can be done; nothing where there are none."""
    empty = [split for split in request.choice.wanted if split not in filled]
    if not empty:
        return []
    placed = ", ".join(f"{name} in {split}" for name, split in list(splits.items())[:3])
    more = ", ..." if len(splits) > 3 else ""
    choose = "choose with splits (train, val, test, none, or shares such as 0.8/0.1/0.1), split_level or val_sites"
    return [
        f"{' and '.join(empty)} {'are' if len(empty) > 1 else 'is'} EMPTY: {len(splits)} labelled {level}"
        f"{'s' if len(splits) != 1 else ''} for {len(request.choice.wanted)} splits ({placed}{more}); {choose}"
    ]


def _fixed_groups(
    keys: Sequence[PictureKey], request: SplitRequest, level: str, named: Mapping[str, str]
) -> FixedGroups:
    group_of = LEVELS[level]
    of_site = {split: {group_of(key) for key in keys if named.get(key.site) == split} - {""} for split in SPLITS}
    pinned = dict(request.pins.splits) if request.pins is not None and request.pins.level == level else {}
    return FixedGroups(val=of_site["val"], test=of_site["test"], pinned=pinned)


def check_named_sites(keys: Iterable[PictureKey], named: Collection[str]) -> None:
    """Raises `OptionsError` for a named site that no labelled picture is of."""
    sites = {key.site for key in keys if key.site}
    unknown = sorted(set(named) - sites)
    if unknown:
        raise OptionsError(f"no site {unknown[0]!r} with labels; expected one of {', '.join(sorted(sites))}")


def _rule(request: SplitRequest, level: str, fixed: FixedGroups) -> str:
    how = "by hash" if request.method == "hash" else "balanced by class"
    if request.choice.is_asked:
        how += f", {'/'.join(f'{request.choice.shares[split]:g}' for split in SPLITS)}"
    before = [word for word, there in (("named", fixed.val or fixed.test), ("kept", fixed.pinned)) if there]
    if fixed.val and fixed.test and level == "site":
        return "sites named"
    return f"{level}s {' and '.join(before)}, the rest {how}" if before else f"{level}s {how}"


def _level_notes(keys: Sequence[PictureKey], request: SplitRequest, level: str, why: str, num_groups: int) -> list[str]:
    notes = []
    everything_named = bool(request.val_sites and request.test_sites)
    if why:
        notes.append(f"{why}: split by {level}; {level}s of one camera look alike, so the test result flatters")
    elif level in ("day", "recording") and not everything_named:
        notes.append(f"split by {level}: a camera is in several splits, so the test result flatters")
    keep = "name sites, or keep this data set's splits.yaml (keep_splits)"
    if num_groups < FEW_GROUPS and request.pins is None and not everything_named:
        who = "a hash" if request.method == "hash" else "the balance of classes"
        notes.append(f"only {num_groups} {level}s: {who} chose the splits; {keep}, or more data may move a {level}")
    elif request.method == "balanced" and request.pins is None:
        notes.append(f"splits are balanced by class: {keep}, or more data may move a {level}")
    without = sum(not LEVELS[level](key) for key in keys)
    if without:
        notes.append(f"{without} pictures without a {level} are in the train split")
    return notes


def _by_picture(keys: Sequence[PictureKey], request: SplitRequest, why: str, look_alikes: LookAlikes) -> SplitPlan:
    alike = look_alikes()
    representative = {picture_of(key): alike.get(picture_of(key), picture_of(key)) for key in keys}
    groups = set(representative.values())
    what = "picture that looks like no other"
    pinned = FixedGroups(pinned=request.pins.splits if request.pins else {})
    splits = assign_splits(groups, what=what, fixed=pinned, shares=request.choice.shares)
    note = f"{why or 'as asked'}: split by picture; pictures of one camera look alike, so the test result flatters"
    filled = frozenset(splits.values())
    notes = [*_empty_notes(request, filled, what, splits), note]
    if len(groups) < len(representative):
        notes.append(f"{len(representative)} pictures fall into {len(groups)} groups that look alike, which stay whole")
    return SplitPlan(
        "pictures by hash, look-alikes together",
        lambda frame: splits.get(representative.get(picture_of(frame), ""), "train"),
        filled,
        notes,
    )


def _class_counts(keys: Iterable[PictureKey], group_of: Callable[[Item], str]) -> dict[str, Counter[str]]:
    """Boxes by group and class, pictures among them as a class of their own: empty ones are to be shared out too."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for key in keys:
        counts[group_of(key)].update(key.boxes)
        counts[group_of(key)]["\0pictures"] += 1
    return counts


def _named_group(level: str, group: str) -> str:
    return f"{level} {group}" if group else ""


def _own_splits_are_honest(keys: Sequence[PictureKey], *, keep_own: bool) -> bool:
    """Whether the source's own splits are to be taken: each picture has one, and no site is in two of them.

    A source that knows no split but train leaves the choice to us, unless it is a data set of ours.
    """
    own = {key.own_split for key in keys}
    if "" in own or (own == {"train"} and not keep_own):
        return False
    splits_of_site = defaultdict(set)
    for key in keys:
        if key.site:
            splits_of_site[key.site].add(key.own_split)
    return all(len(splits) == 1 for splits in splits_of_site.values())


def _by_source(keys: Sequence[PictureKey], *, keep_own: bool) -> SplitPlan:
    own = {picture_of(key): key.own_split for key in keys}
    filled = frozenset(own.values())

    def group_of(frame: Frame) -> str:
        return _named_group("site", frame.site)

    def own_split(frame: Frame) -> str:
        return own.get(picture_of(frame), "train")

    missing = [split for split in SPLITS if split not in filled]
    held_out = [key for key in keys if key.own_split != "train"]
    # Halved is the one split that a source holds out of its training; one that only judges is left as it is
    groups = _halves(held_out) if len(missing) == 1 and "train" in filled and not keep_own else None
    if groups is None:
        lacking = " and ".join(missing)
        is_empty = f"{lacking} {'are' if len(missing) > 1 else 'is'} EMPTY: the source's own splits are kept"
        choose = "choose with splits (train, val, test, none, or shares such as 0.8/0.1/0.1)"
        notes = [f"{is_empty}; {choose}"] if missing else []
        return SplitPlan("the source's own", own_split, filled, notes, group_of)
    halved, lacking = held_out[0].own_split, missing[0]
    level, moved = groups

    def split_of(frame: Frame) -> str:
        split = own_split(frame)
        return lacking if split == halved and LEVELS[level](frame) in moved else split

    note = f"the source has no {lacking} split: half of its {halved} {level}s, by hash, are the {lacking} split"
    return SplitPlan(f"the source's own, {halved} halved by hash", split_of, frozenset(SPLITS), [note], group_of)


def _halves(keys: Sequence[PictureKey]) -> tuple[str, Collection[str]] | None:
    """(level, groups that move) to make two splits of one, at least one group each; None where it is one group."""
    level = _coarsest_level(keys)
    groups = sorted({LEVELS[level](key) for key in keys}, key=hash_position)
    if len(groups) < 2:
        return None
    return level, {group for group in groups[:-1] if hash_position(group) < 0.5} or {groups[0]}


def _coarsest_level(keys: Sequence[PictureKey]) -> str:
    """What to halve a split by: sites where there are two, else recordings, else pictures that are no scans."""
    if len({key.site for key in keys}) > 1 and all(key.site for key in keys):
        return "site"
    is_sequence = any(key.scan.startswith("SCAN_") for key in keys)
    return "recording" if is_sequence or len({key.recording for key in keys}) > 1 else "picture"
