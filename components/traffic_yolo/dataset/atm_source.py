"""ATM recordings as a source of frames: human labels where there are some, else the device's own detections."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from traffic_yolo.atm.jpeg import check_jpeg_complete
from traffic_yolo.atm.recording import RECORDING_SUFFIX, Recording, Scan, find_recordings
from traffic_yolo.dataset.coco import CocoImage, read_coco
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.errors import DatasetError, LabelError, RecordingError, StorageError


class AtmSource:
    """Recordings below a folder, with or without a COCO file of human labels.

    A label names its frame by `recording` and `scan` (number or group name), or by a file name
    `<recording>/<scan>.jpg`. The labels of a frame replace its device detections. Frames carry
    `attributes["labels"]`: "human" or "device".
    """

    def __init__(self, root: Path, label_file: Path | None) -> None:
        self._paths = find_recordings(root)
        if not self._paths:
            raise StorageError(f"no recordings (*{RECORDING_SUFFIX}) below {root}")
        self.notes: list[str] = []
        self.fixed_splits: frozenset[str] = frozenset()
        self.description = f"ATM, {len(self._paths)} recordings" + (", human labels" if label_file else "")
        self._label_file = label_file
        self._sites: dict[str, str] = {}
        self._scans: dict[str, tuple[int, ...]] = {}
        self._survey()
        self.num_frames = sum(map(len, self._scans.values()))
        self._labels = self._read_labels(label_file) if label_file else {}
        annotations = (a for image in self._labels.values() for a in image.annotations)
        self.labelled_classes = frozenset(annotation.class_name for annotation in annotations)

    def groups(self) -> Counter[tuple[str, str]]:
        """(site, recording) -> labelled pictures."""
        return Counter((self._sites[recording], recording) for recording, _ in self._labels)

    def frames(self) -> Iterator[Frame]:
        """Every scan that has a picture; scans without one are counted in `notes`."""
        without_picture = 0
        for path in self._paths:
            with Recording(path) as recording:
                for scan in recording.scans():
                    image = self._labels.get((recording.name, scan.number))
                    if scan.jpeg is None or scan.image_wh is None:
                        if image is not None:
                            raise LabelError(f"{self._label_file}: labels {path} {scan.name}, which has no picture")
                        without_picture += 1
                        continue
                    yield self._frame(recording, scan, image)
        if without_picture:
            self.notes.append(f"{without_picture} scans without a picture left out")

    def _survey(self) -> None:
        """Opens every recording once, so that a broken one stops the run before anything is written."""
        classes: dict[str, None] = {}
        for path in self._paths:
            with Recording(path) as recording:
                if recording.name in self._scans:
                    raise DatasetError(f"two recordings are called {recording.name}: {path}; rename one")
                self._sites[recording.name] = recording.site
                self._scans[recording.name] = recording.scan_numbers
                classes |= dict.fromkeys(recording.layout.classes[key] for key in sorted(recording.layout.classes))
        self.classes = tuple(classes)

    def _read_labels(self, label_file: Path) -> dict[tuple[str, int], CocoImage]:
        labels = read_coco(label_file)
        if labels.degenerate:
            self.notes.append(f"{label_file.name}: {labels.degenerate} boxes without area left out")
        # The label file's classes may go beyond the layout's: people name what the device cannot
        self.classes = tuple(dict.fromkeys([*self.classes, *labels.classes]))
        found: dict[tuple[str, int], CocoImage] = {}
        for image in labels.images:
            key = self._frame_key(image, label_file)
            if key in found:
                raise LabelError(f"{label_file}: recording {key[0]} scan {key[1]} is labelled twice; keep one")
            found[key] = image
        return found

    def _frame_key(self, image: CocoImage, label_file: Path) -> tuple[str, int]:
        """(recording, scan number) of an entry; `LabelError` where there is no such frame on the share."""
        folder, _, stem = image.file_name.rpartition("/")
        recording = str(image.fields.get("recording") or folder.rpartition("/")[2]).removesuffix(RECORDING_SUFFIX)
        scan = str(image.fields.get("scan", stem.partition(".")[0]))
        digits = scan.rpartition("_")[2]
        where = f"{label_file}: image {image.fields['id']} ({image.file_name})"
        if not digits.isdecimal():
            raise LabelError(f"{where}: expected 'recording' and 'scan', found {recording!r} and {scan!r}")
        if recording not in self._scans:
            raise LabelError(f"{where}: no recording {recording} on the share; remove the label or add the recording")
        if int(digits) not in self._scans[recording]:
            raise LabelError(f"{where}: recording {recording} has no scan {int(digits)}; remove the label")
        return recording, int(digits)

    def _frame(self, recording: Recording, scan: Scan, image: CocoImage | None) -> Frame:
        assert scan.jpeg is not None
        assert scan.image_wh is not None
        width, height = scan.image_wh
        where = f"{recording.path} {scan.name}"
        try:
            check_jpeg_complete(scan.jpeg, what=where)
        except RecordingError as error:
            raise DatasetError(str(error)) from error
        if image is not None and (image.fields["width"], image.fields["height"]) != (width, height):
            stated = f"{image.fields['width']}x{image.fields['height']}"
            raise LabelError(f"{self._label_file}: {where} is {width}x{height} pixels, the label file says {stated}")
        return Frame(
            recording=recording.name,
            scan=scan.name,
            width=width,
            height=height,
            annotations=image.annotations if image is not None else tuple(_device_annotations(scan)),
            picture=partial(bytes, scan.jpeg),
            site=recording.site,
            camera=recording.camera,
            day=recording.day,
            attributes={"labels": "human" if image is not None else "device"},
        )


def _device_annotations(scan: Scan) -> Iterator[Annotation]:
    for detection in scan.detections:
        yield Annotation(
            detection.class_name,
            detection.xywh,
            label_source="device",
            confidence=detection.confidence,
            attributes=dict(detection.attributes),
        )
