"""Reads a data set folder: the pictures of a split with their boxes as arrays.

The COCO files are the truth; the YOLO text beside them is for other programs.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.dataset.coco_entries import CocoEntries
from traffic_yolo.dataset.manifest import CLASSES_NAME, MANIFEST_NAME, why_no_manifest
from traffic_yolo.dataset.records import ALL, SPLITS
from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.dataset.store.opening import folder_of, held, source_folder
from traffic_yolo.errors import DatasetError
from traffic_yolo.messages import shown
from traffic_yolo.page_origin import Subject, folder_subject
from traffic_yolo.storage import AnyPath, input_path, output_path, read_json, read_yaml, sha256_of_file

SCHEMA_VERSION = 1
NO_CLASS = -1


def is_data_set(location: str) -> bool:
    """Whether a path is a folder that `convert` wrote, or refers to one; `StorageError` where nothing is there."""
    folder = source_folder(location)
    return all((folder / name).is_file() for name in (MANIFEST_NAME, CLASSES_NAME))


@dataclass(frozen=True)
class LabelledImage:
    """One picture of a split. Boxes in picture pixels, not clipped; the four arrays have one row for each box.

    `boxes_xyxy` (n, 4) float32, `class_ids` (n,) int64 into the data set's classes, `ignore` (n,) bool and `is_crowd`
    (n,) bool: boxes that neither reward nor punish a detector. An ignored box of a class that is none of the data set's
    has `NO_CLASS` as its class id.
    """

    image_id: int
    path: Path
    file_name: str
    width: int
    height: int
    site: str
    recording: str
    boxes_xyxy: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    is_crowd: NDArray[np.bool_]


def category_id(class_id: int) -> int:
    """COCO's category id of a class: 1-based, because many readers of COCO files take 0 for the background."""
    return class_id + 1


