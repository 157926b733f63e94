"""What a conversion reads beside the content of source and labels: hashes of the files that options name, as one line.

KFP's cache key holds the location of such a file, which stays the same when somebody writes another class map there. So
the first task of a pipeline hashes the files, the conversion takes the line as a parameter, and checks it.
"""

import dataclasses
import hashlib
from collections.abc import Iterator

from traffic_yolo.atm.calibration import calibration_files
from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.atm.recording import RECORDING_SUFFIX
from traffic_yolo.dataset.options import ATM_FORMAT, ConvertOptions
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.dataset.sources.archives import SUFFIX as ARCHIVE_SUFFIX
from traffic_yolo.dataset.splits.pins import FILE_NAME as SPLITS_NAME
from traffic_yolo.errors import StorageError
from traffic_yolo.option_settings import is_settings_text
from traffic_yolo.options import SETTINGS
from traffic_yolo.run_id import known_run_id
from traffic_yolo.storage import existing_path, list_files, sha256_of_file, shown, stat

NOTHING = "none"  # a parameter that is empty counts as left out here and there
ELSEWHERE = "elsewhere"
CALIBRATION = "policy.calibration"  # a file, or a folder of them
IN_SNAPSHOT = ("source", "labels")  # whose content the share's fingerprint tells
WHOLE_LABEL_FILES = (
    ".json",
    ".xml",
    ".csv",
    ARCHIVE_SUFFIX,
)  # name no further files of labels, as YOLO's .yaml, .data and .txt do


def named_files(options: ConvertOptions, settings: str, run_id: str) -> str:
    """`<option>=<SHA-256>` of every file that the options name, with blanks between; `none` where they name none.

    `settings`: what was given as such, whose file is one of them. Options of the policy are `policy.<option>`. Where
    the source may lead to files that no listing of it shows (a label file with pictures around it, links, lists), the
    line has the run's id too, so that no other run is taken for this one. Raises `StorageError` for a file that is not
    there, `OptionsError` for a policy that makes no sense.
    """
    hashes = [f"{name}={_sha256(name, location)}" for name, location in _named(options, settings)]
    if _leads_elsewhere(options):
        hashes.append(f"{ELSEWHERE}={known_run_id(run_id)}")
    return " ".join(hashes) or NOTHING


def check_named_files(expected: str, options: ConvertOptions, settings: str = "") -> None:
    """Raises `StorageError` that names the first file that is not as `named_files` found it."""
    before, places = _parsed(expected), dict(_named(options, settings))
    for name in sorted((before.keys() | places.keys()) - {ELSEWHERE}):
        now = _sha256(name, places[name]) if name in places else NOTHING
        if before.get(name, NOTHING) != now:
            raise StorageError(
                f"{name} {shown(places.get(name, ''))}: expected SHA-256 {before.get(name, NOTHING)} as when the run "
                f"began, found {now}; start the run again"
            )


def without_settings(text: str) -> str:
    """A line of `named_files` for options that are given one by one, whatever file they came from."""
    return " ".join(part for part in text.split(" ") if not part.startswith(f"{SETTINGS}="))


def reads_elsewhere(text: str) -> bool:
    """Whether a line of `named_files` says that files are read which no listing shows."""
    return ELSEWHERE in _parsed(text)


def _leads_elsewhere(options: ConvertOptions) -> bool:
    listing = list_files(options.source)
    recordings = options.source_format == ATM_FORMAT or (
        options.source_format == "auto" and any(file.name.endswith(RECORDING_SUFFIX) for file in listing.files)
    )
    archived = options.source.lower().endswith(ARCHIVE_SUFFIX)
    if not recordings and not archived and (listing.skipped or stat(options.source) is not None):
        return True
    if not options.labels:
        return False
    is_file = stat(options.labels) is not None
    return not options.labels.endswith(WHOLE_LABEL_FILES) if is_file else bool(list_files(options.labels).skipped)


def _parsed(text: str) -> dict[str, str]:
    return {} if text in ("", NOTHING) else dict(part.split("=", 1) for part in text.split(" ") if "=" in part)


def _named(options: ConvertOptions, settings: str) -> Iterator[tuple[str, str]]:
    """Option and location of each file, in a fixed order."""
    if settings.strip() and not is_settings_text(settings):
        yield SETTINGS, settings.strip()
    for field in dataclasses.fields(options):
        location = getattr(options, field.name)
        if field.metadata.get("location") != "read" or field.name in IN_SNAPSHOT or not location:
            continue
        is_name = field.name == "layout" and location in builtin_layouts()
        if not is_name and not location.lstrip().startswith("{"):
            yield field.name, location
    policy = policy_at(options.policy)
    for field in dataclasses.fields(policy):
        if field.metadata.get("location") and getattr(policy, field.name):
            yield f"policy.{field.name}", getattr(policy, field.name)


def _sha256(name: str, location: str) -> str:
    """Of the file at a location, of a data set's splits, or of all calibrations in a folder with their names."""
    path = existing_path(location, what="file")
    if path.is_dir() and name == CALIBRATION:
        files = calibration_files(path, every_yaml=True)
        lines = [f"{file.relative_to(path).as_posix()}\0{sha256_of_file(file)}\n" for file in files]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    return sha256_of_file(path / SPLITS_NAME if path.is_dir() else path)
