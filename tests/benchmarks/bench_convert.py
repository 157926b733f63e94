"""Conversion of recordings to COCO + YOLO against copying the same pictures out of HDF5 one after another.

The leak check is on, as it is for everybody: it decodes every picture. Grown ten times, to show the slope: 1,000 and
10,000 frames, within minutes; `TRAFFIC_YOLO_BENCH_FRAMES=100000` measures what the target speaks of. The ratio of times
is that of one process a core; that of processor seconds, which other programs hardly move, stands beside it.
"""

import json
import os
import resource
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
from harness import Row, interleaved, peak_memory_mib, processor_seconds

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions

FRAMES = tuple(map(int, os.environ.get("TRAFFIC_YOLO_BENCH_FRAMES", "1000,10000").split(",")))
FRAMES_PER_RECORDING = 300
BOXES = 5  # a frame, human labels
DETECTIONS = 8  # a frame, the device's, in a table of 64 rows
WIDTH, HEIGHT = 320, 180
TARGET_FRAMES = 100_000  # of fewer, the report's figures are a good part of the time
CATEGORIES = ("BUS", "TRUCK", "LONG_TRUCK", "CAR", "MOTORCYCLE", "PEDESTRIAN")


def rows() -> Iterator[Row]:
    """Time and peak memory of a conversion, by number of frames."""
    os.environ["TRAFFIC_YOLO_PROGRESS"] = "0"
    for frames in FRAMES:
        with tempfile.TemporaryDirectory(prefix="bench-convert-") as folder:
            yield from _rows(Path(folder), frames)


def _rows(folder: Path, frames: int) -> Iterator[Row]:
    write_share(folder, frames)
    options = ConvertOptions(
        source=str(folder / "recordings"),
        labels=str(folder / "labels.json"),
        val_sites="B",
        test_sites="C",
    )

    def ours() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        convert(options, folder / "out")

    def copy() -> None:
        shutil.rmtree(folder / "copy", ignore_errors=True)
        copy_pictures(folder / "recordings", folder / "copy")

    rivals, repeats = {"ours": ours, "copy": copy}, {1000: 5, 10000: 3}.get(frames, 1)
    spent: dict[str, list[float]] = {name: [] for name in rivals}

    def measured(name: str) -> Callable[[], None]:
        def run() -> None:
            before = processor_seconds()
            rivals[name]()
            spent[name].append(processor_seconds() - before)

        return run

    warm_up = 1 if frames <= 10000 else 0
    times = interleaved({name: measured(name) for name in rivals}, repeats=repeats, warm_up=warm_up)
    ratio = times["ours"].median_s / times["copy"].median_s
    what = f"{frames:,} frames, HDF5 to COCO + YOLO, leak check on"
    copying = f"copying the pictures: {times['copy'].median_s:.2f} s"
    yield Row(
        "convert", what, times["ours"].median_s, "s", copying, ratio, "at most 2.5" if frames >= TARGET_FRAMES else ""
    )
    mine, other = (statistics.median(spent[name][warm_up:]) for name in ("ours", "copy"))
    yield Row("convert", f"{what}, processor time", mine, "s", f"copying the pictures: {other:.2f} s", mine / other)
    peak = _peak_mib(ours, folder / "children")
    yield Row("convert", f"{frames:,} frames, peak memory", peak, "MiB", "", peak, "at most 500")


def _peak_mib(work: Callable[[], None], note: Path) -> float:
    """MiB by which the conversion's process and all of its children together grow at most."""

    def measured() -> None:
        before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        work()
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        note.write_text(str(max(0.0, largest - before) * len(os.sched_getaffinity(0))))

    own = peak_memory_mib(measured)
    return own + float(note.read_text())


def write_share(folder: Path, frames: int) -> None:
    """Recordings of layout atm220-2021 of three sites, every picture with other bytes, and a COCO file of labels."""
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.integers(0, 255, (18, 32, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    noise = rng.integers(0, 24, pixels.shape, dtype=np.uint8)
    # Each site sees something else, or the leak check would find its look-alikes
    seen = (pixels, pixels[:, ::-1], pixels[::-1])
    pictures = [cv2.imencode(".jpg", view // 2 + noise)[1].tobytes() for view in seen]
    table = np.zeros((64, 6))
    table[:DETECTIONS] = [3, 0.9, 48, 64, 64, 48]
    tracks = np.zeros((4, 21))
    images, annotations = [], []
    for first in range(0, frames, FRAMES_PER_RECORDING):
        number = first // FRAMES_PER_RECORDING
        path = folder / "recordings" / f"20210901_site{'ABC'[number % 3]}" / f"202109{10 + number:08d}00_0.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for scan in range(min(FRAMES_PER_RECORDING, frames - first)):
                data = pictures[number % 3]
                # A comment in the JPEG makes its bytes its own
                comment = b"\xff\xfe\x00\x0a" + (first + scan).to_bytes(8, "big")
                group = file.create_group(f"SCAN_{scan:05d}")
                group["Image"] = np.frombuffer(data[:2] + comment + data[2:], dtype=np.uint8)
                group["AI"] = table
                group["Object"] = tracks
                image_id = first + scan + 1
                images.append(
                    {"id": image_id, "file_name": f"{path.stem}/SCAN_{scan:05d}.jpg", "width": WIDTH, "height": HEIGHT}
                )
                for box in range(BOXES):
                    xywh = [round(float(v), 2) for v in (10 + 40 * box, 20 + scan % 90, 30.25, 20.5)]
                    annotations.append(
                        {
                            "id": len(annotations) + 1,
                            "image_id": image_id,
                            "category_id": box,
                            "bbox": xywh,
                            "area": xywh[2] * xywh[3],
                            "iscrowd": 0,
                        }
                    )
    categories = [{"id": index, "name": name} for index, name in enumerate(CATEGORIES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content))


def copy_pictures(recordings: Path, out: Path) -> None:
    """The rival: one process that reads every picture out of HDF5 and writes it into a file."""
    for path in sorted(recordings.rglob("*.h5")):
        folder = out / path.stem
        folder.mkdir(parents=True)
        with h5py.File(path) as file:
            for name, group in file.items():
                with open(f"{folder}/{name}.jpg", "wb") as picture:
                    picture.write(group["Image"][()])
