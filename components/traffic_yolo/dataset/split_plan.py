"""Decides the split of every frame: named sites, an earlier data set, the source's own splits, or a rule."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from traffic_yolo.dataset.records import SPLITS, Frame, PictureKey
from traffic_yolo.dataset.split import FixedGroups, assign_splits, hash_position, hashed_split
from traffic_yolo.dataset.split_groups import LEVELS, Item, picture_of
from traffic_yolo.dataset.split_pins import SplitPins
from traffic_yolo.errors import OptionsError

FEW_GROUPS = 10  # below, a hash alone rarely fills all splits, and what it filled may move
METHODS = ("hash", "balanced")


@dataclass(frozen=True)
class SplitRequest:
    """What the user asks for. `level` "auto" takes the coarsest that works; named sites go before everything else."""

    level: str = "auto"
    method: str = "hash"
    val_sites: Collection[str] = ()
    test_sites: Collection[str] = ()
    pins: SplitPins | None = None


@dataclass(frozen=True)
class SplitPlan:
    """`split_of(frame)` names the frame's split; `rule` says how, `notes` what a reader of the report should know.

    `group_of` names the group that must not be cut, "" where there is none.
    """

    rule: str
    split_of: Callable[[Frame], str]
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

    With level "auto", the first that fits: named or pinned groups; the source's own splits, where no site is in two of
    them; sites, where there are three or more; recordings, where there are three or more; pictures, where the source
    allows it, those that look alike together (`look_alikes` is called only then, for it reads every picture). Raises
    `OptionsError` for an unknown site, too few groups, or a level that the source does not know.
    """
    sites = {key.site for key in keys if key.site}
    recordings = {key.recording for key in keys}
    if not keys:
        return _all_for_training(request)
    level = request.pins.level if request.pins is not None else request.level
    if request.pins is not None and request.level not in ("auto", level):
        raise OptionsError(f"the splits to keep are by {level}, not by {request.level}; leave split_level out")
    if level != "auto":
        return _by_picture(keys, request, "", look_alikes) if level == "picture" else _by_level(keys, request, level)
    if request.val_sites or request.test_sites:
        return _by_level(keys, request, "site")
    if _own_splits_are_honest(keys):
        return _by_source(keys)
    if len(sites) >= len(SPLITS):
        return _by_level(keys, request, "site")
    why = f"only {len(sites)} site{'s' if len(sites) > 1 else ''} with labels" if sites else "no sites known"
    if len(recordings) >= len(SPLITS) or not may_split_pictures:
        try:
            return _by_level(keys, request, "recording", why)
        except OptionsError as error:
            raise OptionsError(f"{why}, and {error}, or add sites") from error
    return _by_picture(keys, request, why, look_alikes)


def _all_for_training(request: SplitRequest) -> SplitPlan:
    named = dict.fromkeys(request.val_sites, "val") | dict.fromkeys(request.test_sites, "test")
    note = "no human labels: val and test are empty, so nothing can be evaluated on this data set"
    return SplitPlan("no human labels: all for training", lambda frame: named.get(frame.site, "train"), [note])


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
    splits = assign_splits(groups, fixed=fixed, what=level, counts=counts)

    def split_of(frame: Frame) -> str:
        if frame.site in named:
            return named[frame.site]
        group = group_of(frame)
        if not group:
            return "train"
        # A group without human labels: where it would go once it has some, lest training sees a later test group
        pinned = fixed.pinned.get(group)
        hashed = hashed_split(group, val_fraction=fixed.val_fraction, test_fraction=fixed.test_fraction)
        return splits.get(group) or pinned or hashed

    notes = _level_notes(keys, request, level, why, len(groups))
    return SplitPlan(_rule(request, level, fixed), split_of, notes, lambda frame: _named_group(level, group_of(frame)))


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
    splits = assign_splits(groups, what=what, fixed=FixedGroups(pinned=request.pins.splits if request.pins else {}))
    note = f"{why or 'as asked'}: split by picture; pictures of one camera look alike, so the test result flatters"
    notes = [note]
    if len(groups) < len(representative):
        notes.append(f"{len(representative)} pictures fall into {len(groups)} groups that look alike, which stay whole")
    return SplitPlan(
        "pictures by hash, look-alikes together",
        lambda frame: splits.get(representative.get(picture_of(frame), ""), "train"),
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


def _own_splits_are_honest(keys: Sequence[PictureKey]) -> bool:
    own = {key.own_split for key in keys}
    if "" in own or not own > {"train"}:
        return False
    splits_of_site = defaultdict(set)
    for key in keys:
        if key.site:
            splits_of_site[key.site].add(key.own_split)
    return all(len(splits) == 1 for splits in splits_of_site.values())


def _by_source(keys: Sequence[PictureKey]) -> SplitPlan:
    own = {picture_of(key): key.own_split for key in keys}

    def group_of(frame: Frame) -> str:
        return _named_group("site", frame.site)

    missing = set(SPLITS) - set(own.values())
    if not missing:
        return SplitPlan("the source's own", lambda frame: own.get(picture_of(frame), "train"), group_of=group_of)
    halved, lacking = ("val", "test") if "test" in missing else ("test", "val")
    held_out = [key for key in keys if key.own_split == halved]
    level = _coarsest_level(held_out)
    groups = sorted({LEVELS[level](key) for key in held_out}, key=hash_position)
    if len(groups) < 2:
        raise OptionsError(f"the source has no {lacking} split, and its {halved} split has one picture; add pictures")
    # At least one group each, whatever the hash says
    moved = {group for group in groups[:-1] if hash_position(group) < 0.5} or {groups[0]}

    def split_of(frame: Frame) -> str:
        split = own.get(picture_of(frame), "train")
        return lacking if split == halved and LEVELS[level](frame) in moved else split

    note = f"the source has no {lacking} split: half of its {halved} {level}s, by hash, are the {lacking} split"
    return SplitPlan(f"the source's own, {halved} halved by hash", split_of, [note], group_of)


def _coarsest_level(keys: Sequence[PictureKey]) -> str:
    """What to halve a split by: sites where there are two, else recordings, else pictures."""
    if len({key.site for key in keys}) > 1 and all(key.site for key in keys):
        return "site"
    return "recording" if len({key.recording for key in keys}) > 1 else "picture"
