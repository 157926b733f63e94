"""A copy of a data set whose pictures show no plates and no heads: labels as they are, pictures blurred and new.

What is private lies where boxes are: in parts of those of the data set, or where a label file says so. The blur itself
is `privacy_blur`'s.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.dataset.anonymize_options import AnonymizeOptions
from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.frame_spool import FileEntry
from traffic_yolo.dataset.manifest import MANIFEST_NAME, Fingerprint, file_entry
from traffic_yolo.dataset.pictures.decode import decode_rgb
from traffic_yolo.dataset.pictures.headers import PNG_SIGNATURE
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES, PNG_EFFORT
from traffic_yolo.dataset.pictures.privacy_blur import blurred, names_of
from traffic_yolo.dataset.sources.label_formats import open_labels
from traffic_yolo.errors import DatasetError, LabelError
from traffic_yolo.html_report import page, paragraph, picture, pictures
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.page_origin import SHORT_HASH, About, Subject
from traffic_yolo.processes import in_processes
from traffic_yolo.processors import processors
from traffic_yolo.progress import progress
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    check_new_folder,
    existing_path,
    output_path,
    read_json,
    sha256_of_file,
    write_json,
)

REPORT_NAME = "report.html"
MOST_PROCESSES, FEW_PICTURES = 8, 200
SAMPLES, SAMPLE_WIDTH = 6, 640
COPIED_BESIDE = ("splits.yaml", "report.json")  # files that the manifest does not list, and no picture is in

Boxes = NDArray[np.float64]
Given = Mapping[tuple[str, str], Boxes]


@dataclass(frozen=True)
class AnonymizeSummary:
    """What came of it: pictures in all, those that were blurred, those without a box, and the new fingerprint."""

    num_pictures: int
    num_blurred: int
    num_unmarked: int
    fingerprint: str

    @property
    def text(self) -> str:
        """For a terminal."""
        lines = [f"{self.num_pictures} pictures, {self.num_blurred} with something blurred"]
        if self.num_unmarked:
            what = "pictures have no box, and are as they were: what nobody marked is not blurred"
            lines.append(f"note: {self.num_unmarked} {what}")
        return "\n".join(lines)


def anonymize(options: AnonymizeOptions, out: AnyPath) -> AnonymizeSummary:
    """Writes the data set folder `out`, which appears whole or not at all.

    Labels, lists and splits are the same bytes; a picture with something to blur is encoded anew (JPEG, or PNG where it
    is one), without what cameras write beside the pixels; the others are copied. The manifest has new checksums, a new
    fingerprint, and the old one as `parent_fingerprint`. The old report is left out, for it shows pictures. Raises
    `DatasetError` for what is no data set, is not what its manifest states, has no pictures or one that does not
    decode; `LabelError` for given boxes of a picture that the data set does not have.
    """
    target = output_path(out)
    check_new_folder(target)
    data = DataSet.open(options.dataset)
    if data.labels_only:
        raise DatasetError(f"{shown(options.dataset)}: converted with labels_only, it has no pictures to blur")
    images = [image for split in data.splits for image in data.split(split)]
    given = _given(options, images) if options.boxes else {}
    with atomic_folder(target) as folder:
        listed = {entry["path"]: FileEntry(entry["size"], entry["sha256"]) for entry in data.manifest["files"]}
        shown_pictures = {f"images/{image.file_name}" for image in images}
        _check_listed(data, listed, shown_pictures)
        count = 1 if len(images) < FEW_PICTURES else min(processors(), MOST_PROCESSES)
        jobs = [partial(_written, data, images[index::count], given, options, folder, listed) for index in range(count)]
        done = in_processes(jobs)
        entries = dict(entry for part in done for entry in part[0].items())
        tally = sum((part[1] for part in done), Counter[str]())
        for path, entry in progress(listed.items(), description="copy", unit="file"):
            if path not in shown_pictures:
                entries[path] = _copied(data.root / path, folder / path, entry)
        fingerprint = Fingerprint()
        for path in listed:
            fingerprint.add(path, entries[path].sha256)
        _write_manifest(data, folder, {path: entries[path] for path in listed}, fingerprint.hexdigest, options)
        for name in COPIED_BESIDE:
            if (data.root / name).is_file():
                shutil.copyfile(data.root / name, folder / name)
        summary = AnonymizeSummary(len(images), tally["blurred"], tally["unmarked"], fingerprint.hexdigest)
        (folder / REPORT_NAME).write_text(_report(folder, images, summary, options, data.fingerprint), encoding="utf-8")
    return summary


def _check_listed(data: DataSet, listed: Mapping[str, FileEntry], named: set[str]) -> None:
    """Raises `DatasetError` for a picture below `images/` that no label file names: nobody would blur it."""
    kept = {path for path in listed if path.startswith("images/") and Path(path).suffix.lower() in PICTURE_SUFFIXES}
    if kept != named:
        other = sorted(kept ^ named)[0]
        where = "the manifest" if other in kept else "the labels"
        raise DatasetError(
            f"{data.root / other}: expected in manifest and labels, found in {where} alone; convert again"
        )


def _given(options: AnonymizeOptions, images: Sequence[LabelledImage]) -> Given:
    """Boxes (n, 4) xyxy in pixels by the picture's `_key`; labels that name no folder are found by the name alone."""
    reader = open_labels(existing_path(options.boxes, what="boxes"), options.boxes_format, ReadOptions())
    known = {_key(image.file_name): (image.width, image.height) for image in images}
    by_stem: dict[str, list[tuple[str, str]]] = {}
    for key in known:
        by_stem.setdefault(key[1], []).append(key)
    found: dict[tuple[str, str], list[Boxes]] = {}
    for labels in reader.pictures():
        key = _key(labels.name)
        named = [key, (labels.recording, key[1])]
        candidates = [one for one in dict.fromkeys(named) if one in known][:1]
        if not candidates and not key[0]:
            candidates = by_stem.get(key[1], [])
        if len(candidates) != 1:
            reason = f"{len(candidates)} pictures are called so" if candidates else "it has no such picture"
            expected = f"expected a picture of {shown(options.dataset)}"
            raise LabelError(f"{labels.where}: {expected}, found {shown(labels.name)}: {reason}")
        xywh = np.array([box.xywh for box in labels.in_pixels(known[candidates[0]])], np.float64).reshape(-1, 4)
        found.setdefault(candidates[0], []).append(xywh_to_xyxy(xywh).astype(np.float64))
    if not any(len(boxes) for several in found.values() for boxes in several):
        raise LabelError(f"{shown(options.boxes)}: expected boxes, found none")
    return {key: np.concatenate(several) for key, several in found.items()}


