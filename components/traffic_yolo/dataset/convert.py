"""Makes a data set folder of a source: pictures byte for byte, COCO and YOLO labels, splits, manifest, report."""

from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.folder_writer import FolderWriter
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.records import SPLITS
from traffic_yolo.dataset.report import Report, report_markdown
from traffic_yolo.dataset.sources import Source, open_source
from traffic_yolo.dataset.split_plan import plan_splits
from traffic_yolo.errors import DatasetError, StorageError
from traffic_yolo.progress import progress
from traffic_yolo.snapshot.snapshot import LABELS_PREFIX, Snapshot, read_snapshot
from traffic_yolo.storage import atomic_folder, existing_path


@dataclass(frozen=True)
class ConvertSummary:
    """What came out. `text` for a terminal, `markdown` for the Kubeflow UI, `counts` as scalars by name.

    `notes` are the report's lines about what was left out, changed, or is to be known.
    """

    fingerprint: str
    counts: dict[str, int]
    notes: tuple[str, ...]
    text: str
    markdown: str


def convert(
    options: ConvertOptions, out: Path, *, snapshot_path: Path | None = None, expected_fingerprint: str = ""
) -> ConvertSummary:
    """Writes the data set folder `out` (docs/architecture.md, Artifacts); it appears whole or not at all.

    The same source and options give the same bytes. With `snapshot_path`, recordings that came later are left alone,
    and the snapshot's fingerprint stands in the manifest; `expected_fingerprint` must be the same. Raises what the
    source raises, `LabelError` for labels that fit no class or frame, `OptionsError` for sites that do not exist or
    data that cannot be split, `DatasetError` for a picture that does not decode or a split without pictures,
    `StorageError` for a source that is not as the snapshot says, or a full disk.
    """
    snapshot = read_snapshot(snapshot_path) if snapshot_path else None
    if snapshot and expected_fingerprint and snapshot.fingerprint != expected_fingerprint:
        raise StorageError(
            f"{snapshot_path}: expected fingerprint {expected_fingerprint}, found {snapshot.fingerprint}; "
            f"give the snapshot that belongs to the fingerprint"
        )
    only = _unchanged_files(snapshot, options) if snapshot else None
    source = open_source(options.source, labels=options.labels, source_format=options.source_format, only=only)
    if not source.keys and options.device_labels == "never":
        raise DatasetError(f"{options.source}: no human labels; give labels, or use device_labels train")
    class_map = _class_map(options, source)
    plan = plan_splits(
        source.keys,
        may_split_pictures=source.may_split_pictures,
        val_sites=options.val_site_names,
        test_sites=options.test_site_names,
    )
    with atomic_folder(out) as folder:
        writer = FolderWriter(folder, class_map, options)
        for frame in progress(source.frames(), description="convert", unit="picture", total=source.num_frames):
            writer.add(frame, plan.split_of(frame))
        writer.check_splits(required=SPLITS if source.keys else ("train",))
        notes = [*plan.notes, *source.notes, *writer.notes()]
        report = writer.write_labels(notes)
        fingerprint = writer.write_manifest(
            report, source.description, plan.rule, snapshot.fingerprint if snapshot else None
        )
        writer.write_report(report)
    return ConvertSummary(
        fingerprint=fingerprint,
        counts=report.scalars(),
        notes=tuple(report.notes),
        text=_text(report),
        markdown=report_markdown(report),
    )


def _class_map(options: ConvertOptions, source: Source) -> ClassMap:
    if options.class_map:
        kept = [name for name in source.classes if name in source.default_classes]
        return ClassMap.read(existing_path(options.class_map, what="class map"), kept)
    return ClassMap.default(source.classes, source.default_classes)


def _unchanged_files(snapshot: Snapshot, options: ConvertOptions) -> frozenset[str]:
    """The source's files in the snapshot. Raises `StorageError` for one that is gone or has another size now."""
    places = {"": existing_path(options.source, what="source")}
    if options.labels:
        places[LABELS_PREFIX] = existing_path(options.labels, what="label file")
    names = set()
    for file in snapshot.files:
        prefix = LABELS_PREFIX if file.path.startswith(LABELS_PREFIX) else ""
        if prefix not in places:
            continue
        name = file.path.removeprefix(prefix)
        path = places[prefix] if places[prefix].is_file() else places[prefix] / name
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            found = "it is gone" if size is None else f"it has {size}"
            raise StorageError(f"{path}: {file.size} bytes in the snapshot, now {found}; take a new snapshot")
        if not prefix:
            names.add(name)
    return frozenset(names)


def _text(report: Report) -> str:
    lines = []
    for split in SPLITS:
        counts, sites = report.counts[split], ", ".join(report.sites[split]) or "none"
        lines.append(f"{split}: {counts['images']} pictures, {counts['boxes']} boxes, sites {sites}")
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])
