"""Makes a data set folder of a source: pictures byte for byte, COCO and YOLO labels, splits, manifest, report.

The loop is here; what is done with a frame is in `frame_writer` (first stage), what is made of all of them in
`folder_writer` (second stage), and what else looks at them is plugged in through `observers`.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.data_set import is_data_set
from traffic_yolo.dataset.folder.frame_writer import FrameWriter
from traffic_yolo.dataset.folder.outputs import check_places, keep_aside
from traffic_yolo.dataset.folder.writer import FolderWriter, SetDescription, Stage
from traffic_yolo.dataset.frame_spool import SPOOL_NAME
from traffic_yolo.dataset.named_files import check_named_files, without_settings
from traffic_yolo.dataset.observers import NoteTaker, PlugIns, PlugInsFactory
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.pictures.look import look_once
from traffic_yolo.dataset.plug_ins import pins_of, plug_ins
from traffic_yolo.dataset.policy import DataPolicy, policy_at, policy_values
from traffic_yolo.dataset.problems import Noted, ProblemCollector, ProblemSink
from traffic_yolo.dataset.quarantine import PARTS_NAME, Quarantine, copy_parts, quarantine_written, root_of
from traffic_yolo.dataset.records import Frame, PictureKey
from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.dataset.report.report import Report, report_markdown
from traffic_yolo.dataset.sources.combined import CombinedSource
from traffic_yolo.dataset.sources.files import FileSource
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.dataset.sources.source_list import is_source_list
from traffic_yolo.dataset.sources.unchanged_files import unchanged_files
from traffic_yolo.dataset.splits.groups import picture_of
from traffic_yolo.dataset.splits.look_alikes import group_look_alikes
from traffic_yolo.dataset.splits.plan import SplitPlan, SplitRequest, plan_splits
from traffic_yolo.dataset.store.data_store import DataStore
from traffic_yolo.dataset.store.handed_on import data_set_written
from traffic_yolo.dataset.store.recipe import Recipe, absolute, absolute_location
from traffic_yolo.errors import DatasetError, OptionsError, RecordingError, StorageError
from traffic_yolo.limits import in_force
from traffic_yolo.processes import in_processes
from traffic_yolo.processors import processors
from traffic_yolo.progress import progress
from traffic_yolo.snapshot.content import AGAIN, ShareContent, held_files
from traffic_yolo.snapshot.reading import RECORDING_SUFFIX
from traffic_yolo.snapshot.snapshot import Snapshot, load_snapshot
from traffic_yolo.storage import AnyPath, existing_path, output_path, shown

FEW_FRAMES = 500  # are written before further processes have started
MAX_PROCESSES = 8  # unless asked for: a NAS serves a few readers well, and many badly


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


@dataclass(frozen=True)
class SnapshotToMatch:
    """The snapshot that a conversion keeps to; `fingerprint`, where not "", must be its fingerprint.

    `cache`: location of the hashes that the snapshot kept, so that not all has to be read to be compared.
    """

    path: AnyPath
    fingerprint: str = ""
    cache: AnyPath = ""

    def recipe(self, options: ConvertOptions) -> Recipe:
        """What repeats a conversion with these options."""
        cache = absolute_location(os.fspath(self.cache))
        return Recipe(options, cache=cache, snapshot=absolute_location(os.fspath(self.path)))

    def match(self, options: ConvertOptions) -> "Matched":
        """Raises `StorageError` for another snapshot, and for a file that is gone or has other bytes now."""
        snapshot = _checked_snapshot(self)
        return Matched(snapshot.fingerprint, unchanged_files(snapshot, options, cache=os.fspath(self.cache)))


@dataclass(frozen=True)
class ContentToMatch:
    """The content of the share that a conversion keeps to; `cache`: location of hashes that spare reading it all.

    `elsewhere`: whether pictures may lie where the content does not tell of them. `files`: what `named_files` said of
    the options' files, for whoever repeats the conversion.
    """

    content: ShareContent
    cache: AnyPath = ""
    elsewhere: bool = False
    files: str = ""

    def recipe(self, options: ConvertOptions) -> Recipe:
        """What repeats a conversion with these options."""
        cache = absolute_location(os.fspath(self.cache))
        return Recipe(options, str(self.content), self.elsewhere, cache, files=without_settings(self.files))

    def match(self, options: ConvertOptions) -> "Matched":
        """Raises `StorageError` for a share that holds something else."""
        held = held_files(self.content, options, cache=self.cache)
        newer = [name for name in held.newer if not name.endswith(RECORDING_SUFFIX)]
        if newer and not any(name.endswith(RECORDING_SUFFIX) for name in held.names):
            # Recordings are read one by one, the files of a data set all together
            raise StorageError(f"{shown(options.source)}: {shown(newer[0])} came since the run began; {AGAIN}")
        return Matched(self.content.fingerprint, held.names, is_all=not self.elsewhere)


@dataclass(frozen=True)
class Matched:
    """What a conversion keeps to, found again: its `fingerprint`, and the files of the source.

    `is_all`: no picture may lie anywhere else.
    """

    fingerprint: str
    names: frozenset[str]
    is_all: bool = False


@dataclass(frozen=True)
class Prepared:
    """An open source with all that is decided before its first frame is read.

    `unread` and `quarantine` grow while it is read.
    """

    source: Source
    unread: ProblemCollector
    class_map: ClassMap
    plan: SplitPlan
    described: SetDescription
    noted: Noted
    quarantine: Quarantine | None = None
    surveyed: int = 0  # things put aside while the source was opened


def convert(
    options: ConvertOptions,
    out: AnyPath,
    *,
    snapshot_path: AnyPath | None = None,
    snapshot_cache: AnyPath = "",
    expected_fingerprint: str = "",
    content: ContentToMatch | None = None,
    plugged: PlugInsFactory = plug_ins,
    processes: int = 0,
) -> ConvertSummary:
    """Writes the data set folder `out` (docs/architecture.md, Artifacts); it appears whole or not at all.

    With `options.data_store`, the data set goes there, and `out` is a reference to it. With `options.quarantine`, what
    would end or fail the conversion by one file or label goes there (`quarantine.write_quarantine`).
    The same source and options give the same bytes, whatever the number of `processes` (0: as many as there are cores,
    eight at most, and one for a few frames). With `snapshot_path`, recordings that came later are left alone,
    and the snapshot's fingerprint stands in the manifest; `expected_fingerprint` must be the same. `snapshot_cache`:
    the hashes that it kept, which spare reading every file to compare it. `content` does that without the snapshot's
    file: the share is read, and must hold it. Raises what the source raises, `LabelError` for
    labels that fit no class or frame, `OptionsError` for sites that do not exist or data that cannot be split,
    `DatasetError` for a broken picture or a split without pictures, `StorageError` for a source that is not as the
    snapshot says, or a full disk.
    """
    target = output_path(out)
    check_places(options, target)
    snapshot = SnapshotToMatch(snapshot_path, expected_fingerprint, snapshot_cache) if snapshot_path else content
    written = data_set_written(target, recipe_of(options, snapshot))
    return _convert_into(written, options, snapshot, plugged, processes, quarantine=options.quarantine)


def repeat_conversion(recipe: Recipe, store: DataStore, *, expected: str) -> ConvertSummary:
    """Makes a data set of a store again, whose fingerprint must be the `expected` one.

    Raises what `convert` raises, and `DatasetError` where it comes to another data set.
    """
    if recipe.files:
        check_named_files(recipe.files, recipe.options)
    snapshot: SnapshotToMatch | ContentToMatch | None = None
    if recipe.snapshot:
        snapshot = SnapshotToMatch(recipe.snapshot, cache=recipe.cache)
    elif recipe.content:
        snapshot = ContentToMatch(ShareContent.parse(recipe.content), recipe.cache, recipe.elsewhere)
    return _convert_into(store.written(expected=expected), recipe.options, snapshot, plug_ins, 0)


def recipe_of(options: ConvertOptions, snapshot: "SnapshotToMatch | ContentToMatch | None") -> Recipe:
    """What repeats a conversion on another machine."""
    repeated = absolute(options)
    return snapshot.recipe(repeated) if snapshot else Recipe(repeated)


def _convert_into(
    written: AbstractContextManager[Path],
    options: ConvertOptions,
    snapshot: SnapshotToMatch | ContentToMatch | None,
    plugged: PlugInsFactory,
    processes: int,
    *,
    quarantine: str = "",
) -> ConvertSummary:
    """Converts into the folder of `written`, which is entered when all is decided that can be before.

    `quarantine`: where what is put aside is kept; "" where it was kept when the data set was made first.
    """
    with in_force(policy_at(options.policy).reading_limits):
        extras = plugged(options)
        prepared = prepare(options, extras, snapshot)
        with written as folder, quarantine_written(quarantine) as aside:
            jobs = [
                partial(write_frames, prepared, folder / f"{index}-{SPOOL_NAME}", options, extras, shard=(index, count))
                for count in [_num_processes(processes, prepared.source)]
                for index in range(count)
            ]
            stage = _together(in_processes(jobs))
            summary = complete(prepared.class_map, prepared.described, folder, stage, extras)
            for spool in stage.spools:
                spool.unlink()
            keep_aside(aside, stage, options)
            shutil.rmtree(folder / PARTS_NAME, ignore_errors=True)
        return summary


def prepare(
    options: ConvertOptions,
    extras: PlugIns,
    snapshot: SnapshotToMatch | ContentToMatch | None,
    *,
    labelled_only: bool = False,
) -> Prepared:
    """Opens the source and decides classes and splits; nothing is written. Raises what `convert` raises.

    `labelled_only`: scans that no human labelled are left out unread, for a caller that has no use for them.
    """
    if snapshot:
        _refuse_reference(options)
    if isinstance(snapshot, SnapshotToMatch) and is_source_list(existing_path(options.source, what="source")):
        raise OptionsError(
            f"snapshot: {shown(options.source)} lists several sources: give it there, to the source that it is of"
        )
    matched = snapshot.match(options) if snapshot else None
    only = matched.names if matched else None
    needed = frozenset[str]().union(*(observer.needs for observer in extras.observers))
    wants_device = frozenset() if options.device_labels == "never" else frozenset({"detections"})
    noted = Noted()
    unread = ProblemCollector(noted)
    on_problem: ProblemSink = unread if extras.problem_observers else noted
    quarantine: Quarantine | None = None
    if options.quarantine:
        root = root_of(options.source)
        on_problem = quarantine = Quarantine(root, fails=extras.fail_on, otherwise=on_problem)
    parts = needed | wants_device
    how = SourceOptions(
        only=only,
        parts=parts,
        on_problem=on_problem,
        labels_only=options.labels_only,
        labelled_only=labelled_only,
        quarantine=quarantine,
    )
    source = open_source(options, how)
    if matched and matched.is_all and isinstance(source, FileSource):
        source.check_pictures(existing_path(options.source, what="source"), matched.names)
    _check_survey(unread, extras)
    for observer in extras.observers:
        if isinstance(observer, NoteTaker) and (refusal := observer.refusal(noted)):
            raise DatasetError(refusal)
    keys = tuple(source.keys())
    if quarantine is not None and quarantine.entries and not source.num_frames:
        raise DatasetError(f"every picture is bad, none is left to convert; the first: {quarantine.entries[0].reason}")
    choice = options.split_choice
    if not keys and (options.device_labels == "never" or "train" not in choice.wanted):
        others = "" if options.device_labels == "never" else ", and others are for the train split only"
        give = "give labels, or use device_labels train" + (" and splits train" if others else "")
        raise DatasetError(f"{options.source}: no human labels{others}; {give}")
    class_map = class_map_of(options, source)
    plan = _plan(options, policy_at(options.policy), source, keys)
    required = tuple(split for split in choice.names if split in plan.filled)
    described = SetDescription(
        source=_described(options, source),
        parent_fingerprint=matched.fingerprint if matched else None,
        split_rule=plan.rule,
        device_labels=options.device_labels,
        min_confidence=options.min_confidence,
        required_splits=required,
        splits=choice.names,
        labels_only=options.labels_only,
        policy=policy_values(options.policy),
    )
    surveyed = len(quarantine.entries) if quarantine else 0
    return Prepared(source, unread, class_map, plan, described, noted, quarantine, surveyed)


def _described(options: ConvertOptions, source: Source) -> dict[str, Any]:
    """What the manifest says of the source, and of each of several."""
    described = {"location": options.source, "labels": options.labels, "description": source.description}
    return described | ({"sources": source.described} if isinstance(source, CombinedSource) else {})


def _refuse_reference(options: ConvertOptions) -> None:
    """Raises `OptionsError` for a source that a look at its files does not show."""
    path = existing_path(options.source, what="source")
    reference = DatasetReference.of(path) if path.is_dir() else None
    if reference is not None:
        raise OptionsError(
            f"source: {shown(options.source)} only refers to a data set, so a snapshot of it shows none of its files; "
            f"give {shown(reference.location)}"
        )


def _check_survey(unread: ProblemCollector, extras: PlugIns) -> None:
    """Raises for recordings that cannot be opened, where such fail the conversion: before hours go into the others."""
    for judge in extras.problem_observers:
        for problem in unread.problems:
            judge.note_problem(problem)
        failure = judge.why_failed()
        if failure:
            raise RecordingError(failure)


def write_frames(
    prepared: Prepared, spool: Path, options: ConvertOptions, extras: PlugIns, *, shard: tuple[int, int]
) -> Stage:
    """First stage: the frames of a shard (index, count) into the folder of `spool`, and their records into it."""
    source, quarantine = prepared.source, prepared.quarantine
    if quarantine is not None:
        quarantine.folder = spool.parent / PARTS_NAME
    with FrameWriter(spool, prepared.class_map, options, extras, quarantine) as writer:
        frames: Iterable[Frame] = source.frames(shard)
        if shard[0] == 0:  # one bar, whatever runs beside it
            total = source.num_frames // shard[1]
            frames = progress(frames, description="convert", unit="picture", total=total)
        for frame in frames:
            writer.add(frame, prepared.plan.split_of(frame))
    # What the survey put aside, every shard knows
    quarantined = quarantine.entries[0 if shard[0] == 0 else prepared.surveyed :] if quarantine else ()
    copy_parts(quarantined, spool.parent / PARTS_NAME)
    return Stage(
        spools=(spool,),
        tally=source.tally + writer.tally,
        ignored_names=frozenset(writer.ignored_names),
        notes=(*prepared.plan.notes, *source.notes),
        problems=prepared.unread.problems,
        noted=prepared.noted,
        quarantined=quarantined,
    )


def _num_processes(wanted: int, source: Source) -> int:
    if wanted < 0:
        raise OptionsError(f"processes: expected a number from 1, or 0 for one a core; found {wanted}")
    if wanted == 0 and source.num_frames < FEW_FRAMES:
        return 1
    return wanted or min(processors(), MAX_PROCESSES)


def _together(stages: Sequence[Stage]) -> Stage:
    """What several writers of one folder left, in their order."""
    return Stage(
        spools=tuple(spool for stage in stages for spool in stage.spools),
        tally=sum((stage.tally for stage in stages), Counter()),
        ignored_names=frozenset(name for stage in stages for name in stage.ignored_names),
        notes=stages[0].notes,
        problems=tuple(dict.fromkeys(problem for stage in stages for problem in stage.problems)),
        noted=stages[0].noted,
        quarantined=tuple(dict.fromkeys(entry for stage in stages for entry in stage.quarantined)),
    )


def complete(
    class_map: ClassMap, described: SetDescription, folder: Path, stage: Stage, extras: PlugIns
) -> ConvertSummary:
    """Second stage: what the spools of all shards come to, in `folder`."""
    report, fingerprint = FolderWriter(folder, class_map, described, extras).write(stage)
    return ConvertSummary(
        fingerprint=fingerprint,
        counts=report.scalars(),
        notes=tuple(report.notes),
        text=_text(report),
        markdown=report_markdown(report),
    )


def _plan(options: ConvertOptions, policy: DataPolicy, source: Source, keys: tuple[PictureKey, ...]) -> SplitPlan:
    request = SplitRequest(
        level=policy.split_level,
        method=policy.split_method,
        val_sites=options.val_site_names,
        test_sites=options.test_site_names,
        pins=pins_of(policy),
        choice=options.split_choice,
        keep_own=is_data_set(options.source),
    )

    def look_alikes() -> Mapping[str, str]:
        frames = progress(source.frames(), description="look-alikes", unit="picture", total=source.num_frames)
        looks = ((picture_of(frame), look_once(frame.picture())) for frame in frames)
        alike = group_look_alikes(looks, max_distance=policy.leak_distance)
        source.tally.clear()  # what was left out is counted when the frames are read to be written
        return alike

    return plan_splits(keys, request, may_split_pictures=source.may_split_pictures, look_alikes=look_alikes)


def class_map_of(options: ConvertOptions, source: Source) -> ClassMap:
    """The class map that a conversion of `source` uses: that of the options, or what the source implies."""
    if options.class_map:
        kept = [name for name in source.classes if name in source.default_classes]
        return ClassMap.read(existing_path(options.class_map, what="class map"), kept)
    return ClassMap.default(source.classes, source.default_classes, source.apart)


def _checked_snapshot(wanted: SnapshotToMatch) -> Snapshot:
    snapshot = load_snapshot(wanted.path)
    if wanted.fingerprint and snapshot.fingerprint != wanted.fingerprint:
        raise StorageError(
            f"{wanted.path}: expected fingerprint {wanted.fingerprint}, found {snapshot.fingerprint}; "
            f"give the snapshot that belongs to the fingerprint"
        )
    return snapshot


def _text(report: Report) -> str:
    lines = []
    for split in report.splits:
        counts, sites = report.counts[split], ", ".join(report.sites[split]) or "none"
        lines.append(f"{split}: {counts['images']} pictures, {counts['boxes']} boxes, sites {sites}")
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])
