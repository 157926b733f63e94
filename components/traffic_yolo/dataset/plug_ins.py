"""What every conversion has plugged in: tiny boxes, thinning, checks, leaks, light, anchors, the memory of splits."""

from traffic_yolo.atm.calibration import FILE_NAMES, Calibration, find_calibrations
from traffic_yolo.dataset.checks.finding import FailOn, parse_severities
from traffic_yolo.dataset.checks.observer import ChecksObserver
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.dataset.observers import FrameChange, FrameFilter, FrameObserver, PlugIns, RecordFilter
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.policy import DataPolicy, policy_at
from traffic_yolo.dataset.radar_distances import RadarDistanceReport, RadarDistances
from traffic_yolo.dataset.regions import RegionCounts, RegionMasks
from traffic_yolo.dataset.report.anchor_fit import AnchorObserver
from traffic_yolo.dataset.report.picture_observer import PictureObserver
from traffic_yolo.dataset.report.source_counts import SourceCounts
from traffic_yolo.dataset.report.tiny_boxes import TinyBoxPolicy
from traffic_yolo.dataset.splits.pins import SplitPins, SplitRecorder, read_pins
from traffic_yolo.dataset.thinning import FrameThinner, NegativeLimit, ThinningOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.storage import existing_path


def plug_ins(options: ConvertOptions) -> PlugIns:
    """The plug-ins of one conversion under its policy. Raises `OptionsError` for a policy that makes no sense."""
    policy = policy_at(options.policy)
    masks = RegionMasks.read(existing_path(policy.regions, what="regions")) if policy.regions else None
    distances = RadarDistances(_calibrations(policy.calibration)) if policy.calibration else None
    if "split-leak" in FailOn.parse(policy.fail_on).checks and policy.leak_check != "fail":
        raise OptionsError(f"fail_on names split-leak, but leak_check is {policy.leak_check}; leave one out")
    observers: tuple[FrameObserver, ...] = (
        ChecksObserver(
            parse_severities(policy.check_severities, CHECKS),
            fail_on=policy.fail_on,
            pixels=policy.leak_check != "off",
            expected_splits=options.split_choice.wanted,
        ),
        PictureObserver(policy, options.split_choice.names, labels_only=options.labels_only, pictures=options.pictures),
        AnchorObserver(policy),
        SplitRecorder(policy.split_level, pins_of(policy)),
        SourceCounts(),
        *([RegionCounts(masks)] if masks else []),
        *([RadarDistanceReport(distances)] if distances else []),
    )
    changes: tuple[FrameChange, ...] = (
        *([distances] if distances else []),
        *([masks] if masks else []),
        *_changes(policy),
    )
    return PlugIns(changes, _filters(policy), _record_filters(policy), observers, options.pictures)


def _calibrations(location: str) -> tuple[Calibration, ...]:
    place = existing_path(location, what="calibration")
    found = tuple(find_calibrations(place, every_yaml=True))
    if not found:
        raise OptionsError(
            f"calibration: no file of one in {place}; expected {FILE_NAMES[0]} beside recordings, or *.yaml"
        )
    return found


def pins_of(policy: DataPolicy) -> SplitPins | None:
    """The splits to keep, None where none are."""
    return read_pins(existing_path(policy.keep_splits, what="keep_splits")) if policy.keep_splits else None


def _changes(policy: DataPolicy) -> tuple[FrameChange, ...]:
    if not policy.min_box_px:
        return ()
    size = (policy.network_width, policy.network_height)
    return (TinyBoxPolicy(size, policy.min_box_px, policy.resize_rule),)


def _filters(policy: DataPolicy) -> tuple[FrameFilter, ...]:
    thinning = ThinningOptions(
        min_gap_s=policy.thin_gap_s,
        min_distance=policy.thin_distance,
        keep_classes=policy.kept_classes,
        rare_boxes=policy.thin_rare_boxes,
        max_negatives=policy.max_negatives,
    )
    return (FrameThinner(thinning),) if thinning.thins else ()


def _record_filters(policy: DataPolicy) -> tuple[RecordFilter, ...]:
    return (NegativeLimit(policy.max_negatives),) if policy.max_negatives < 1 else ()
