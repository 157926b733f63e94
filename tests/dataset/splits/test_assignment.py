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


def test_being_short_is_measured_in_parts_of_the_split_s_own_share() -> None:
    """The last 5 of 100 boxes: train would reach its 80 with them, test its 10 instead of the half."""
    boxes = {"a": 20, "b": 25, "c": 5, "d": 5, "e": 30, "f": 15}
    counts = {name: {"CAR": number} for name, number in boxes.items()}
    splits = assign_splits(counts, counts=counts, shares={"train": 0.8, "val": 0.1, "test": 0.1})
    have = {split: sum(boxes[name] for name in boxes if splits[name] == split) for split in DEFAULT_SHARES}
    assert have == {"train": 75, "val": 15, "test": 10}


def test_training_gets_the_share_of_a_split_whose_groups_are_named() -> None:
    """Validation is one small site that the user named: of the rest four fifths train, not three quarters."""
    counts = {"own": {"CAR": 1}} | {f"site{i}": {"CAR": 100} for i in range(20)}
    splits = list(assign_splits(counts, fixed=FixedGroups(val=["own"]), counts=counts).values())
    assert {split: splits.count(split) for split in DEFAULT_SHARES} == {"train": 16, "val": 1, "test": 4}
    no_training = {"train": 0.0, "val": 0.5, "test": 0.5}
    only_test = assign_splits(counts, fixed=FixedGroups(val=["own"]), counts=counts, shares=no_training)
    assert sorted(only_test.values()) == ["test"] * 20 + ["val"]


def test_empty_splits_are_filled_by_the_groups_whose_hash_is_nearest() -> None:
    """All hashes say train: the lowest goes to test, which lies at 0, the next to val."""
    names = sorted((f"site{i}" for i in range(200) if hashed_split(f"site{i}") == "train"), key=hash_position)[:6]
    assert assign_splits(names) == dict.fromkeys(sorted(names), "train") | {names[0]: "test", names[1]: "val"}
    names = sorted((f"site{i}" for i in range(200) if hashed_split(f"site{i}") == "test"), key=hash_position)[:6]
    assert assign_splits(names) == dict.fromkeys(sorted(names), "test") | {names[-1]: "train", names[0]: "val"}


def test_a_lone_free_group_goes_to_val_before_test() -> None:
    """Training needs a validation split, and judging can wait: as with two groups in all."""
    first, second = [name for name in map("site{}".format, range(40)) if hashed_split(name) == "train"][:2]
    pinned = FixedGroups(pinned={"a": "train", "b": "train"})
    assert assign_splits(["a", "b", first], fixed=pinned) == {"a": "train", "b": "train", first: "val"}
    both = assign_splits(["a", "b", first, second], fixed=pinned)
    assert {both[first], both[second]} == {"val", "test"}
    no_val = assign_splits(["a", "b", first], fixed=pinned, shares={"train": 0.8, "val": 0.0, "test": 0.2})
    assert no_val[first] == "test"


def test_a_new_group_with_a_lacking_class_goes_where_it_is_lacking() -> None:
    pinned = {"a": "train", "b": "val", "c": "test"}
    counts = {"a": {"CAR": 600, "BUS": 90}, "b": {"CAR": 200}, "c": {"CAR": 200, "BUS": 30}, "new": {"BUS": 30}}
    assert assign_splits([*pinned, "new"], fixed=FixedGroups(pinned=pinned), counts=counts)["new"] == "val"


def test_hash_of_a_name_is_the_same_everywhere() -> None:
    assert hash_position("siteA") == pytest.approx(0.7085768808657305, abs=1e-15)  # SHA-256, first 8 bytes
