"""The step: reads a source, chooses the pictures that humans are to label next, writes them as a CVAT task.

What a box was before a human looked at it goes with it as attributes, which come back with the corrected labels.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from traffic_yolo.atm.layouts import device_layout
from traffic_yolo.dataset.alike_classes import alike_classes
from traffic_yolo.dataset.checks.check_source import PARTS, calibrations_of, observation_with_tracks
from traffic_yolo.dataset.checks.cross_check import CrossCheck
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.class_map import DEFAULT_IGNORED
from traffic_yolo.dataset.data_set import DataSet, is_data_set
from traffic_yolo.dataset.pictures.look import look_once
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.dataset.splits.groups import LEVELS
from traffic_yolo.dataset.splits.pins import FILE_NAME as SPLITS_NAME
from traffic_yolo.dataset.splits.pins import SplitPins, read_pins
from traffic_yolo.errors import DatasetError, LabelError, OptionsError
from traffic_yolo.labelling.candidate import TOP_BOXES, Candidate, any_of, doubt, hour_of, presence_of, uncertainty_of
from traffic_yolo.labelling.choice import Chosen, choose
from traffic_yolo.labelling.cvat_task import (
    PRELABEL_CONFIDENCE,
    PRELABEL_SOURCE,
    SELECTED_FOR,
    SELECTED_RANK,
    TASK_FOLDER,
    open_task,
)
from traffic_yolo.labelling.drift import read_drift
from traffic_yolo.labelling.found_boxes import FoundBoxes
from traffic_yolo.labelling.options import SelectOptions
from traffic_yolo.labelling.select_page import SHOWN, write_pages
from traffic_yolo.labelling.selection import Selection
from traffic_yolo.progress import progress
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    check_new_folder,
    input_path,
    output_path,
    read_json,
)

HELD_OUT = ("val", "test")


def select(options: SelectOptions, out: AnyPath) -> Selection:
    """Writes the folder `out`: `cvat/` with pre-labels and pictures, `selection.csv`, `selection.json`, `report.html`.

    It appears whole or not at all. Raises what the source raises, `LabelError` for detections that are none,
    `DatasetError` where no picture may be taken.
    """
    target = output_path(out)
    check_new_folder(target)
    drifted = read_drift(options.drift) if options.drift else {}
    known = _Known.read(options.keep_splits)
    found = FoundBoxes(options.detections) if options.detections else None
    source = open_source(options, SourceOptions(parts=PARTS))
    labelled = known.boxes if known.boxes else _labelled_boxes(source)
    classes = _classes(source, found)
    for message in alike_classes(dict.fromkeys([*labelled, *classes])):
        raise LabelError(f"{options.detections or options.keep_splits}: {message}")
    left_out: Counter[str] = Counter()
    radar = CrossCheck(calibrations_of(options, options.calibration), device_layout().classes)
    frames = progress(source.frames(), description="look", unit="picture", total=source.num_frames)
    candidates = [_candidate(frame, radar, options, drifted) for frame in _wanted(frames, known, found, left_out)]
    if found is not None and not candidates and left_out[NOT_NAMED]:
        raise LabelError(
            f"{found.path}: names none of the {left_out[NOT_NAMED]} pictures without human labels in {options.source}; "
            "give what a model found on these"
        )
    if not candidates:
        raise DatasetError(f"{options.source}: no picture may be taken: {_listed(left_out) or 'it has none'}")
    chosen, alike = choose(candidates, labelled, options)
    left_out["look like one that is taken"] = alike
    notes = (*source.notes, *_radar_notes(radar))
    selection = Selection(tuple(chosen), len(candidates), +left_out, labelled, notes)
    ranks = {one.candidate.name: one for one in chosen}
    samples: list[tuple[Chosen, Frame]] = []
    with atomic_folder(target) as folder:
        with open_task(folder / TASK_FOLDER, classes) as export:
            for frame in _wanted(source.frames(), known, found, Counter()):
                if (one := ranks.get(frame.file_name)) is None:
                    continue
                labelled_frame = _prelabelled(frame, one, options.min_confidence)
                export.add(labelled_frame)
                if one.rank <= SHOWN:
                    samples.append((one, replace(labelled_frame, picture=_kept(frame.picture()), recorded=None)))
        write_pages(folder, selection, options, sorted(samples, key=lambda sample: sample[0].rank), classes, target)
    return selection


@dataclass(frozen=True)
class _Known:
    """What must not be taken: groups of a level, and pictures by name. `boxes`: labelled for training, by class."""

    level: str
    held_out: frozenset[str]
    pictures: frozenset[str]
    boxes: Mapping[str, float]

    @classmethod
    def read(cls, location: str) -> "_Known":
        path = input_path(location, what="data set or splits.yaml")
        pictures: set[str] = set()
        boxes: Counter[str] = Counter()
        if path.is_dir():
            if not is_data_set(str(path)):
                raise OptionsError(f"keep_splits: {location} is no data set; give one, or a {SPLITS_NAME}")
            if not (path / SPLITS_NAME).is_file():
                raise OptionsError(
                    f"keep_splits: {location} has no {SPLITS_NAME}, for its splits cut through every group; write one "
                    "with the groups that are for judging (level: site, splits: {A: test}), and give that"
                )
            data_set = DataSet.open(path)
            for split in data_set.splits:
                value = read_json(data_set.coco_path(split), what=f"labels of split {split}", error=DatasetError)
                pictures.update(str(image["file_name"]) for image in value["images"])
                names = {category["id"]: category["name"] for category in value["categories"]}
                if split not in HELD_OUT:
                    boxes.update(names[a["category_id"]] for a in value["annotations"] if not a.get("ignore"))
            counted = {name: float(boxes[name]) for name in data_set.classes} if boxes else {}
        else:
            counted = {}
        pins: SplitPins = read_pins(path)
        held = frozenset(group for group, split in pins.splits.items() if split in HELD_OUT)
        return cls(pins.level, held, frozenset(pictures), counted)

    def why_not(self, frame: Frame) -> str:
        """Why a picture must not be taken; "" where it may."""
        if LEVELS[self.level](frame) in self.held_out:
            return "of groups of the val and test splits"
        return "are in the data set already" if frame.file_name in self.pictures else ""


NOT_NAMED = "are not in the detections"


def _wanted(
    frames: Iterable[Frame], known: _Known, found: FoundBoxes | None, left_out: Counter[str]
) -> Iterator[Frame]:
    """The frames that may be taken, with the boxes that the choice goes by; the others are counted."""
    for frame in frames:
        reason = "were labelled by humans" if frame.labelled else known.why_not(frame)
        if not reason and found is not None:
            boxes = found.of(frame)
            if boxes is not None:
                yield replace(frame, annotations=boxes)
                continue
            reason = NOT_NAMED
        if reason:
            left_out[reason] += 1
        else:
            yield frame


def _candidate(frame: Frame, radar: CrossCheck, options: SelectOptions, drifted: Mapping[str, float]) -> Candidate:
    boxes = [a for a in frame.annotations if a.counts and a.class_name not in DEFAULT_IGNORED]
    threshold = options.confidence_threshold
    doubtful = sorted(boxes, key=lambda a: (-doubt(a.confidence or 0.0, threshold), a.class_name, a.xywh))[:TOP_BOXES]
    presence, expected = presence_of(boxes)
    reported = tuple(a for a in frame.annotations if a.is_sure(threshold))
    observation = observation_with_tracks(replace(frame, annotations=reported))
    checked = radar.show(observation)
    lonely = checked.lonely if checked is not None else ()
    one = Candidate(
        name=frame.file_name,
        site=frame.site,
        camera=frame.camera,
        hour=hour_of(frame, observation),
        uncertainty=uncertainty_of([a.confidence or 0.0 for a in boxes], threshold),
        doubts=tuple((a.class_name, a.confidence or 0.0) for a in doubtful if 0 < (a.confidence or 0.0) < 1),
        presence=presence,
        expected=expected,
        radar=any_of([one.score for one in lonely]),
        tracks=sum(one.kind == "track" for one in lonely),
        boxes=sum(one.kind == "box" for one in lonely),
        look=_look(observation),
    )
    return replace(one, drift=drifted.get(one.group, 0.0))


def _look(observation: Observation) -> int | None:
    look = look_once(observation.picture) if observation.picture else None
    return None if look is None or look.is_flat else look.hash


def _prelabelled(frame: Frame, one: Chosen, least: float) -> Frame:
    """The frame as it goes into the task: its history in attributes of the picture and of each box."""
    boxes = tuple(_with_history(a) for a in frame.annotations if a.is_sure(least))
    attributes = {**frame.attributes, SELECTED_RANK: one.rank, SELECTED_FOR: one.reason}
    return replace(frame, annotations=boxes, attributes=attributes)


def _with_history(annotation: Annotation) -> Annotation:
    history: dict[str, Any] = {PRELABEL_SOURCE: annotation.label_source}
    if annotation.confidence is not None:
        history[PRELABEL_CONFIDENCE] = round(annotation.confidence, 4)
    return replace(annotation, attributes={**annotation.attributes, **history})


def _kept(data: bytes) -> Any:
    return lambda: data


def _labelled_boxes(source: Source) -> dict[str, float]:
    apart = source.apart | DEFAULT_IGNORED
    counts: Counter[str] = Counter({name: 0 for name in source.classes if name not in apart})
    keys = source.keys()
    for key in keys:
        counts.update({name: count for name, count in key.boxes.items() if name not in apart})
    return {name: float(count) for name, count in counts.items()}


def _classes(source: Source, found: FoundBoxes | None) -> tuple[str, ...]:
    """Those that an annotator may choose: the source's, then those that only the model knows."""
    return tuple(dict.fromkeys([*source.classes, *(found.classes if found is not None else ())]))


def _radar_notes(radar: CrossCheck) -> list[str]:
    return [f"{count} {what}: not held against the radar" for what, count in sorted(radar.skipped.items())]


def _listed(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()) if count)
