"""The tournament that finds the best version ever in use, with each of them measured until it loses once."""

from collections.abc import Mapping

from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.registry.gates.opponents import MOST_OTHERS, Opponents, last_winner, opponents_of, unbeaten
from traffic_yolo.registry.publication import Publication


def publication(values: Mapping[str, float], *, metric: str = "map50") -> Publication:
    numbers = {version: {metric: value} for version, value in values.items()}
    return Publication("x", True, False, "", "", {"metric": metric}, {}, numbers, ())


def name(number: int) -> str:
    return f"{number:04d}-{'a' * 12}"


def ask(
    own: str | None, in_use: str | None, used: set[str], *compared: Mapping[str, float], **changes: object
) -> Opponents:
    given = {"there": used | ({in_use} if in_use else set()), "recorded": dict, **changes}
    found = [publication(values) for values in compared]
    return opponents_of(own, in_use=in_use, used=used, publications=found, metric="map50", **given)  # type: ignore[arg-type]


ONE, TWO, THREE, FOUR = (name(number) for number in range(1, 5))


def test_a_zoo_without_a_version_in_use_has_no_opponents() -> None:
    assert ask(None, None, set()) == Opponents(None)


def test_the_highest_of_the_last_comparison_is_asked_again_and_the_others_are_not() -> None:
    compared = {ONE: 0.5, TWO: 0.49, THREE: 0.4}
    assert ask(None, TWO, {ONE, TWO, THREE}, compared) == Opponents(TWO, (ONE,))
    assert ask(None, ONE, {ONE, TWO, THREE}, compared) == Opponents(ONE)


def test_small_losses_do_not_add_up_the_best_stays_in_the_comparison() -> None:
    """Each new version is a little worse than the last one, which alone would let it pass."""
    used, compared = {ONE}, [{ONE: 0.500}]
    for number in range(2, 9):
        new, last = name(number), name(number - 1)
        asked = ask(None, last, used, *compared)
        assert {asked.in_use, *asked.others} == {last, ONE}
        compared.append({new: 0.5 - number / 1000, **{each: 0.5 if each == ONE else 0.5 - (number - 1) / 1000
                                                     for each in {last, *asked.others}}})  # fmt: skip
        used = used | {new}


def test_versions_that_were_set_current_without_being_compared_are_measured_once() -> None:
    asked = ask(None, TWO, {ONE, TWO, THREE}, {ONE: 0.5, TWO: 0.6})
    assert asked == Opponents(TWO, (THREE,))
    assert ask(None, TWO, {ONE, TWO, THREE}, {ONE: 0.5, TWO: 0.6}, {TWO: 0.3, THREE: 0.2}) == Opponents(TWO)


def test_who_wins_a_later_comparison_is_back() -> None:
    assert unbeaten({ONE, TWO}, [publication({ONE: 0.5, TWO: 0.6}), publication({ONE: 0.7, TWO: 0.6})], "map50") == {
        ONE
    }


def test_versions_that_never_came_into_use_beat_nobody() -> None:
    assert ask(None, ONE, {ONE}, {ONE: 0.5, FOUR: 0.9}) == Opponents(ONE)
    assert unbeaten({ONE}, [publication({ONE: 0.5, FOUR: 0.9})], "map50") == {ONE}
    assert last_winner({ONE}, [publication({ONE: 0.5, FOUR: 0.9})]) == ONE


def test_another_metric_asks_those_again_that_it_has_not_compared() -> None:
    assert unbeaten({ONE, TWO}, [publication({ONE: 0.5, TWO: 0.6}, metric="f1")], "map50") == {ONE, TWO}


def test_of_equals_the_newer_one_stays_whatever_its_number_of_digits() -> None:
    old, new = f"9999-{'a' * 12}", f"10000-{'a' * 12}"
    assert unbeaten({old, new}, [publication({old: 0.5, new: 0.5})], "map50") == {new}


def test_a_version_is_no_opponent_of_itself() -> None:
    assert ask(TWO, ONE, {ONE, TWO}) == Opponents(ONE)
    assert ask(ONE, ONE, {ONE, TWO}) == Opponents(ONE, (TWO,))


def test_of_many_that_were_never_compared_the_most_promising_come_first_and_the_rest_is_counted() -> None:
    used = {name(number) for number in range(1, 11)}
    asked = ask(None, name(10), used, recorded=lambda: {name(3): 0.9, name(7): 0.8, name(1): 0.7, name(2): 0.1})
    assert asked == Opponents(name(10), (name(1), name(3), name(7)), waiting=6)
    assert len(asked.others) == MOST_OTHERS


def test_what_is_not_in_the_zoo_any_more_is_named() -> None:
    assert ask(None, TWO, {ONE, TWO}, there={TWO}) == Opponents(TWO, gone=(ONE,))


VERSIONS = [name(number) for number in range(1, 6)]
COMPARED = st.dictionaries(st.sampled_from(VERSIONS), st.floats(0, 1), min_size=1)


@examples(100)
@given(compared=st.lists(COMPARED, max_size=6), ever=st.sets(st.sampled_from(VERSIONS), min_size=1))
def test_somebody_is_always_left_and_the_last_winner_is(compared: list[dict[str, float]], ever: set[str]) -> None:
    publications = [publication(values) for values in compared]
    left = unbeaten(ever, publications, "map50")
    assert left
    assert left <= ever
    winner = last_winner(ever, publications)
    assert winner is None or winner in left
    never = ever - {version for values in compared for version in values}
    assert never <= left
