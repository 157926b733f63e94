"""Labels of pictures that are not there, or are not wanted, as a source of frames: sizes are what the labels state."""

from collections.abc import Collection, Iterator
from pathlib import Path

from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.problems import ProblemSink
from traffic_yolo.dataset.records import Frame, PictureLabels
from traffic_yolo.dataset.sources.files import FileSource, recording_of
from traffic_yolo.errors import LabelError


class LabelsOnlySource(FileSource):
    """As `FileSource`, but no picture is looked for or read: `frame.picture()` is b"".

    Where a label names neither recording nor folder, its split stands for the folder, for splits often number their
    pictures alike. Raises `LabelError` for a picture whose label states no size.
    """

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        return f"labels of {self.num_frames} pictures"

    def check_pictures(self, root: Path, names: Collection[str]) -> None:
        """Nothing: no picture is read."""
        del root, names

    def _survey(self) -> int:
        self._implied = 0
        return super()._survey()

    def _notes(self) -> list[str]:
        notes = super()._notes()
        if self._implied:
            what = "pictures that the label file implies and does not name (of a video): taken as without objects"
            notes.append(f"{self._implied} {what}")
        return notes

    def _located(self, on_problem: ProblemSink) -> Iterator[tuple[PictureLabels, Path, str, str]]:
        """(labels, where the picture would be, recording, scan) of every picture."""
        self._implied = 0
        root = self._reader.root
        for labels in self._reader.pictures(on_problem):
            if labels.image_wh is None:
                raise LabelError(
                    f"{labels.where}: labels_only takes the size of a picture from its label, which states none; give "
                    f"the pictures and leave labels_only out, or labels that state sizes (coco, cvat, voc, labelme)"
                )
            self._implied += labels.implied
            folder = root / "images" if "/" in labels.name else root / "images" / labels.own_split
            path = labels.path or folder / labels.name
            scan = path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name
            scan = labels.scan if labels.renamed else scan
            if (labels.where, path) in self._doubled:
                continue
            labels = self._empty_pictures.judged(labels)
            yield labels, path, labels.recording or recording_of(path, root), scan

    def _frame(self, labels: PictureLabels, path: Path, recording: str, scan: str) -> Frame | None:
        assert labels.image_wh is not None
        suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
        return self._made_frame(labels, (recording, scan), labels.image_wh, bytes, suffix)