def _key(name: str) -> tuple[str, str]:
    """(folder, name without suffix) of a picture's path."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name
    return "/".join(path.parts[:-1]).removeprefix("images/"), stem


def _written(
    data: DataSet,
    images: Sequence[LabelledImage],
    given: Given,
    options: AnonymizeOptions,
    folder: Path,
    listed: Mapping[str, FileEntry],
) -> tuple[dict[str, FileEntry], Counter[str]]:
    """Writes these pictures below `folder`; their entries for the manifest, counts of blurred and of unmarked ones."""
    entries: dict[str, FileEntry] = {}
    tally: Counter[str] = Counter()
    for image in progress(images, description="blur", unit="picture"):
        path = f"images/{image.file_name}"
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        own = image.boxes_xyxy.astype(np.float64) if options.parts else np.zeros((0, 4))
        names = names_of(image.class_ids.tolist(), data.classes) if options.parts else []
        more = given.get(_key(image.file_name), np.zeros((0, 4)))
        if not len(own) and not len(more):
            tally["unmarked"] += 1
            entries[path] = _copied(image.path, target, listed[path])
            continue
        before = _checked_bytes(image.path, listed[path])
        pixels = decode_rgb(before, what=str(image.path))
        found = blurred(pixels, np.concatenate([own, more]), [*names, *[""] * len(more)])
        tally["blurred"] += bool((found != pixels).any())
        target.write_bytes(_encoded(found, before, options.quality))
        entries[path] = file_entry(target)
    return entries, tally


def _encoded(rgb: NDArray[np.uint8], before: bytes, quality: int) -> bytes:
    if before.startswith(PNG_SIGNATURE):
        suffix, how = ".png", PNG_EFFORT
    else:
        suffix, how = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), how)[1].tobytes()


def _checked_bytes(path: Path, entry: FileEntry) -> bytes:
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        stated = f"SHA-256 {entry.sha256:.12}… as in the manifest"
        raise DatasetError(f"{path}: expected {stated}, found {found:.12}…; convert again")
    return data


def _copied(source: Path, target: Path, entry: FileEntry) -> FileEntry:
    """Copies a file, which must be what the manifest states."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise DatasetError(f"{source} is missing, the manifest has it; convert again") from error
    found = sha256_of_file(target)
    if found != entry.sha256:
        stated = f"SHA-256 {entry.sha256:.12}… as in the manifest"
        raise DatasetError(f"{source}: expected {stated}, found {found:.12}…; convert again")
    return entry


