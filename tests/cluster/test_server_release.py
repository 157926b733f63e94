"""Releases of the server: what it calls itself, and what a run needs of it."""

import pytest

from traffic_yolo.cluster.server_release import Need, check_server, check_target, newest, release, release_of_tag
from traffic_yolo.errors import ClusterError, OptionsError

NEEDS = (Need((2, 5), "retries"), Need((2, 16), "run_as"))


@pytest.mark.parametrize(
    ("tag", "found"),
    [("2.17.0", (2, 17)), ("v2.15.0", (2, 15)), ("2.16.0-rc.1", (2, 16)), ("2.4", (2, 4)), ("unknown", None), (None, None),
     ("", None), ("20261129-abc", None)],
)  # fmt: skip
def test_release_is_read_of_what_a_server_calls_itself(tag: str | None, found: tuple[int, int] | None) -> None:
    assert release_of_tag(tag) == found


def test_newest_need_is_the_release_that_a_run_needs() -> None:
    assert newest(NEEDS) == (2, 16)
    assert newest(()) == (2, 4)


def test_older_server_is_refused_with_all_that_it_does_not_know() -> None:
    check_server("https://x", "2.16.1", NEEDS)
    check_server("https://x", "unknown", NEEDS)
    with pytest.raises(
        ClusterError,
        match=r"at https://x is Kubeflow Pipelines 2.4.1 and does not know retries \(since 2.5\), run_as \(since 2.16\);",
    ):
        check_server("https://x", "2.4.1", NEEDS)
    with pytest.raises(ClusterError, match=r"2.15.0 and does not know run_as \(since 2.16\); compile for it"):
        check_server("https://x", "2.15.0", NEEDS)


def test_target_that_does_not_know_what_is_asked_for_is_refused() -> None:
    check_target("min_server", (2, 16), NEEDS)
    with pytest.raises(
        OptionsError, match=r"min_server 2.15 does not know run_as \(since 2.16\); raise it, or leave out what asks"
    ):
        check_target("min_server", (2, 15), NEEDS)
    with pytest.raises(OptionsError, match="field: expected a release"):
        release("field", "2")
