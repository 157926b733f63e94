"""Decides the split of every frame of a source: named sites, the source's own splits, or a hash of the group."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from traffic_yolo.dataset.atm_source import AtmSource
from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.dataset.sources import Source
from traffic_yolo.dataset.split import TEST_FRACTION, VAL_FRACTION, assign_splits, hash_position
from traffic_yolo.errors import OptionsError


@dataclass(frozen=True)
class SplitPlan:
    """`split_of(frame)` names the frame's split; `rule` says how, `notes` what a reader of the report should know."""

    rule: str
    split_of: Callable[[Frame], str]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, source: Source, *, val_sites: Collection[str], test_sites: Collection[str]) -> "SplitPlan":
        """The plan for a source.

        Sites are split where there are three or sites are named; else the source's own splits are kept; else
        recordings are split; at last, for single pictures, each by the hash of its own name. Raises `OptionsError` for
        an unknown site, or recordings too few to split.
        """
        groups = source.groups()
        sites = {site for site, _ in groups if site}
        named = bool(val_sites or test_sites)
        if len(sites) >= len(SPLITS) or named:
            return _by_site(sites, groups, val_sites, test_sites)
        recordings = {recording for _, recording in groups}
        if isinstance(source, AtmSource):
            return _by_recording(recordings, f"only {len(sites)} sites with labels")
        own = source.fixed_splits
        if {"train", "val"} <= own:
            return _by_source(own)
        if len(recordings) >= len(SPLITS):
            return _by_recording(recordings, "no sites")
        return _by_picture()


def _by_site(
    sites: set[str], groups: Counter[tuple[str, str]], val_sites: Collection[str], test_sites: Collection[str]
) -> SplitPlan:
    splits = assign_splits(sites, val_groups=val_sites, test_groups=test_sites)
    if val_sites and test_sites:
        chosen = "sites named"
    elif val_sites or test_sites:
        chosen = "sites named, the rest by hash"
    else:
        chosen = "sites by hash"
    notes = []
    if len(sites) < 10 and not (val_sites and test_sites):
        notes.append(f"only {len(sites)} sites: a hash chose the splits; name them, or more data may move a site")
    if any(not site for site, _ in groups):
        notes.append("pictures without a site are in the train split")
    # A site without human labels is not in `splits`; device labels may only train
    return SplitPlan(chosen, lambda frame: splits.get(frame.site, "train"), notes)


def _by_recording(recordings: set[str], why: str) -> SplitPlan:
    try:
        splits = assign_splits(recordings)
    except OptionsError as error:
        raise OptionsError(f"{why}, and {error}") from error
    note = f"{why}: split by recording; recordings of one camera look alike, so the test result flatters"
    return SplitPlan("recordings by hash", lambda frame: splits.get(frame.recording, "train"), [note])


def _by_source(own: frozenset[str]) -> SplitPlan:
    if "test" in own:
        return SplitPlan("the source's own", lambda frame: frame.fixed_split)

    def split_of(frame: Frame) -> str:
        if frame.fixed_split != "val":
            return frame.fixed_split
        return "test" if hash_position(f"{frame.recording}/{frame.scan}") < 0.5 else "val"

    note = "the source has no test split: half of its val pictures, by hash, are the test split"
    return SplitPlan("the source's own, val halved by hash", split_of, [note])


def _by_picture() -> SplitPlan:
    def split_of(frame: Frame) -> str:
        position = hash_position(f"{frame.recording}/{frame.scan}")
        if position < TEST_FRACTION:
            return "test"
        return "val" if position < TEST_FRACTION + VAL_FRACTION else "train"

    note = "no sites or recordings known: split by picture; neighbouring pictures leak, so the test result flatters"
    return SplitPlan("pictures by hash", split_of, [note])
