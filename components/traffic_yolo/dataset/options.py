"""What a user may choose about a conversion; the names are those of the command line and of the KFP component."""

from dataclasses import dataclass, field, fields
from typing import Any

from traffic_yolo.dataset.pictures.choice import PictureChoice
from traffic_yolo.dataset.splits.choice import AUTO, SplitChoice
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.options import LocationUse, changed, check_options, option
from traffic_yolo.snapshot.options import RecordingsChoice
from traffic_yolo.storage import check_scheme, is_s3, shown

ATM_FORMAT = "atm-h5"
SOURCE_LIST = "sources"  # a YAML file that lists several
# The keys of label_formats.LABEL_FORMATS, which is heavy to import
LABEL_FORMAT_NAMES = ("coco", "yolo", "cvat", "voc", "labelme", "kitti", "labelstudio", "mot", "mapped")
SOURCE_FORMATS = ("auto", ATM_FORMAT, *LABEL_FORMAT_NAMES, SOURCE_LIST)
LABELS_FORMATS = ("auto", *LABEL_FORMAT_NAMES)
LABEL_SOURCE_WORDS = ("stated", "human")
VOC_ORIGINS = ("auto", "0", "1")
WRITTEN_FORMATS = ("coco", "yolo", "kitti", "cvat", "labelstudio", "mot")  # the keys of label_writers.LABEL_WRITERS
FRAME_WORDS = ("all", "labelled", "unlabelled")
DEVICE_LABELS = ("never", "train")


def _option(
    default: str,
    help_text: str,
    choices: tuple[str, ...] = (),
    *,
    alias: str = "",
    headline: bool = False,
    location: LocationUse = "",
) -> Any:
    return option(default, help_text, choices=choices, alias=alias, headline=headline, location=location)


@dataclass(frozen=True)
class SourceChoice(RecordingsChoice):
    """Where frames come from, and how what lies there is read. Raises `OptionsError` for values that make no sense."""

    source_format: str = _option("auto", "What the source is.", SOURCE_FORMATS, alias="--format")
    labels_format: str = _option("auto", "What the label file is.", LABELS_FORMATS)
    mapping: str = _option("", "YAML file that says where a JSON or CSV label file has what.", location="read")
    label_source: str = _option(
        "stated", "Who drew the labels: whom the file states, or a human (pre-labels that were corrected).",
        LABEL_SOURCE_WORDS,
    )  # fmt: skip
    label_encoding: str = _option(
        "auto", "Encoding of labels that are text: cp949, gb18030 ...; auto: UTF-8, else a guess that is said."
    )
    voc_origin: str = _option(
        "auto", "Pixel from which VOC corners count; auto: what most of the folder's files show.", VOC_ORIGINS
    )
    every: int = option(1, "Of the labelled frames of a video file, take the first and every N-th after it.", least=1)


