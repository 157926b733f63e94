"""What `--splits` takes, and that its shares are given out to whole groups, however few there are."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.records import Frame, PictureKey
from traffic_yolo.dataset.splits.assignment import FixedGroups, assign_splits, hash_position, hashed_split
from traffic_yolo.dataset.splits.choice import SplitChoice
from traffic_yolo.dataset.splits.pins import SplitPins
from traffic_yolo.dataset.splits.plan import SplitPlan, SplitRequest, plan_splits
from traffic_yolo.errors import OptionsError

CHOICES = ["auto", "train", "val", "test", "none", "0.8/0.1/0.1", "0/0.5/0.5", "train=0.7,val=0.3", "test=1"]
# (site or "", recording, scans): a site has recordings, a recording one site
structures = st.dictionaries(
    st.integers(0, 9), st.tuples(st.sampled_from(["", "A", "B", "C", "D"]), st.integers(1, 4)), min_size=1, max_size=8
)


def keys_of(structure: Mapping[int, tuple[str, int]]) -> list[PictureKey]:
    return [
        PictureKey(site, f"r{number}", f"SCAN_{scan:05d}", boxes={"CAR": number})
        for number, (site, scans) in structure.items()
        for scan in range(scans)
    ]


def frame(key: PictureKey) -> Frame:
    return Frame(key.recording, key.scan, 10, 10, (), bytes, site=key.site)


def plan(keys: list[PictureKey], splits: str = "auto", *, pictures: bool = False, **request: object) -> SplitPlan:
    asked = SplitRequest(choice=SplitChoice.parse(splits), **request)  # type: ignore[arg-type]
    return plan_splits(keys, asked, may_split_pictures=pictures)


@pytest.mark.parametrize(
    ("text", "wanted", "names"),
    [
        ("auto", ("train", "val", "test"), ("train", "val", "test")),
        ("test", ("test",), ("train", "val", "test")),
        ("none", ("all",), ("all",)),
        ("0.8/0.1/0.1", ("train", "val", "test"), ("train", "val", "test")),
        ("0.8/0.2/0", ("train", "val"), ("train", "val", "test")),
        (" test = 0.25 , train=0.75", ("train", "test"), ("train", "val", "test")),
        ("0.333/0.333/0.333", ("train", "val", "test"), ("train", "val", "test")),
    ],
)
def test_a_choice_says_which_splits_there_are_and_which_are_to_be_filled(
    text: str, wanted: tuple[str, ...], names: tuple[str, ...]
) -> None:
    choice = SplitChoice.parse(text)
    assert (choice.wanted, choice.names) == (wanted, names)


@pytest.mark.parametrize("text", ["", "all", "0.5/0.5", "0.5/0.5/0.5", "nan/0/1", "2/-1/0", "train=1,train=0", "a=1"])
def test_a_choice_without_sense_is_refused_with_the_words_that_are_known(text: str) -> None:
    with pytest.raises(OptionsError, match="splits: expected") as caught:
        ConvertOptions("source", splits=text)
    assert "\n" not in str(caught.value)


def test_sites_cannot_be_named_where_all_go_into_one_split() -> None:
    with pytest.raises(OptionsError, match="splits test puts all into one: leave val_sites and test_sites out"):
        ConvertOptions("source", splits="test", val_sites="A")


@given(structures, st.sampled_from(CHOICES), st.sampled_from(["hash", "balanced"]), st.booleans())
def test_each_frame_is_in_one_split_and_no_group_is_cut(
    structure: dict[int, tuple[str, int]], splits: str, method: str, pictures: bool
) -> None:
    keys = keys_of(structure)
    choice = SplitChoice.parse(splits)
    planned = plan(keys, splits, pictures=pictures, method=method)
    placed = {(key.recording, key.scan): planned.split_of(frame(key)) for key in keys}
    assert set(placed.values()) == planned.filled
    assert planned.filled <= set(choice.names)
    groups: dict[str, set[str]] = {}
    for key in keys:
        if group := planned.group_of(frame(key)):
            groups.setdefault(group, set()).add(placed[key.recording, key.scan])
    assert all(len(found) == 1 for found in groups.values())
    by_level = {len({key.site for key in keys if key.site}), len({key.recording for key in keys})}
    if max(by_level) >= len(choice.wanted) and not any(key.site == "" for key in keys):
        assert planned.filled == set(choice.wanted)
    assert any("EMPTY" in note for note in planned.notes) == bool(set(choice.wanted) - planned.filled)


@given(structures, st.sampled_from(CHOICES))
def test_the_order_of_pictures_changes_no_split(structure: dict[int, tuple[str, int]], splits: str) -> None:
    keys = keys_of(structure)
    first, second = plan(keys, splits), plan(keys[::-1], splits)
    assert [first.split_of(frame(key)) for key in keys] == [second.split_of(frame(key)) for key in keys]


@pytest.mark.parametrize(
    ("names", "filled"),
    [(["A"], {"train": 1}), (["A", "B"], {"train": 1, "val": 1}), (["A", "B", "C"], {"train": 1, "val": 1, "test": 1})],
)
def test_few_groups_train_first_and_validate_second(names: list[str], filled: dict[str, int]) -> None:
    for counts in (None, {name: {"CAR": 5} for name in names}):
        splits = list(assign_splits(names, counts=counts).values())
        assert {split: splits.count(split) for split in splits} == filled


def test_no_groups_are_no_splits() -> None:
    assert assign_splits([]) == {}


def test_named_and_pinned_groups_stay_even_where_nothing_is_left_to_train_on() -> None:
    assert assign_splits(["A", "B"], fixed=FixedGroups(val=["A"], test=["B"])) == {"A": "val", "B": "test"}
    assert assign_splits(["A", "B"], fixed=FixedGroups(pinned={"A": "test"})) == {"A": "test", "B": "train"}
    assert assign_splits(["A", "B"], fixed=FixedGroups(pinned={"A": "train"})) == {"A": "train", "B": "val"}


def test_shares_of_many_groups_are_what_was_asked_for() -> None:
    shares = SplitChoice.parse("0.1/0.2/0.7").shares
    splits = list(assign_splits([f"site{i}" for i in range(2000)], shares=shares).values())
    assert [round(splits.count(split) / 2000, 1) for split in ("train", "val", "test")] == [0.1, 0.2, 0.7]
    counts = {f"site{i}": {"CAR": 10 + i % 7} for i in range(50)}
    balanced = assign_splits(counts, counts=counts, shares=shares)
    total = sum(count["CAR"] for count in counts.values())
    for split, share in shares.items():
        assert sum(counts[name]["CAR"] for name in counts if balanced[name] == split) / total == pytest.approx(
            share, abs=0.03
        )


@given(st.text(max_size=8))
def test_a_split_without_a_share_gets_no_group(name: str) -> None:
    assert hashed_split(name, shares=SplitChoice.parse("0/0.4/0.6").shares) in ("val", "test")
    assert hashed_split(name, shares=SplitChoice.parse("0/0.4/0.6").shares, closed=["val"]) == "test"
    usual = hashed_split(name)
    named = hashed_split(name, closed=["test"])
    assert named == ("train" if usual == "test" else usual)
    assert usual == ("test" if hash_position(name) < 0.2 else "val" if hash_position(name) < 0.4 else "train")


def test_a_kept_group_is_not_moved_by_one_split_for_all() -> None:
    keys = [PictureKey("A", "a", "1"), PictureKey("B", "b", "1")]
    pins = SplitPins("site", {"B": "test", "gone": "val"})
    with pytest.raises(OptionsError, match="splits train would move site B, which keep_splits has in test"):
        plan(keys, "train", pins=pins)
    with pytest.raises(OptionsError, match="splits none makes no splits, and keep_splits keeps some"):
        plan(keys, "none", pins=pins)
    assert plan(keys, "test", pins=SplitPins("site", {"B": "test"})).filled == {"test"}


def test_shares_that_are_asked_for_go_before_the_source_s_own_splits() -> None:
    keys = [PictureKey(site, site, "1", own) for site, own in zip("ABC", ("train", "val", "test"), strict=True)]
    assert plan(keys).rule == "the source's own"
    asked = plan(keys, "0/0/1")
    assert asked.rule == "sites by hash, 0/0/1"
    assert asked.filled == {"test"}


def test_pictures_that_a_source_holds_out_never_train() -> None:
    """An evaluation-only source: it has a test split, and nothing else."""
    keys = [PictureKey(site, site, "1", "test") for site in "ABCD"]
    planned = plan(keys)
    assert planned.filled == {"test"}
    assert planned.notes[0].startswith("train and val are EMPTY: the source's own splits are kept")
    assert plan([key._replace(own_split="train") for key in keys]).filled == {"train", "val", "test"}


def test_a_validation_split_of_one_recording_is_not_halved() -> None:
    """Its scans are neighbours: half of them in the test split would be a leak."""
    train = [PictureKey("", "a", f"SCAN_{i:05d}", "train") for i in range(4)]
    val = [PictureKey("", "b", f"SCAN_{i:05d}", "val") for i in range(4)]
    planned = plan(train + val, pictures=True)
    assert planned.filled == {"train", "val"}
    assert planned.notes[0].startswith("test is EMPTY")
    pictures = [key._replace(scan=f"img{i}") for i, key in enumerate(train + val)]
    assert plan(pictures, pictures=True).filled == {"train", "val", "test"}
    assert plan(pictures, pictures=True, keep_own=True).filled == {"train", "val"}
