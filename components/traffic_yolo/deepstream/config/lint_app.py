"""Lint rules for what deepstream-app's file says: its sources, batch sizes, networks, tracker and dumps.

Each rule follows deepstream-app's sources (9.1), where they were read; nobody has run them on a GPU.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from traffic_yolo.deepstream.config.app_keys import APP_GROUPS
from traffic_yolo.deepstream.config.findings import ConfigFinding, ConfigSubject

URI_TYPES = {2: "URI", 3: "several URIs"}
RTSP = 4
CAMERAS = (1, 5)
NUMBER_PATTERN = re.compile(r"%0?[0-9]*[du]")
DUMPS = ("gie-kitti-output-dir", "kitti-track-output-dir", "reid-track-output-dir", "terminated-track-output-dir",
         "shadow-track-output-dir")  # fmt: skip


def sources(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Each source's type against its URI, and whether there is any source at all."""
    if subject.file.is_yaml or "source-list" in subject.file.groups:
        return
    groups = [group for group in subject.file.groups if re.fullmatch("source[0-9]+", group)]
    on = [group for group in groups if _integer(subject, group, "enable") == 1]
    if not on:
        yield subject.finding(
            "no-source", "error", groups[0] if groups else "", "enable", "no source is enabled; the pipeline is empty",
            "write [source0] with enable=1, type and uri",
        )  # fmt: skip
    for group in on:
        yield from _uri(subject, group)