@dataclass(frozen=True)
class SiftedSource(SourceChoice):
    """A source of which what is bad may be put aside. Raises `OptionsError` for values that make no sense."""

    quarantine: str = option(
        "",
        "Folder for bad scans, pictures and labels, with the reason of each; the rest is taken. Empty: they end it.",
        location="write",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_folder(self.quarantine, "quarantine", "a quarantine holds files for people to mend")


@dataclass(frozen=True)
class ExportOptions(SiftedSource):
    """One export of labels. Raises `OptionsError` when made with values that make no sense."""

    to: str = _option("cvat", "Format to write.", WRITTEN_FORMATS)
    class_map: str = _option(
        "", "YAML file that renames, merges, drops or ignores classes; empty: as they are.", location="read"
    )
    frames: str = _option("all", "Which frames: all, those that humans labelled, or the others.", FRAME_WORDS)
    min_confidence: float = field(
        default=0.0, metadata={"help": "Labels of devices and models with less confidence are left out."}
    )
    copy_pictures: bool = field(default=False, metadata={"help": "Copy the pictures beside the labels."})
    fail_on: str = _option(
        "error", "What readers find that ends the export: error, warning, info, never, or names of checks, with commas."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_confidence(self.min_confidence)


@dataclass(frozen=True)
class ConvertOptions(PictureChoice, SiftedSource):
    """One conversion. Raises `OptionsError` when made with values that make no sense."""

    class_map: str = _option(
        "", "YAML file that renames, merges, drops or ignores classes.", headline=True, location="read"
    )
    val_sites: str = _option("", "Comma-separated sites of the validation split; empty: a hash chooses.", headline=True)
    test_sites: str = _option("", "Comma-separated sites of the test split; empty: a hash chooses.", headline=True)
    splits: str = option(
        AUTO,
        "auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.",
        headline=True,
    )
    labels_only: bool = option(False, "Write labels alone; sizes are the labels' own where pictures are in files.")
    device_labels: str = _option(
        "never", "Use labels of devices and models for training frames that no human labelled.", DEVICE_LABELS
    )
    min_confidence: float = field(
        default=0.5, metadata={"help": "Labels of devices and models with less confidence are not used."}
    )
    policy: str = _option(
        "",
        "YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.",
        headline=True,
        location="read",
    )
    data_store: str = _option(
        "",
        "Folder that keeps data sets, such as nas://.data-sets, so that steps hand on a reference; empty: they hand on "
        "the pictures.",
        headline=True,
        location="write",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_folder(self.data_store, "data_store", "readers of a data set need files, which object storage has not")
        check_confidence(self.min_confidence)
        whole = self.split_choice.whole
        if whole and (self.val_sites or self.test_sites):
            raise OptionsError(f"splits {self.splits} puts all into one: leave val_sites and test_sites out")
        both = set(self.val_site_names) & set(self.test_site_names)
        if both:
            raise OptionsError(f"a site is in one split only: {', '.join(sorted(both))} is in val_sites and test_sites")

    @property
    def split_choice(self) -> SplitChoice:
        """`splits` taken apart."""
        return SplitChoice.parse(self.splits)

    @property
    def val_site_names(self) -> tuple[str, ...]:
        """`val_sites` taken apart."""
        return _names(self.val_sites)

    @property
    def test_site_names(self) -> tuple[str, ...]:
        """`test_sites` taken apart."""
        return _names(self.test_sites)


@dataclass(frozen=True)
class DataSetChoice(ConvertOptions):
    """A data set that is there, or what one is converted of. Raises `OptionsError` for both, and for neither."""

    source: str = option(
        "",
        "Recordings, or a data set, to be converted first: a folder, or its label file. In the place of dataset.",
        headline=True,
        location="read",
    )
    dataset: str = option(
        "",
        "Data set folder that convert wrote, which is read where it lies.",
        headline=True,
        location="read",
    )

    def __post_init__(self) -> None:
        if not self.dataset:
            if not self.source:
                raise OptionsError("dataset: expected a data set, or a source to convert, found neither")
            super().__post_init__()
            return
        check_options(self)
        given = [name for name in changed(self) if name not in ("dataset", "pictures")]
        if given:
            raise OptionsError(
                f"dataset: it is taken as it was converted, {given[0]} would be without effect; leave one of them out"
            )

    def convert_options(self) -> ConvertOptions:
        """The conversion of `source`."""
        return ConvertOptions(**{each.name: getattr(self, each.name) for each in fields(ConvertOptions)})


def _check_folder(location: str, name: str, why: str) -> None:
    """Whether it is there, and may be written, is for the machine that converts to say."""
    if not location:
        return
    try:
        check_scheme(location)
    except StorageError as error:
        raise OptionsError(f"{name}: {error}") from error
    if is_s3(location):
        raise OptionsError(f"{name}: {shown(location)}: {why}; give a path or nas://")


def check_confidence(value: float) -> None:
    """Raises `OptionsError` for a least confidence that is none."""
    if not 0 <= value <= 1:
        raise OptionsError(f"min_confidence: expected a number in [0, 1], found {value}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