@dataclass(frozen=True)
class DataSet:
    """A data set folder as `convert` writes it (docs/architecture.md, Artifacts).

    `root`: where its files lie. `by_reference`: whether that is a store, where others could have changed them.
    """

    root: Path
    classes: tuple[str, ...]
    manifest: dict[str, Any]
    by_reference: bool = False

    @classmethod
    def open(cls, root: AnyPath) -> "DataSet":
        """Reads manifest and classes; a reference (`dataset.reference`) is followed.

        A data set in a store stays there for as long as this process lives, and is made again where it is gone. Raises
        `DatasetError` where the folder is missing or not a data set, its classes are not those that the manifest
        states, it has not the content that a reference says, or it is gone and cannot be made again.
        """
        folder = input_path(root, what="data set")
        reference = DatasetReference.of(folder)
        if reference is None:
            return cls._in(held(folder))
        if reference.stored is None:
            found = cls._in(folder_of(reference))
        else:
            reference.stored.check_manifest(folder / MANIFEST_NAME)
            found = cls._in(folder_of(reference), folder)
        reference.check(found.fingerprint)
        return found

    @classmethod
    def _in(cls, folder: Path, referring: Path | None = None) -> "DataSet":
        """The data set in `folder`; by the manifest in the folder that refers to it, where there is one."""
        if not folder.is_dir():
            raise DatasetError(f"data set not found: {folder}; give the folder that convert wrote")
        manifest_path = (referring or folder) / MANIFEST_NAME
        for path in (manifest_path, folder / CLASSES_NAME):
            if not path.is_file():
                raise DatasetError(f"{path.parent}: {path.name} is missing; is this a folder that convert wrote?")
        manifest = read_json(manifest_path, what="manifest", error=DatasetError)
        version = manifest.get("schema_version") if isinstance(manifest, dict) else None
        if version != SCHEMA_VERSION or not isinstance(manifest.get("fingerprint"), str):
            expected = f"schema version {SCHEMA_VERSION} and a fingerprint"
            raise DatasetError(f"{manifest_path}: expected {expected}, found version {shown(version)}; convert again")
        if reason := why_no_manifest(manifest):
            raise DatasetError(f"{manifest_path}: not a manifest of ours: {reason}; convert again")
        classes = _read_classes(folder / CLASSES_NAME)
        data_set = cls(root=folder, classes=classes, manifest=manifest, by_reference=referring is not None)
        data_set._check_unchanged(CLASSES_NAME)
        return data_set

    @property
    def fingerprint(self) -> str:
        """Hash of the content: pictures, labels, classes and split; the same wherever the folder lies."""
        return str(self.manifest["fingerprint"])

    def subject(self, folder: AnyPath | None) -> Subject:
        """What a page says of it that lies in `folder`: where it is, and which content."""
        return folder_subject("data set", self.root, self.fingerprint, output_path(folder) if folder else None)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it has, empty ones too; `all` alone where it was converted without splits."""
        return tuple(self.manifest.get("counts", SPLITS))

    @property
    def labels_only(self) -> bool:
        """Whether it was converted without its pictures."""
        return bool(self.manifest.get("labels_only", False))

    def coco_path(self, split: str) -> Path:
        """The COCO file of one split. Raises `DatasetError` where its bytes are not those that the manifest states."""
        self._check_split(split)
        name = f"annotations/instances_{split}.json"
        self._check_unchanged(name)
        return self.root / name

    def split(self, split: str, *, missing_files: bool = False) -> list[LabelledImage]:
        """The pictures of one split in the order of their ids, none for an empty split.

        `missing_files`: files that are not there are left to the reader, who may skip them; not of a data set by
        reference, all of whose pictures must be there in their size.

        Raises `DatasetError` for a picture that is missing, for a COCO file that is not the manifest's, for an entry
        that is not as it should be (`CocoEntries`), and for a data set of labels only.
        """
        path = self.coco_path(split)
        if self.labels_only:
            raise DatasetError(f"{self.root}: converted with labels_only, it has no pictures; convert again with them")
        coco = CocoEntries.of(
            read_json(path, what=f"labels of split {split}", error=DatasetError),
            path,
            image_keys=("id", "file_name", "width", "height"),
        )
        class_ids = self._class_ids(coco, path)
        boxes_xyxy = xywh_to_xyxy(coco.boxes_xywh).astype(np.float32)
        order = np.argsort(coco.pictures, kind="stable")
        ends = np.searchsorted(coco.pictures[order], np.arange(1, len(coco.images)))
        images = []
        for image, image_id, rows in zip(coco.images, coco.image_ids.tolist(), np.split(order, ends), strict=False):
            name = PurePosixPath(image["file_name"])
            picture = self.root / "images" / name
            leads_out = name.is_absolute() or ".." in name.parts
            if self.by_reference and not leads_out:
                self._check_size(picture, f"images/{name}")
            elif leads_out or not (missing_files or picture.is_file()):
                raise DatasetError(f"picture not found: {picture}; {path.name} names it; convert again")
            images.append(
                LabelledImage(
                    image_id=image_id,
                    path=picture,
                    file_name=image["file_name"],
                    width=int(image["width"]),
                    height=int(image["height"]),
                    site=str(image.get("site") or ""),
                    recording=str(image.get("recording") or ""),
                    boxes_xyxy=boxes_xyxy[rows],
                    class_ids=class_ids[rows],
                    ignore=coco.ignore[rows],
                    is_crowd=coco.is_crowd[rows],
                )
            )
        return images

    @cached_property
    def num_images(self) -> dict[str, int]:
        """Pictures of each split, from the manifest; `DatasetError` where it does not count them."""
        if "counts" not in self.manifest:
            raise DatasetError(f"{self.root / MANIFEST_NAME}: counts is missing; convert again")
        return {split: int(self.manifest["counts"][split]["images"]) for split in self.splits}

    @property
    def filled_splits(self) -> str:
        """Which splits have pictures and how to convert into others, for the message about one that has none."""
        filled = ", ".join(split for split, count in self.num_images.items() if count)
        return f"only {filled or 'none'} has any; convert with other splits (shares such as 0.8/0.1/0.1) or val_sites"

    @cached_property
    def _stated(self) -> dict[str, str]:
        """SHA-256 of the files that say what is true, by path below the folder: annotations and classes."""
        files = self.manifest.get("files")
        stated = {}
        for entry in files if isinstance(files, list) else []:
            path = entry.get("path") if isinstance(entry, dict) else None
            if isinstance(path, str) and (path == CLASSES_NAME or path.startswith("annotations/")):
                stated[path] = str(entry.get("sha256"))
        return stated

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Bytes of each file, by its path below the folder."""
        return {entry["path"]: entry["size"] for entry in self.manifest["files"]}

    def _check_size(self, picture: Path, name: str) -> None:
        """Raises `DatasetError` unless a picture of a store is there with as many bytes as it was written with."""
        try:
            found = f"{picture.stat().st_size} bytes"
        except FileNotFoundError:
            found = "nothing"
        if found != (expected := f"{self._sizes.get(name)} bytes"):
            raise DatasetError(
                f"{picture}: expected {expected}, found {found}; somebody has changed the data set that is kept there: "
                f"move {self.root.name} out of the store, and run again: it is made anew"
            )

    def _check_split(self, split: str) -> None:
        if split in self.splits:
            return
        if split in SPLITS:
            raise DatasetError(
                f"{self.root}: no split {split!r}, for it was converted with splits none; ask for split {ALL!r}, or "
                f"convert it into splits"
            )
        raise DatasetError(f"split {split!r}: expected one of {', '.join(self.splits)}")

    def _check_unchanged(self, name: str) -> None:
        """Raises `DatasetError` where the file `name` below the folder is not the one that the manifest states."""
        path = self.root / name
        if not path.is_file():
            raise DatasetError(f"{path} is missing; convert again")
        found, stated = sha256_of_file(path), self._stated.get(name)
        if stated is None:
            raise DatasetError(f"{self.root / MANIFEST_NAME}: states no SHA-256 of {name}; convert again")
        if found != stated:
            raise DatasetError(
                f"{path} is not the file that convert wrote: the manifest states SHA-256 {stated:.12}…, found "
                f"{found:.12}…; to keep corrected labels, convert this folder as a source: traffic-yolo convert "
                f"--source {self.root} --out NEW"
            )

    def _class_ids(self, coco: CocoEntries, path: Path) -> NDArray[np.int64]:
        """(G,): class of each annotation, `NO_CLASS` of an ignored one whose category comes after the classes."""
        names = {int(category["id"]): category["name"] for category in coco.categories}
        for class_id, name in enumerate(self.classes):
            if names.get(category_id(class_id)) != name:
                raise DatasetError(
                    f"{path}: category {category_id(class_id)}: expected {name!r}, as {CLASSES_NAME} has it; found "
                    f"{names.get(category_id(class_id))!r}; convert again"
                )
        class_ids = coco.category_ids - category_id(0)
        foreign = (class_ids < 0) | (class_ids >= len(self.classes))
        class_ids[foreign] = NO_CLASS
        foreign &= ~coco.ignore  # a crowd is one of a class, in the truth as well
        if foreign.any():
            entry = coco.annotations[int(np.flatnonzero(foreign)[0])]
            raise DatasetError(
                f"{path}: annotation {entry['id']}: category_id: expected 1 to {len(self.classes)} of a box that is "
                f"not ignored; found {entry['category_id']}; convert again"
            )
        return class_ids


def _read_classes(path: Path) -> tuple[str, ...]:
    described = read_yaml(path, what="classes of the data set", error=DatasetError)
    classes = described.get("classes") if isinstance(described, dict) else None
    if not isinstance(classes, list) or not classes:
        raise DatasetError(f"{path}: expected a list of class names under 'classes'")
    return tuple(map(str, classes))
