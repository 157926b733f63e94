"""Writes a share of synthetic recordings: what a NAS would hold, with exact labels beside it."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from traffic_yolo.atm.calibration import FILE_NAMES, calibration_text
from traffic_yolo.atm.layouts import Layout, load_layout
from traffic_yolo.atm.synthetic.backdrop import make_backdrop
from traffic_yolo.atm.synthetic.device import report
from traffic_yolo.atm.synthetic.frame import paint_frame
from traffic_yolo.atm.synthetic.labels import LabelledScan, label_objects, labels_file
from traffic_yolo.atm.synthetic.light import HOURS, make_light
from traffic_yolo.atm.synthetic.sensor import Sensor, encode_jpeg
from traffic_yolo.atm.synthetic.site import LAYOUTS, Site, make_site
from traffic_yolo.atm.synthetic.traffic import Traffic
from traffic_yolo.atm.synthetic.writer import ScanToWrite, write_recording
from traffic_yolo.errors import OptionsError
from traffic_yolo.progress import progress_bar
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, write_json, write_text

LABELS_FILE = "human_labels.json"
CALIBRATION_FILE = FILE_NAMES[0]
TIME_STEP_S = 0.8  # between pictures: long enough for neighbours to differ
EMPTY_SCAN_EVERY = 20  # a scan without a picture, and a scan number left out, after so many pictures
DAYS = {"atm220-2021": "202109", "atm-2024": "202405"}
NAMED_COLUMNS = {"atm220-2021": False, "atm-2024": True}
# The first recording of a site is easy, the second is not, and so on in turn.
EASY, HARD = ("day", "overcast"), ("dusk", "rain", "night")


@dataclass(frozen=True)
class SyntheticOptions:
    """How much to render. The files depend on everything but `processes`."""

    sites: int = 5
    frames_per_recording: int = 50  # pictures; a few scans without one come on top
    recordings_per_site: int = 2
    image_wh: tuple[int, int] = (960, 540)
    seed: int = 0
    processes: int = 1  # recordings rendered at a time

    def __post_init__(self) -> None:
        for name in ("sites", "frames_per_recording", "recordings_per_site", "processes"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} must be 1 or more; found {getattr(self, name)}")
        if self.seed < 0:
            raise OptionsError(f"seed must be 0 or more; found {self.seed}")
        if min(self.image_wh) < 64:
            raise OptionsError(f"image_wh must be 64 pixels or more each way; found {self.image_wh}")


@dataclass(frozen=True)
class ShareSummary:
    """What was written; `objects` counts the labels of each class that are not to be ignored."""

    folder: Path
    recordings: int
    pictures: int
    objects: dict[str, int]
    ignored: int

    @property
    def text(self) -> str:
        """The summary in two lines."""
        counts = ", ".join(f"{count} {name}" for name, count in self.objects.items())
        return (
            f"{self.folder}: {self.recordings} recordings, {self.pictures} pictures\n"
            f"labels: {counts}; {self.ignored} more are to be ignored"
        )


@dataclass(frozen=True)
class _Job:
    """One recording to render."""

    site: int
    recording: int
    options: SyntheticOptions


def condition_of(site: int, recording: int) -> str:
    """The condition of a site's recording, by their indices: fixed, so that every share has all of them soon."""
    if recording % 2 == 0:
        return EASY[(site + recording // 2) % len(EASY)]
    return HARD[(site + recording // 2) % len(HARD)]


def write_share(out: AnyPath, options: SyntheticOptions) -> ShareSummary:
    """Writes `out/recordings/YYYYMMDD_site<X>/*.h5` and `out/human_labels.json`, atomically.

    `out` must not exist or be empty. The same options give the same bytes, whatever `processes` is.
    """
    target = output_path(out)
    jobs = [
        _Job(site, recording, options)
        for site in range(options.sites)
        for recording in range(options.recordings_per_site)
    ]
    labelled: list[LabelledScan] = []
    total = len(jobs) * options.frames_per_recording
    bar: tqdm[object] = progress_bar(description="render", unit="picture", total=total)
    with atomic_folder(target) as folder, bar:
        for scans in _render_all(jobs, folder):
            labelled += scans
            bar.update(options.frames_per_recording)
        classes = load_layout(LAYOUTS[0]).classes
        labels = labels_file(labelled, classes)
        write_json(folder / LABELS_FILE, labels)
    clear = Counter(entry["category_id"] for entry in labels["annotations"] if not entry["ignore"])
    return ShareSummary(
        folder=target,
        recordings=len(jobs),
        pictures=len(labels["images"]),
        objects={name: clear[class_id] for class_id, name in classes.items() if clear[class_id]},
        ignored=sum(entry["ignore"] for entry in labels["annotations"]),
    )


def _render_all(jobs: list[_Job], folder: Path) -> Iterator[list[LabelledScan]]:
    """The labels of each job, in the order of `jobs`."""
    workers = min(jobs[0].options.processes, len(jobs))
    if workers == 1:
        for job in jobs:
            yield render_recording(job, folder)
        return
    # 'spawn': a forked child of a process that has used torch's or OpenCV's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(render_recording, jobs, [folder] * len(jobs))


def render_recording(job: _Job, folder: Path) -> list[LabelledScan]:
    """Renders one recording into its place below `folder`; the labels of its pictures."""
    options = job.options
    site = make_site(job.site, options.image_wh, np.random.default_rng([options.seed, 1, job.site]))
    condition = condition_of(job.site, job.recording)
    layout = load_layout(site.layout_name)
    day = f"{DAYS[site.layout_name]}{1 + job.recording // 6 % 28:02d}"
    place = folder / "recordings" / f"{day}_site{site.name}"
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / CALIBRATION_FILE, calibration_text(site.camera, site=site.name, name=site.ip))
    name = _file_name(site, day, condition, job.recording)
    labelled: list[LabelledScan] = []
    scans = _scans(site, condition, layout, job, name, labelled)
    write_recording(place / name, layout, scans, named_columns=NAMED_COLUMNS[site.layout_name])
    return labelled


def _file_name(site: Site, day: str, condition: str, recording: int) -> str:
    time = f"{HOURS[condition]:02d}{(recording * 7 + site.index) % 60:02d}00"
    if site.layout_name == "atm220-2021":
        return f"{day}{time}_{recording}.h5"
    return f"{day}_{time}_{recording + 1:04d}_{site.ip}.h5"


def _scans(
    site: Site, condition: str, layout: Layout, job: _Job, file_name: str, labelled: list[LabelledScan]
) -> Iterator[ScanToWrite]:
    """Renders scan after scan; adds the labels of each picture to `labelled`."""
    options = job.options
    rng = np.random.default_rng([options.seed, 2, job.site, job.recording])
    light = make_light(condition, rng)
    times_s = np.arange(options.frames_per_recording, dtype=np.float64) * TIME_STEP_S
    actors = Traffic(site.road, times_s, rng).fill()
    backdrop = make_backdrop(site, light, rng)
    sensor = Sensor(options.image_wh, light, rng)
    class_ids = {name: class_id for class_id, name in layout.classes.items()}
    status = {"gps": {"latitude": site.latitude, "longitude": site.longitude}}
    number = int(rng.integers(0, 2))  # devices begin at 0 or at 1
    for index, time_s in enumerate(times_s.tolist()):
        picture, objects = paint_frame(site, light, backdrop, sensor, actors, time_s)
        seen = report(layout, objects, actors, time_s, options.image_wh, rng)
        jpeg = encode_jpeg(picture, site.jpeg_quality)
        yield ScanToWrite(number, jpeg, options.image_wh, seen.detections, seen.tracks, status)
        labelled.append(
            _labelled_scan(
                site, condition, file_name, number, options, label_objects(objects, class_ids, options.image_wh)
            )
        )
        number += 1
        if index % EMPTY_SCAN_EVERY == EMPTY_SCAN_EVERY - 1:
            yield ScanToWrite(number, None, options.image_wh, (), seen.tracks, status)
            number += 2


def _labelled_scan(
    site: Site,
    condition: str,
    file_name: str,
    number: int,
    options: SyntheticOptions,
    annotations: list[dict[str, object]],
) -> LabelledScan:
    width, height = options.image_wh
    image = {
        "file_name": f"{Path(file_name).stem}/SCAN_{number:05d}.jpg",
        "width": width,
        "height": height,
        "recording": file_name,
        "scan": number,
        "site": site.name,
        "attributes": {"condition": condition},
    }
    return LabelledScan(image, tuple(annotations))