def batch_sizes(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """The muxer's batch against the sources, and the first network's against the muxer's."""
    count = num_sources(subject)
    mux = _integer(subject, "streammux", "batch-size", 0)
    if count is not None and "source-list" not in subject.file.groups and mux and mux != count:
        effect = "frames wait for a second batch" if mux < count else "batches are pushed by timeout, never full"
        yield subject.finding(
            "mux-batch", "warning", "streammux", "batch-size",
            f"[streammux] batch-size={mux}, but {count} sources are enabled: {effect}", f"write batch-size={count}",
        )  # fmt: skip
    gie = _integer(subject, "primary-gie", "batch-size", 0)
    if _enabled(subject, "primary-gie") and mux and gie and gie < mux:
        yield subject.finding(
            "gie-batch", "warning", "primary-gie", "batch-size",
            f"[primary-gie] batch-size={gie} is below the muxer's {mux}: each batch takes more than one inference",
            f"write batch-size={mux}, and name the engine of it",
        )  # fmt: skip


def muxer(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """The size to which every frame is brought before anything else sees it."""
    if "streammux" not in subject.file.groups:
        yield subject.finding(
            "mux-size", "error", "", "", "there is no [streammux] group; it wants width and height", "write the group"
        )
        return
    if subject.has("streammux", "config-file-path"):
        return
    for key in ("width", "height"):
        if _integer(subject, "streammux", key, 0) <= 0:
            yield subject.finding(
                "mux-size", "error", "streammux", key,
                f"[streammux] {key} is missing or 0: frames of which size shall be made?",
                f"write the {key} of the cameras",
            )  # fmt: skip


def networks(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """The networks' own files, their numbers, and frames that they skip."""
    numbers: dict[int, str] = {}
    for group in subject.file.groups:
        if not group.startswith(("primary-gie", "secondary-gie")) or not _enabled(subject, group):
            continue
        path = subject.path(group, "config-file")
        if path is None:
            yield subject.finding(
                "no-config-file", "error", group, "config-file",
                f"[{group}] has no config-file: which network is meant?",
                "write config-file=config_infer_primary.txt",
            )  # fmt: skip
        elif not path.is_file():
            yield subject.finding(
                "missing-file", "info", group, "config-file",
                f"config-file names {subject.text(group, 'config-file')}, which is not there",
                "what it holds was not looked at",
            )  # fmt: skip
        if subject.has(group, "gie-unique-id"):
            number = _integer(subject, group, "gie-unique-id", 0)
            if number in numbers:
                yield subject.finding(
                    "gie-id", "error", group, "gie-unique-id",
                    f"gie-unique-id={number} is [{numbers[number]}]'s already; deepstream-app stops",
                    "give each network a number of its own",
                )  # fmt: skip
            numbers.setdefault(number, group)
    frames = _integer(subject, "primary-gie", "interval", 0)
    if frames > 0 and _enabled(subject, "primary-gie"):
        yield subject.finding(
            "interval", "info", "primary-gie", "interval",
            f"interval={frames}: {frames} of {frames + 1} batches are not looked at, and have boxes of a tracker alone",
            "write interval=0 where every frame counts",
        )  # fmt: skip


def tracker(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """A tracker that is enabled and has no library."""
    if _enabled(subject, "tracker") and not subject.text("tracker", "ll-lib-file"):
        yield subject.finding(
            "tracker-library", "error", "tracker", "ll-lib-file", "the tracker is enabled and has no ll-lib-file",
            "name one, such as libnvds_nvmultiobjecttracker.so, or write enable=0",
        )  # fmt: skip


def dumps(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Folders for dumps: where one is missing, deepstream-app writes nothing and says nothing."""
    for key in DUMPS:
        path = subject.path("application", key)
        if path is not None and not path.is_dir():
            yield subject.finding(
                "dump-folder", "warning", "application", key,
                f"{key} names {subject.text('application', key)}, which is no folder here: nothing is written where it "
                f"is missing, without a word",
                "make the folder before the run",
            )  # fmt: skip


APP_RULES = (sources, muxer, batch_sizes, networks, tracker, dumps)


def num_sources(subject: ConfigSubject) -> int | None:
    """How many streams the file asks for; None where it does not say (YAML's stand in another file)."""
    if subject.file.is_yaml:
        return None
    count = 0
    for group in subject.file.groups:
        if re.fullmatch("source[0-9]+", group) and _integer(subject, group, "enable") == 1:
            several = _integer(subject, group, "type") == 3
            count += max(1, _integer(subject, group, "num-sources", 1)) if several else 1
    return count or None


def network_files(subject: ConfigSubject) -> list[tuple[str, Path]]:
    """(group, path) of the files that nvinfer reads for the networks that are enabled, where they are there."""
    found = []
    for group in subject.file.groups:
        if group.startswith(("primary-gie", "secondary-gie")) and _enabled(subject, group):
            path = subject.path(group, "config-file")
            # plugin-type 1 is the Triton server's, whose files are another format
            if path is not None and path.is_file() and _integer(subject, group, "plugin-type", 0) == 0:
                found.append((group, path))
    return found


def _uri(subject: ConfigSubject, group: str) -> Iterator[ConfigFinding]:
    kind, uri = _integer(subject, group, "type"), subject.text(group, "uri")
    where = f"[{group}] uri"
    if kind in (*URI_TYPES, RTSP) and "://" not in uri:
        found = uri or "nothing"
        yield subject.finding(
            "uri", "error", group, "uri", f"{where} is no URI: {found}", "write file:///… or rtsp://…"
        )
        return
    if kind in CAMERAS and uri:
        yield subject.finding(
            "uri", "warning", group, "uri", f"{where} is not read: type={kind} is a camera", "write type=2, or drop uri"
        )
    if kind == RTSP and not uri.startswith(("rtsp://", "rtspt://", "rtsps://")):
        yield subject.finding(
            "uri", "error", group, "uri", f"{where} begins with {uri.split('://')[0]}://, but type=4 is RTSP",
            "write type=2 for files",
        )  # fmt: skip
    bad = NUMBER_PATTERN.search(uri)
    if uri.startswith("multifile://") and bad is not None and not NUMBER_PATTERN.search(unquote(uri)):
        yield subject.finding(
            "uri", "error", group, "uri",
            f"{where}: a URI is percent-decoded, and {bad[0]} does not survive it",
            f"write {bad[0].replace('%', '%25')}",
        )  # fmt: skip
    if kind in URI_TYPES and " " in uri:
        yield subject.finding("uri", "error", group, "uri", f"{where} holds a blank", "write %20")


def _integer(subject: ConfigSubject, group: str, key: str, default: int = 0) -> int:
    name = "source" if group.startswith("source") else re.sub("[0-9]+$", "", group)
    spec = APP_GROUPS.get(name, APP_GROUPS["source"]).keys.get(key)
    return default if spec is None else int(subject.number(group, key, spec, default))


def _enabled(subject: ConfigSubject, group: str) -> bool:
    return _integer(subject, group, "enable", 0) == 1
