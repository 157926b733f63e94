"""Checks a whole source, data set or share: reads all that can be read, and names all that is wrong with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from traffic_yolo.atm.calibration import Calibration, find_calibrations
from traffic_yolo.atm.layouts import device_layout
from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.cross_check import CrossCheck, CrossCheckReport
from traffic_yolo.dataset.checks.finding import OFF, DataFinding, Findings, parse_severities
from traffic_yolo.dataset.checks.finding_pictures import FindingPictures, FoundIn
from traffic_yolo.dataset.checks.observation import Observation, time_of
from traffic_yolo.dataset.checks.run import CheckRun
from traffic_yolo.dataset.checks.source_problems import finding_of
from traffic_yolo.dataset.checks.table import CHECKS, CheckContext
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.dataset.sources.atm import AtmSource, scan_name
from traffic_yolo.dataset.sources.combined import CombinedSource
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.dataset.splits.groups import picture_of
from traffic_yolo.dataset.splits.leaks import LeakCheck, LeakReport
from traffic_yolo.dataset.store.opening import source_folder
from traffic_yolo.progress import progress
from traffic_yolo.storage import existing_path

PARTS = frozenset({"detections", "tracks", "status"})
SAMPLED = 20  # of so many pictures, the first is decoded
TIME_KEYS = ("time", "timestamp", "utc", "datetime")  # of a scan's status, where a device writes one


@dataclass(frozen=True)
class SourceCheck:
    """What a source came to. `leaks` is None where it has no splits of its own, `radar` where it has no tracks.

    `found_in`: a few frames with findings, for pictures.
    """

    description: str
    run: CheckRun
    notes: tuple[str, ...]
    leaks: LeakReport | None
    radar: CrossCheckReport | None
    found_in: tuple[FoundIn, ...] = ()

    @property
    def findings(self) -> Findings:
        """All findings."""
        return self.run.findings

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "source": self.description,
            **self.run.as_dict(),
            "notes": list(self.notes),
            "leaks": self.leaks.as_dict() if self.leaks is not None else None,
            "radar": self.radar.as_dict() if self.radar is not None else None,
        }


def check_source(choice: SourceChoice, options: CheckOptions) -> SourceCheck:
    """Reads the source once and runs every check. Raises what `open_source` raises for a source that is none."""
    calibrations = calibrations_of(choice, options.calibration)
    nominal = device_layout().nominal_sizes_m
    context = CheckContext(calibrations=calibrations, nominal_sizes_m=nominal, near_distance=options.near_distance)
    decoding = _Decoding(options.decode)
    run = CheckRun(parse_severities(options.severities, CHECKS) | decoding.off, context)
    troubled: set[str] = set()

    def note(problem: Problem) -> None:
        troubled.update(re.findall(r"\S+ SCAN_\d+", problem.message))
        finding = finding_of(problem, run.severities)
        if finding is not None:
            run.findings.add(finding)

    source = open_source(choice, SourceOptions(parts=PARTS, on_problem=note))
    keys = source.keys()
    splits = {picture_of(key): key.own_split for key in keys if key.own_split}
    leak_check = LeakCheck(max_distance=options.near_distance)
    radar = CrossCheck(calibrations, device_layout().classes)
    finding_pictures = FindingPictures()
    for frame, seen in _observations(source, troubled):
        observation = decoding.applied(seen)
        finding_pictures.show(observation, run.show(observation))
        radar.show(observation)
        if frame is not None and splits.get(picture_of(frame)) in SPLITS:
            groups = [f"site {frame.site}"] if frame.site else []
            look = observation.look if options.decode == "full" else None
            leak_check.add(frame.file_name, splits[picture_of(frame)], look, groups)
    leaks = leak_check.result() if len(set(splits.values()) & set(SPLITS)) > 1 else None
    cross_checked = radar.result()
    run.end()
    _add_late_findings(run, leaks, cross_checked)
    tally = [f"{count} {what}" for what, count in sorted(source.tally.items()) if count]
    notes = [*source.notes, *decoding.notes(), *tally]
    seen_by_radar = cross_checked if cross_checked.counts else None
    return SourceCheck(source.description, run, tuple(notes), leaks, seen_by_radar, finding_pictures.result())


class _Decoding:
    """Which pictures are decoded. Checks that compare every picture's look with others are off unless all are."""

    def __init__(self, decode: str) -> None:
        self._of = {"full": 1, "sampled": SAMPLED, "none": 0}[decode]
        self._seen = self._decoded = 0
        looks = {name: OFF for name, entry in CHECKS.items() if entry.needs_pixels}
        self.off = {"full": {}, "sampled": {"near-duplicate": OFF}, "none": looks}[decode]

    def applied(self, observation: Observation) -> Observation:
        """The observation, with leave to decode its picture or without."""
        if observation.picture is None or self._of == 1:
            return observation
        chosen = self._of > 0 and self._seen % self._of == 0
        self._seen += 1
        self._decoded += chosen
        return replace(observation, decode=chosen)

    def notes(self) -> list[str]:
        """What was not looked at."""
        if self._of == 1:
            return []
        decoded = f"{self._decoded} of {self._seen} pictures decoded"
        return [f"{decoded}: damage in the others, and look-alikes, were not looked for"]