def _write_manifest(
    data: DataSet, folder: Path, entries: Mapping[str, FileEntry], fingerprint: str, options: AnonymizeOptions
) -> None:
    files = [{"path": path, "size": entry.size, "sha256": entry.sha256} for path, entry in entries.items()]
    said: dict[str, Any] = {
        "parts": options.parts,
        "boxes": os.path.basename(options.boxes),
        "quality": options.quality,
    }
    manifest = {**data.manifest, "fingerprint": fingerprint, "parent_fingerprint": data.fingerprint, "anonymized": said}
    write_json(folder / MANIFEST_NAME, {**{key: manifest[key] for key in manifest if key != "files"}, "files": files})


def _report(
    folder: Path, images: Sequence[LabelledImage], summary: AnonymizeSummary, options: AnonymizeOptions, parent: str
) -> str:
    """What was blurred, with the pictures that have most boxes, as they are now; `parent`: the set that was copied."""
    most = sorted(images, key=lambda image: (-len(image.boxes_xyxy), image.file_name))[:SAMPLES]
    samples = []
    for image in most:
        pixels = decode_rgb((folder / "images" / image.file_name).read_bytes(), what=image.file_name)
        height = max(1, round(pixels.shape[0] * SAMPLE_WIDTH / pixels.shape[1]))
        small = cv2.resize(pixels, (SAMPLE_WIDTH, height), interpolation=cv2.INTER_AREA)
        samples.append(picture(_encoded(np.asarray(small, np.uint8), b"", 80), image.file_name))
    by = [*(["parts of the boxes of vehicles and people"] if options.parts else []),
          *([f"the boxes of {os.path.basename(options.boxes)}"] if options.boxes else [])]  # fmt: skip
    lines = [f"Blurred by {shown_names(by)}.", *summary.text.splitlines(), f"Fingerprint {summary.fingerprint}."]
    described = read_json(folder / "report.json", what="report") if (folder / "report.json").is_file() else {}
    lines += [f"As converted: {note}" for note in described.get("notes", [])]
    head = "".join(paragraph(line) for line in lines)
    fingerprints = (("data set", summary.fingerprint), ("copy of", parent))
    about = tuple(Subject(what, f"fingerprint {digest[:SHORT_HASH]}") for what, digest in fingerprints)
    sections = [("", head), ("Pictures with most boxes", pictures(samples))]
    return page("Anonymous copy of a data set", sections, about=About(about))
