"""ATM recordings as a source of frames: human labels where there are some, else the device's own detections."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from traffic_yolo.atm.recording import RECORDING_SUFFIX, Recording, Scan, find_recordings
from traffic_yolo.dataset.coco import CocoImage, read_coco
from traffic_yolo.dataset.pictures import checked_picture_size
from traffic_yolo.dataset.records import Annotation, Frame, PictureKey
from traffic_yolo.errors import DatasetError, LabelError, StorageError


class AtmSource:
    """Recordings below a folder, with or without a COCO file of human labels.

    A label names its frame by `recording` and `scan` (number or group name), or by a file name
    `<recording>/<scan>.jpg`; `site` tells recordings of one name apart. The labels of a frame replace its device
    detections. A recording is called by its file's name, with the folder's before it where two have one name.
    `only`: see `open_source`.
    """

    may_split_pictures = False

    def __init__(self, root: Path, label_file: Path | None, *, only: Collection[str] | None = None) -> None:
        found = find_recordings(root)
        later = [path for path in found if only is not None and _relative(path, root) not in only]
        paths = [path for path in found if path not in set(later)]
        if not paths:
            raise StorageError(f"no recordings (*{RECORDING_SUFFIX}) below {root}")
        self.notes = [f"{len(later)} recordings newer than the snapshot left alone"] if later else []
        self.description = f"ATM, {len(paths)} recordings" + (", human labels" if label_file else "")
        self._label_file = label_file
        self._paths = _named(paths)
        self._survey()
        self.num_frames = sum(map(len, self._scans.values()))
        self._labels = self._read_labels(label_file) if label_file else {}
        self.keys = tuple(
            PictureKey(self._sites[recording], recording, scan_name(number)) for recording, number in self._labels
        )
        used = (a.class_name for image in self._labels.values() for a in image.annotations)
        self.default_classes = frozenset(used) if label_file else frozenset(self.classes)

    def frames(self) -> Iterator[Frame]:
        """Every scan that has a picture; scans without one are counted in `notes`."""
        without_picture = 0
        for name, path in self._paths.items():
            with Recording(path) as recording:
                for scan in recording.scans():
                    image = self._labels.get((name, scan.number))
                    if scan.jpeg is None or scan.image_wh is None:
                        if image is not None:
                            raise LabelError(f"{self._label_file}: labels {path} {scan.name}, which has no picture")
                        without_picture += 1
                        continue
                    yield self._frame(name, recording, scan, image)
        if without_picture:
            self.notes.append(f"{without_picture} scans without a picture left out")

    def _survey(self) -> None:
        """Opens every recording once, so that a broken one stops the run before anything is written."""
        self._sites: dict[str, str] = {}
        self._scans: dict[str, frozenset[int]] = {}
        classes: dict[str, None] = {}
        for name, path in self._paths.items():
            with Recording(path) as recording:
                self._sites[name] = recording.site
                self._scans[name] = frozenset(recording.scan_numbers)
                classes |= dict.fromkeys(recording.layout.classes[key] for key in sorted(recording.layout.classes))
        self.classes = tuple(classes)

    def _read_labels(self, label_file: Path) -> dict[tuple[str, int], CocoImage]:
        labels = read_coco(label_file)
        self.notes += labels.notes()
        # The label file's classes may go beyond the layout's: people name what the device cannot
        self.classes = tuple(dict.fromkeys([*self.classes, *labels.classes]))
        names: dict[str, list[str]] = {}
        for name, path in self._paths.items():
            for alias in {name, path.stem}:
                names.setdefault(alias, []).append(name)
        found: dict[tuple[str, int], CocoImage] = {}
        for image in labels.images:
            key = self._frame_key(image, names, f"{label_file}: image {image.fields['id']} ({image.file_name})")
            if key in found:
                raise LabelError(f"{label_file}: recording {key[0]} scan {key[1]} is labelled twice; keep one")
            found[key] = image
        return found

    def _frame_key(self, image: CocoImage, names: Mapping[str, Sequence[str]], where: str) -> tuple[str, int]:
        """(recording, scan number) of an entry; `LabelError` where there is no such frame on the share."""
        folder, _, file_name = image.file_name.rpartition("/")
        stated = str(image.fields.get("recording") or folder).rpartition("/")[2].removesuffix(RECORDING_SUFFIX)
        scan = str(image.fields.get("scan", file_name.partition(".")[0]))
        digits = scan.rpartition("_")[2]
        if not stated or not digits.isdecimal():
            raise LabelError(f"{where}: expected 'recording' and 'scan', found {stated!r} and {scan!r}")
        candidates = names.get(stated, ())
        if len(candidates) > 1:
            site = image.fields.get("site")
            candidates = [name for name in candidates if self._sites[name] == site]
            if len(candidates) != 1:
                raise LabelError(f"{where}: {', '.join(names[stated])} may be meant; give the image its 'site'")
        if not candidates:
            raise LabelError(f"{where}: no recording {stated} on the share; remove the label or add the recording")
        if int(digits) not in self._scans[candidates[0]]:
            raise LabelError(f"{where}: recording {stated} has no scan {int(digits)}; remove the label")
        return candidates[0], int(digits)

    def _frame(self, name: str, recording: Recording, scan: Scan, image: CocoImage | None) -> Frame:
        assert scan.jpeg is not None
        where = f"{recording.path} {scan.name}"
        width, height = checked_picture_size(scan.jpeg, what=where)
        if image is not None and (image.fields["width"], image.fields["height"]) != (width, height):
            stated = f"{image.fields['width']}x{image.fields['height']}"
            raise LabelError(f"{self._label_file}: {where} is {width}x{height} pixels, the label file says {stated}")
        return Frame(
            recording=name,
            scan=scan_name(scan.number),
            width=width,
            height=height,
            annotations=image.annotations if image is not None else tuple(_device_annotations(scan)),
            picture=partial(bytes, scan.jpeg),
            site=recording.site,
            camera=recording.camera,
            day=recording.day,
            labelled=image is not None,
            label_file=str(recording.path if image is None else self._label_file),
        )


def scan_name(number: int) -> str:
    """How a scan is called in a data set, whatever its layout calls the group."""
    return f"SCAN_{number:05d}"


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Recordings by name; `DatasetError` where the folder's name does not tell two of one name apart."""
    times = Counter(path.stem for path in paths)
    named: dict[str, Path] = {}
    for path in paths:
        name = path.stem if times[path.stem] == 1 else f"{path.absolute().parent.name}-{path.stem}"
        if name in named:
            raise DatasetError(f"two recordings are called {name}: {named[name]} and {path}; rename one")
        named[name] = path
    return named


def _relative(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _device_annotations(scan: Scan) -> Iterator[Annotation]:
    for detection in scan.detections:
        yield Annotation(
            detection.class_name,
            detection.xywh,
            label_source="device",
            confidence=detection.confidence,
            attributes=dict(detection.attributes),
        )
