"""Checks a layout file and tries it on a recording, for somebody who writes one."""

from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.atm.layouts import Layout, read_layout
from traffic_yolo.atm.recording import Recording, find_recordings
from traffic_yolo.storage import AnyPath, existing_path, input_path

TRIED_SCANS = 200  # of each recording: enough to see, quick on a NAS


@dataclass(frozen=True)
class LayoutTrial:
    """What a layout finds in the first scans of a recording.

    `inside` is the share of detections whose boxes lie in the picture, None where there is no detection: a wrong box
    space or box anchor shows as a small share.
    """

    recording: Path
    scans: int
    tried: int
    pictures: int
    detections: int
    tracks: int
    inside: float | None

    @property
    def text(self) -> str:
        """One line."""
        inside = "" if self.inside is None else f", {self.inside:.0%} of them inside the picture"
        return (
            f"{self.recording}: {self.scans} scans; in the first {self.tried}: {self.pictures} pictures, "
            f"{self.detections} detections{inside}, {self.tracks} tracks"
        )


def describe_layout(layout: Layout) -> str:
    """A layout in a few lines, as it was understood."""
    detections, tracks = layout.detections, layout.tracks
    space = "the picture's pixels" if detections.box_space_wh is None else "x".join(map(str, detections.box_space_wh))
    lines = [
        f"layout {layout.name}: scans {layout.scan_group.pattern}, pictures in {layout.image_dataset}",
        f"detections in {detections.dataset}: box {', '.join(detections.box)} ({detections.box_anchor}) in {space}, "
        f"list ends by {detections.end_of_list}",
        f"tracks in {tracks.dataset}: {len(tracks.columns)} columns" if tracks else "no tracks",
        f"classes {', '.join(f'{key} {name}' for key, name in sorted(layout.classes.items()))}",
    ]
    return "\n".join(lines)


def check_layout(path: AnyPath, recordings: AnyPath | None = None) -> str:
    """Reads a layout file, and the recordings at `recordings` with it; what was found, as text.

    Raises `RecordingError` naming the file, the key, and what was expected there; or the recording and the scan that
    the layout does not fit.
    """
    layout = read_layout(path)
    found = find_recordings(existing_path(recordings, what="recordings")) if recordings else []
    trials = [try_layout(layout, recording) for recording in found]
    return "\n".join([describe_layout(layout), *(trial.text for trial in trials)])


def try_layout(layout: Layout, path: AnyPath) -> LayoutTrial:
    """Reads the first scans of a recording in a layout; raises `RecordingError` where they do not fit."""
    path = input_path(path, what="recording")
    pictures = detections = tracks = inside = 0
    with Recording(path, layout) as recording:
        numbers = recording.scan_numbers
        for number in numbers[:TRIED_SCANS]:
            scan = recording.scan(number)
            pictures += scan.jpeg is not None
            tracks += 0 if scan.tracks is None else len(scan.tracks)
            width, height = scan.image_wh or layout.nominal_size_wh
            for detection in scan.detections:
                x, y, w, h = detection.xywh
                detections += 1
                # Half a pixel for rounding: devices cut their boxes at the edge of their own space
                inside += x >= -0.5 and y >= -0.5 and x + w <= width + 0.5 and y + h <= height + 0.5
    return LayoutTrial(
        recording=path,
        scans=len(numbers),
        tried=min(len(numbers), TRIED_SCANS),
        pictures=pictures,
        detections=detections,
        tracks=tracks,
        inside=inside / detections if detections else None,
    )