def calibrations_of(choice: SourceChoice, calibration: str) -> list[Calibration]:
    """Those of a file or folder that the user names; "": those beside the recordings."""
    if calibration:
        return find_calibrations(existing_path(calibration, what="calibration"), every_yaml=True)
    source = source_folder(choice.source)
    return find_calibrations(source if source.is_dir() else source.parent)


def _observations(source: Source, troubled: set[str]) -> Iterator[tuple[Frame | None, Observation]]:
    """Every frame, and between them the scans of a recording that hold no picture."""
    numbers = source.scan_numbers if isinstance(source, AtmSource | CombinedSource) else {}
    last: tuple[str, int] = ("", 0)
    frames = progress(source.frames(), description="check", unit="picture", total=source.num_frames)
    for frame in frames:
        known = numbers.get(frame.recording)
        if known is not None:
            position = int(known.searchsorted(int(frame.scan.rpartition("_")[2])))
            start = last[1] if last[0] == frame.recording else 0
            yield from _without_picture(frame, known[start:position].tolist(), troubled)
            last = (frame.recording, position + 1)
        yield frame, observation_with_tracks(frame)


def _without_picture(frame: Frame, numbers: list[int], troubled: set[str]) -> Iterator[tuple[None, Observation]]:
    file = frame.label_file.partition(": ")[0] if not frame.labelled else frame.recording
    for number in numbers:
        name = scan_name(number)
        # A scan that is there and cannot be read has been named already
        broken = any(place.endswith(f" {name}") and frame.recording in place for place in troubled)
        observation = Observation(
            file=file,
            frame=f"{frame.recording}/{name}",
            picture=None,
            picture_trouble="cannot be read" if broken else "",
            site=frame.site,
            camera=frame.camera,
            recording=frame.recording,
            scan_number=number,
        )
        yield None, observation


def observation_with_tracks(frame: Frame) -> Observation:
    """A frame of a source, with the radar's tracks and the time where its recording holds them."""
    observation = Observation.of_frame(frame, frame.picture())
    scan = frame.recorded
    if scan is None:
        return observation
    columns = scan.layout.tracks.columns if scan.layout is not None and scan.layout.tracks is not None else ()
    return replace(
        observation,
        tracks=scan.tracks if columns else None,
        track_columns=columns,
        time_s=observation.time_s if observation.time_s is not None else _time_of_status(scan.status),
    )


def _time_of_status(status: Any) -> float | None:
    for key, value in (status or {}).items():
        if str(key).lower() in TIME_KEYS:
            return time_of(value)
    return None


def _add_late_findings(run: CheckRun, leaks: LeakReport | None, radar: CrossCheckReport) -> None:
    severities = run.severities
    if leaks is not None and "split-leak" in severities:
        for leak in leaks.leaks:
            expected, where = "each group and each scene in one split", f"{leak.first} ({leak.first_split})"
            found = f"also in {leak.second_split}" if leak.kind == "group" else f"{leak.second} ({leak.second_split})"
            bits = "" if leak.distance is None else f", {leak.distance} bits apart"
            run.findings.add(
                DataFinding(
                    "split-leak", severities["split-leak"], leak.first, "", "", expected, f"{where}: {found}{bits}"
                )
            )
    for place, verdict in radar.verdicts.items():
        if not verdict.plausible and "implausible-calibration" in severities:
            run.findings.add(
                DataFinding(
                    "implausible-calibration",
                    severities["implausible-calibration"],
                    place,
                    "",
                    "",
                    "radar tracks on the feet of the boxes",
                    verdict.reason,
                )
            )
    names = {"track": "track-without-box", "box": "box-without-track"}
    for one in radar.lonely:
        name = names[one.kind]
        if name in severities:
            what = f"{one.kind} {one.number} {one.class_name} at {one.distance_m:.0f} m"
            expected = "a box for each track in sight" if one.kind == "track" else "a track for each box"
            found = f"none (score {one.score:.2f})"
            run.findings.add(DataFinding(name, severities[name], one.file, one.frame, what, expected, found))
    _count_the_rest(run, radar)


def _count_the_rest(run: CheckRun, radar: CrossCheckReport) -> None:
    """The report lists the thousand that matter most; the counts are of all."""
    for name, key in (("track-without-box", "without_box"), ("box-without-track", "without_track")):
        total = sum(counts[key] for counts in radar.counts.values())
        if total and name in run.severities:
            run.findings.counts[name, run.severities[name]] = total
