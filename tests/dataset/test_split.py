"""Splits: stable, whole groups, never empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.split import assign_splits, hash_position
from traffic_yolo.errors import OptionsError

groups = st.sets(st.text("abcdefgh0123456789", min_size=1, max_size=8), min_size=3, max_size=40)


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


@given(groups, st.data())
def test_named_groups_go_where_they_are_named(names: set[str], data: st.DataObject) -> None:
    chosen = data.draw(st.permutations(sorted(names)))
    splits = assign_splits(names, val_groups=chosen[:1], test_groups=chosen[1:2])
    assert splits[chosen[0]] == "val"
    assert splits[chosen[1]] == "test"
    assert set(splits.values()) == {"train", "val", "test"}


def test_hash_of_a_name_is_the_same_everywhere() -> None:
    assert hash_position("siteA") == pytest.approx(0.7085768808657305, abs=1e-15)  # SHA-256, first 8 bytes


@pytest.mark.parametrize("names", [set(), {"A"}, {"A", "B"}])
def test_fewer_than_three_groups_are_refused(names: set[str]) -> None:
    with pytest.raises(OptionsError, match="train, val and test need"):
        assign_splits(names)
