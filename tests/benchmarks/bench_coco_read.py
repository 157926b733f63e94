"""Reading a COCO file of 1,000,000 annotations into records, against json.load of the same file.

`TRAFFIC_YOLO_BENCH_ANNOTATIONS` names other sizes (comma-separated).
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import Row, interleaved, peak_memory_mib

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.coco import CocoReader

SIZES = tuple(map(int, os.environ.get("TRAFFIC_YOLO_BENCH_ANNOTATIONS", "10000,100000,1000000").split(",")))
PER_PICTURE = 8


def rows() -> Iterator[Row]:
    """Time and peak memory, by number of annotations."""
    with tempfile.TemporaryDirectory(prefix="bench-coco-") as folder:
        for size in SIZES:
            path = Path(folder) / "instances.json"
            write_coco(path, size)
            times = interleaved(
                {"ours": lambda path=path: read(path), "json": lambda path=path: json_load(path)},
                repeats=3 if size >= 1_000_000 else 5,
            )
            yield Row(
                "coco_read",
                f"{size:,} annotations ({path.stat().st_size / 2**20:.0f} MiB) into records",
                times["ours"].median_s,
                "s",
                f"json.load: {times['json'].median_s:.2f} s",
                times["ours"].median_s / times["json"].median_s,
                "at most 2",
            )
            ours, theirs = (peak_memory_mib(lambda work=work, path=path: work(path)) for work in (read, json_load))
            yield Row(
                "coco_read",
                f"{size:,} annotations, peak memory",
                ours,
                "MiB",
                f"json.load: {theirs:.0f} MiB",
                ours / theirs,
            )


def read(path: Path) -> int:
    """Every annotation as a record, one picture after another."""
    return sum(len(labels.annotations) for labels in CocoReader(path, ReadOptions()).pictures())


def json_load(path: Path) -> int:
    """The rival: dictionaries, unchecked."""
    with path.open(encoding="utf-8") as file:
        return len(json.load(file)["annotations"])


def write_coco(path: Path, annotations: int) -> None:
    """A file as annotation tools write it: areas, iscrowd, empty segmentations; eight boxes a picture."""
    images = annotations // PER_PICTURE
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"year": 2026}, "images": [')
        for index in range(images):
            image = {"id": index + 1, "file_name": f"rec/{index:06d}.jpg", "width": 1920, "height": 1080}
            file.write(("" if index == 0 else ", ") + json.dumps(image))
        file.write('], "annotations": [')
        for index in range(annotations):
            x, y, width, height = index % 1800 + 0.25, index % 1000 + 0.5, 20 + index % 97 / 8, 16 + index % 53 / 4
            entry = {
                "id": index + 1,
                "image_id": index // PER_PICTURE % images + 1,
                "category_id": index % 6 + 1,
                "bbox": [x, y, width, height],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "segmentation": [],
            }
            file.write(("" if index == 0 else ", ") + json.dumps(entry))
        categories = [{"id": index + 1, "name": f"class{index}"} for index in range(6)]
        file.write(f'], "categories": {json.dumps(categories)}}}')
