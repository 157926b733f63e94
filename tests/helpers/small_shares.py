"""Small recordings and their labels, written with h5py alone, so that tests do not lean on the renderer."""

import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np

WIDTH, HEIGHT = 96, 72


def jpeg(seed: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A JPEG of noise; another seed gives other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(pixels, (width, height)))[1].tobytes()


def write_recording(path: Path, pictures: list[bytes | None], detections: list[list[float]] | None = None) -> Path:
    """A recording in layout atm220-2021; every scan has the same detections (class, confidence, h, w, x, y in 640x480)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([*(detections or []), [0.0] * 6], dtype=np.float64)
    with h5py.File(path, "w") as file:
        for number, data in enumerate(pictures):
            group = file.create_group(f"SCAN_{number:05d}")
            if data is not None:
                group["Image"] = np.frombuffer(data, dtype=np.uint8)
            group["AI"] = rows
            group["Object"] = np.zeros((0, 21))
    return path


class Share:
    """A folder of recordings and a COCO file of human labels that grows with `label`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recordings = root / "recordings"
        self.label_file = root / "labels.json"
        self.coco: dict[str, Any] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": i, "name": n} for i, n in enumerate(("BUS", "TRUCK", "LONG_TRUCK", "CAR"))],
        }

    def site(self, name: str, number: int, frames: int = 3, **options: Any) -> Path:
        """One recording of a site; none of its frames is labelled yet."""
        path = self.recordings / f"20210901_site{name}" / f"2021090112{number:02d}00_0.h5"
        return write_recording(path, [jpeg(100 * number + index) for index in range(frames)], **options)

    def label(self, recording: Path, scan: int, boxes: list[tuple[int, list[float]]], **image: Any) -> None:
        """Human labels of one frame: (category id, bbox)."""
        image_id = len(self.coco["images"]) + 1
        self.coco["images"].append(
            {
                "id": image_id,
                "file_name": f"{recording.stem}/SCAN_{scan:05d}.jpg",
                "width": WIDTH,
                "height": HEIGHT,
                "recording": recording.name,
                "scan": scan,
                **image,
            }
        )
        for category, box in boxes:
            self.annotation(image_id=image_id, category_id=category, bbox=box)

    def annotation(self, **fields: Any) -> None:
        """One annotation as it stands in the file."""
        self.coco["annotations"].append({"id": len(self.coco["annotations"]) + 1, "iscrowd": 0, **fields})

    def save(self) -> "Share":
        """Writes the label file."""
        self.label_file.write_text(json.dumps(self.coco))
        return self


def three_sites(root: Path) -> Share:
    """Three sites, one recording each, three labelled frames each."""
    built = Share(root)
    for number, name in enumerate("ABC"):
        recording = built.site(name, number, detections=[[3, 0.9, 48, 64, 64, 48], [3, 0.2, 40, 40, 8, 8]])
        for scan in range(3):
            built.label(recording, scan, [(3, [10.5, 8.25, 20, 16]), (0, [40, 20, 30.5, 40])])
    return built.save()
