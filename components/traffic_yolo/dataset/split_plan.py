"""Decides the split of every frame of a source: named sites, the source's own splits, or a hash of the group."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from traffic_yolo.dataset.records import SPLITS, Frame, PictureKey
from traffic_yolo.dataset.split import TEST_FRACTION, VAL_FRACTION, assign_splits, hash_position, hashed_split
from traffic_yolo.errors import OptionsError

FEW_SITES = 10  # below, a hash alone rarely fills all splits, and what it filled may move


@dataclass(frozen=True)
class SplitPlan:
    """`split_of(frame)` names the frame's split; `rule` says how, `notes` what a reader of the report should know."""

    rule: str
    split_of: Callable[[Frame], str]
    notes: list[str] = field(default_factory=list)


def plan_splits(
    keys: Sequence[PictureKey],
    *,
    may_split_pictures: bool,
    val_sites: Collection[str] = (),
    test_sites: Collection[str] = (),
) -> SplitPlan:
    """The plan for a source with these labelled pictures.

    The first that fits: named sites; the source's own splits, where no site is in two of them; a hash of the site, with
    three sites or more; a hash of the recording, with three or more; a hash of each picture, where the source allows
    it. Raises `OptionsError` for an unknown site, or too few recordings.
    """
    sites = {key.site for key in keys if key.site}
    recordings = {key.recording for key in keys}
    if not keys:
        return _all_for_training(val_sites, test_sites)
    if val_sites or test_sites:
        return _by_site(keys, sites, val_sites, test_sites)
    if _own_splits_are_honest(keys):
        return _by_source(keys)
    if len(sites) >= len(SPLITS):
        return _by_site(keys, sites, (), ())
    why = f"only {len(sites)} site{'s' if len(sites) > 1 else ''} with labels" if sites else "no sites known"
    if len(recordings) >= len(SPLITS) or not may_split_pictures:
        return _by_recording(recordings, why)
    return _by_picture(keys, why)


def _all_for_training(val_sites: Collection[str], test_sites: Collection[str]) -> SplitPlan:
    named = dict.fromkeys(val_sites, "val") | dict.fromkeys(test_sites, "test")
    note = "no human labels: val and test are empty, so nothing can be evaluated on this data set"
    return SplitPlan("no human labels: all for training", lambda frame: named.get(frame.site, "train"), [note])


def _by_site(
    keys: Sequence[PictureKey], sites: set[str], val_sites: Collection[str], test_sites: Collection[str]
) -> SplitPlan:
    splits = assign_splits(sites, val_groups=val_sites, test_groups=test_sites)
    val_fraction, test_fraction = 0 if val_sites else VAL_FRACTION, 0 if test_sites else TEST_FRACTION
    if val_sites and test_sites:
        rule = "sites named"
    else:
        rule = "sites named, the rest by hash" if val_sites or test_sites else "sites by hash"
    notes = []
    if len(sites) < FEW_SITES and not (val_sites and test_sites):
        notes.append(f"only {len(sites)} sites: a hash chose the splits; name them, or more data may move a site")
    without = sum(not key.site for key in keys)
    if without:
        notes.append(f"{without} pictures without a site are in the train split")

    def split_of(frame: Frame) -> str:
        if not frame.site:
            return "train"
        # A site without human labels: where it would go once it has some, lest training sees a later test site
        hashed = hashed_split(frame.site, val_fraction=val_fraction, test_fraction=test_fraction)
        return splits.get(frame.site, hashed)

    return SplitPlan(rule, split_of, notes)


def _by_recording(recordings: set[str], why: str) -> SplitPlan:
    try:
        splits = assign_splits(recordings, what="recording")
    except OptionsError as error:
        raise OptionsError(f"{why}, and {error}, or add sites") from error
    note = f"{why}: split by recording; recordings of one camera look alike, so the test result flatters"
    return SplitPlan("recordings by hash", lambda frame: splits.get(frame.recording, "train"), [note])


def _by_picture(keys: Sequence[PictureKey], why: str) -> SplitPlan:
    splits = assign_splits({_name(key) for key in keys}, what="picture")
    note = f"{why}: split by picture; pictures of one camera look alike, so the test result flatters"
    return SplitPlan("pictures by hash", lambda frame: splits.get(_name(frame), "train"), [note])


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
    own = {_name(key): key.own_split for key in keys}
    missing = set(SPLITS) - set(own.values())
    if not missing:
        return SplitPlan("the source's own", lambda frame: own.get(_name(frame), "train"))
    halved, lacking = ("val", "test") if "test" in missing else ("test", "val")
    held_out = [key for key in keys if key.own_split == halved]
    level, group_of = _coarsest_level(held_out)
    groups = sorted({group_of(key) for key in held_out}, key=hash_position)
    if len(groups) < 2:
        raise OptionsError(f"the source has no {lacking} split, and its {halved} split has one picture; add pictures")
    # At least one group each, whatever the hash says
    moved = {group for group in groups[:-1] if hash_position(group) < 0.5} or {groups[0]}

    def split_of(frame: Frame) -> str:
        split = own.get(_name(frame), "train")
        return lacking if split == halved and group_of(frame) in moved else split

    note = f"the source has no {lacking} split: half of its {halved} {level}s, by hash, are the {lacking} split"
    return SplitPlan(f"the source's own, {halved} halved by hash", split_of, [note])


def _coarsest_level(keys: Sequence[PictureKey]) -> tuple[str, Callable[[PictureKey | Frame], str]]:
    """What to halve a split by: sites where there are two, else recordings, else pictures."""
    if len({key.site for key in keys}) > 1 and all(key.site for key in keys):
        return "site", lambda item: item.site
    if len({key.recording for key in keys}) > 1:
        return "recording", lambda item: item.recording
    return "picture", _name


def _name(item: PictureKey | Frame) -> str:
    return f"{item.recording}/{item.scan}"
