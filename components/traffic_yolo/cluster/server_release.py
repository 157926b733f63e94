"""Releases of Kubeflow Pipelines: which one a server says it is, and which one a run needs.

What came with which release was read in the sources of its driver, compiler and API server (kubeflow/pipelines, tags
2.4.0 to 2.17.0); `docs/cluster-settings.md` has the table.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.messages import one_line, shown

Release = tuple[int, int]
OLDEST: Release = (2, 4)  # the oldest whose sources were read
_TAG = re.compile(r"v?(\d{1,3})\.(\d{1,3})(\.\d{1,3})?([-+.].*)?")


class Need(NamedTuple):
    """Something that servers know since a release."""

    since: Release
    what: str


def release(field: str, text: str) -> Release:
    """(major, minor) of "2.17" or "2.17.0"; `OptionsError` for another form, or one before `OLDEST`."""
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(\.\d{1,3})?", text)
    if not found:
        raise OptionsError(f"{field}: expected a release of Kubeflow Pipelines such as 2.17, found {shown(text)}")
    stated = int(found[1]), int(found[2])
    if stated < OLDEST:
        raise OptionsError(f"{field}: expected {release_text(OLDEST)} or newer, found {text}")
    return stated


def release_text(stated: Release) -> str:
    """As people write it."""
    return f"{stated[0]}.{stated[1]}"


def release_of_tag(tag: str | None) -> Release | None:
    """The release in what a server calls itself (`tag_name`, such as 2.17.0 or v2.15.0-rc.1); None for other words.

    An image that somebody built for themselves may call itself anything, `unknown` by default.
    """
    found = _TAG.fullmatch(tag or "")
    return (int(found[1]), int(found[2])) if found else None


def newest(needs: Iterable[Need]) -> Release:
    """The release that has all of it."""
    return max((need.since for need in needs), default=OLDEST)


def check_target(field: str, target: Release, needs: Iterable[Need]) -> None:
    """Raises `OptionsError` where a server of the release `target` would not know what is needed."""
    missing = _since(needs, target)
    if missing:
        raise OptionsError(
            f"{field} {release_text(target)} does not know {missing}; raise it, or leave out what asks for it"
        )


def check_server(host: str, tag: str | None, needs: Iterable[Need]) -> None:
    """Raises `ClusterError` where the server at `host`, which calls itself `tag`, does not know what a run needs."""
    stated = release_of_tag(tag)
    missing = _since(needs, stated) if stated else ""
    if missing:
        raise ClusterError(
            f"the server at {host} is Kubeflow Pipelines {one_line(tag or '')} and does not know {missing}; compile "
            "for it (min_server in the cluster file, or TRAFFIC_YOLO_KFP_SERVER), or take a newer server"
        )


def _since(needs: Iterable[Need], stated: Release) -> str:
    """What a server of a release does not know, in words; "" where it knows all."""
    return ", ".join(f"{what} (since {release_text(since)})" for since, what in sorted(set(needs)) if since > stated)
