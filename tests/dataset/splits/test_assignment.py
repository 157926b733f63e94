"""Splits: stable, whole groups, never empty; balanced where asked for, and then stable by what is remembered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.splits.assignment import FixedGroups, assign_splits, hash_position, hashed_split
from traffic_yolo.dataset.splits.choice import DEFAULT_SHARES

groups = st.sets(st.text("abcdefgh0123456789", min_size=1, max_size=8), min_size=3, max_size=40)
class_counts = st.dictionaries(st.sampled_from(["CAR", "BUS", "MOTORCYCLE"]), st.integers(0, 500))


@given(groups)
def test_every_group_is_in_one_split_and_no_split_is_empty(names: set[str]) -> None:
    splits = assign_splits(names)
    assert set(splits) == names
    assert set(splits.values()) == {"train", "val", "test"}


@given(st.sets(st.integers(0, 10**6), min_size=60, max_size=80), st.sets(st.integers(0, 10**6), max_size=20))
def test_new_groups_never_move_an_old_one(old: set[int], new: set[int]) -> None:
    before = assign_splits({str(name) for name in old})
    after = assign_splits({str(name) for name in old | new})
    assert {name: after[name] for name in before} == before


@given(st.text(), st.sets(st.text()))
def test_hash_of_a_group_knows_nothing_of_the_others(name: str, others: set[str]) -> None:
    before = hashed_split(name)
    for other in others:
        hashed_split(other)
    assert hashed_split(name) == before


@given(groups, groups, st.booleans(), st.data())
def test_pinned_groups_never_move_however_few_they_are_and_whatever_is_added(
    old: set[str], new: set[str], balanced: bool, data: st.DataObject
) -> None:
    """The property that no rule without a memory can have together with splits that are never empty."""
    counts = {name: data.draw(class_counts) for name in sorted(old | new)} if balanced else None
    before = assign_splits(old, counts=counts)
    after = assign_splits(old | new, fixed=FixedGroups(pinned=before), counts=counts)
    assert {name: after[name] for name in before} == before
    assert set(after) == old | new
    assert set(after.values()) == {"train", "val", "test"}


@given(groups, st.data())
def test_named_groups_go_where_they_are_named(names: set[str], data: st.DataObject) -> None:
    chosen = data.draw(st.permutations(sorted(names)))
    fixed = FixedGroups(val=chosen[:1], test=chosen[1:2], pinned={chosen[0]: "train"})
    splits = assign_splits(names, fixed=fixed)
    assert splits[chosen[0]] == "val"
    assert splits[chosen[1]] == "test"
    assert set(splits.values()) == {"train", "val", "test"}


@given(groups, st.data())
def test_balanced_splits_depend_on_the_counts_alone(names: set[str], data: st.DataObject) -> None:
    counts = {name: data.draw(class_counts) for name in sorted(names)}
    shuffled = data.draw(st.permutations(sorted(names)))
    assert assign_splits(names, counts=counts) == assign_splits(shuffled, counts=dict(reversed(counts.items())))


def test_balanced_splits_share_out_rare_classes_better_than_a_hash() -> None:
    """Forty sites with cars everywhere, motorcycles at eight of them: 60 : 20 : 20 of each class is the aim."""
    rng = np.random.default_rng(3)
    counts = {f"site{i}": {"CAR": int(rng.integers(50, 500)), "MOTORCYCLE": 30 * (i % 5 == 0)} for i in range(40)}

    def worst(splits: dict[str, str]) -> float:
        off = []
        for class_name in ("CAR", "MOTORCYCLE"):
            total = sum(count[class_name] for count in counts.values())
            for split, wanted in DEFAULT_SHARES.items():
                have = sum(counts[name][class_name] for name, chosen in splits.items() if chosen == split)
                off.append(abs(have / total - wanted))
        return max(off)

    assert worst(assign_splits(counts, counts=counts)) < 0.08
    assert worst(assign_splits(counts)) > 0.12


def test_a_new_group_with_a_lacking_class_goes_where_it_is_lacking() -> None:
    pinned = {"a": "train", "b": "val", "c": "test"}
    counts = {"a": {"CAR": 600, "BUS": 90}, "b": {"CAR": 200}, "c": {"CAR": 200, "BUS": 30}, "new": {"BUS": 30}}
    assert assign_splits([*pinned, "new"], fixed=FixedGroups(pinned=pinned), counts=counts)["new"] == "val"


def test_hash_of_a_name_is_the_same_everywhere() -> None:
    assert hash_position("siteA") == pytest.approx(0.7085768808657305, abs=1e-15)  # SHA-256, first 8 bytes
