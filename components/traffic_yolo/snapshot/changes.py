"""What is new on a share since an earlier snapshot, in words, as values, and as the gate of a scheduled retraining."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option
from traffic_yolo.snapshot.snapshot import LABELS_PREFIX, Snapshot, SnapshotFile
from traffic_yolo.storage import shown

NEW, UNCHANGED, TOO_FEW = "new", "unchanged", "too_few"
GATES = (NEW, UNCHANGED, TOO_FEW)  # plain words: KFP compares them in a dsl.If, where a quote is silently false
SHOWN_NAMES = 5
SMALLEST_SHOWN_PERCENT = 1.0


@dataclass(frozen=True)
class Changes:
    """One snapshot against an earlier one; against none, everything is new.

    Files are compared by path and content. A file that lies elsewhere now, with the same content, is `moved` (old and
    new path) and brings no new frames. `new_frames` and `removed_frames` count pictures whose content came or went.
    `detections`: class name -> count before and now, of the device's own detections, where they differ.
    """

    previous_fingerprint: str
    fingerprint: str
    new_files: tuple[str, ...]
    changed_files: tuple[str, ...]
    removed_files: tuple[str, ...]
    moved_files: tuple[tuple[str, str], ...]
    new_frames: int
    removed_frames: int
    new_recordings: int
    new_sites: tuple[str, ...]
    removed_sites: tuple[str, ...]
    detections: dict[str, tuple[int, int]]
    skipped: tuple[tuple[str, str], ...]

    @property
    def labels_changed(self) -> bool:
        """Whether a label file is new, other, or gone."""
        names = (*self.new_files, *self.changed_files, *self.removed_files)
        return any(name.startswith(LABELS_PREFIX) for name in names)

    @property
    def summary(self) -> str:
        """One line, such as "+1,240 frames, 2 new sites (A, B), MOTORCYCLE +38 %; 12 new files, 1 changed"."""
        if self.fingerprint == self.previous_fingerprint:
            return "no new data"
        contents = [
            f"+{self.new_frames:,} frames" if self.new_frames else "",
            f"-{self.removed_frames:,} frames" if self.removed_frames else "",
            _named(self.new_sites, "new site"),
            _named(self.removed_sites, "site", " gone"),
            *(growth_text(name, before, now) for name, (before, now) in self._largest_growth()),
            "labels changed" if self.labels_changed and self.previous_fingerprint else "",
        ]
        files = [
            f"{len(names):,} {word}"
            for names, word in (
                (self.new_files, "new"),
                (self.changed_files, "changed"),
                (self.removed_files, "removed"),
                (self.moved_files, "moved"),
            )
            if names
        ]
        parts = (", ".join(part for part in contents if part), f"files: {', '.join(files)}" if files else "")
        return "; ".join(part for part in parts if part)

    @property
    def markdown(self) -> str:
        """The summary, then what came and went by name, for the Kubeflow UI."""
        lines = [f"**{self.summary}**", ""]
        for title, names in (
            ("New", self.new_files),
            ("Changed", self.changed_files),
            ("Removed", self.removed_files),
            ("Moved", tuple(f"{before} → {now}" for before, now in self.moved_files)),
            ("Left out", tuple(f"{name}: {reason}" for name, reason in self.skipped)),
        ):
            if names:
                more = f" (the first {SHOWN_NAMES} of {len(names):,})" if len(names) > SHOWN_NAMES else ""
                lines += [f"{title}{more}:", "", *(f"- `{_cell(name)}`" for name in names[:SHOWN_NAMES]), ""]
        if self.detections:
            lines += ["| device detections | before | now | |", "|---|---:|---:|---:|"]
            lines += [
                f"| {name} | {before:,} | {now:,} | {_percent(before, now)} |"
                for name, (before, now) in sorted(self.detections.items())
            ]
        return "\n".join(lines).rstrip() + "\n"

    def as_json(self) -> dict[str, Any]:
        """Everything as plain JSON values, with the summary."""
        return {"summary": self.summary, "labels_changed": self.labels_changed, **asdict(self)}

    def _largest_growth(self) -> list[tuple[str, tuple[int, int]]]:
        if not self.previous_fingerprint:
            return []
        changed = [
            (name, (before, now))
            for name, (before, now) in self.detections.items()
            if not before or abs(now - before) * 100 >= SMALLEST_SHOWN_PERCENT * before
        ]
        return sorted(changed, key=lambda item: (-_growth(*item[1]), item[0]))[:SHOWN_NAMES]


@dataclass(frozen=True)
class GateOptions:
    """How much must be new before a retraining pays. Any one of the thresholds that are set opens the gate."""

    min_new_frames: int = option(1, "New frames that open the gate; 0: frames never do.", least=0, headline=True)
    min_new_sites: int = option(1, "New sites that open the gate; 0: sites never do.", least=0, headline=True)
    min_class_growth: float = option(
        0.0, "Growth of one class, in percent, that opens the gate; 0: growth never does.", least=0, headline=True
    )
    new_labels: bool = option(True, "Whether changed labels open the gate.", headline=True)

    def __post_init__(self) -> None:
        check_options(self)
        if not (self.min_new_frames or self.min_new_sites or self.min_class_growth or self.new_labels):
            raise OptionsError("no threshold is set, so nothing could open the gate; set min_new_frames, say")


def compare(previous: Snapshot | None, now: Snapshot) -> Changes:
    """What came, went and changed between two snapshots of one share."""
    before = {file.path: file for file in previous.files} if previous else {}
    after = {file.path: file for file in now.files}
    same = previous is not None and previous.fingerprint == now.fingerprint
    new = {} if same else {path: file for path, file in after.items() if path not in before}
    gone = {} if same else {path: file for path, file in before.items() if path not in after}
    moved = _moves(gone, new)
    changed = () if same else tuple(p for p, file in after.items() if p in before and before[p].sha256 != file.sha256)
    came, went = ({}, {}) if same else _contents_apart(before, after)
    totals_before = previous.totals if previous else None
    sites_before = set(totals_before.sites) if totals_before else set()
    counts_before = totals_before.detections if totals_before else {}
    names = sorted({*counts_before, *now.totals.detections})
    counts = {name: (counts_before.get(name, 0), now.totals.detections.get(name, 0)) for name in names}
    return Changes(
        previous_fingerprint=previous.fingerprint if previous else "",
        fingerprint=now.fingerprint,
        new_files=tuple(path for path in new if path not in moved.values()),
        changed_files=changed,
        removed_files=tuple(path for path in gone if path not in moved),
        moved_files=tuple(moved.items()),
        new_frames=sum(file.frames * count for file, count in came.values()),
        removed_frames=sum(file.frames * count for file, count in went.values()),
        new_recordings=max(0, now.totals.recordings - (totals_before.recordings if totals_before else 0)),
        new_sites=tuple(sorted(set(now.totals.sites) - sites_before)),
        removed_sites=tuple(sorted(sites_before - set(now.totals.sites))),
        detections={name: (b, n) for name, (b, n) in counts.items() if b != n},
        skipped=tuple((skipped.name, skipped.reason) for skipped in now.skipped),
    )


def gate(changes: Changes, options: GateOptions) -> str:
    """`unchanged` where the content is the same, `new` where a threshold is reached, else `too_few`."""
    if changes.fingerprint == changes.previous_fingerprint:
        return UNCHANGED
    largest_growth = max((_growth(before, now) for before, now in changes.detections.values()), default=0.0)
    opens = (
        0 < options.min_new_frames <= changes.new_frames
        or 0 < options.min_new_sites <= len(changes.new_sites)
        or 0 < options.min_class_growth <= largest_growth * 100
        or (options.new_labels and changes.labels_changed)
    )
    return NEW if opens else TOO_FEW


def growth_text(name: str, before: int, now: int) -> str:
    """`MOTORCYCLE +38 %`, or `MOTORCYCLE new (+12)` where there was none."""
    return f"{name} {_percent(before, now)}"


def _percent(before: int, now: int) -> str:
    return f"{_growth(before, now) * 100:+.0f} %" if before else f"new (+{now:,})"


def _growth(before: int, now: int) -> float:
    """Growth as a fraction; infinite for a class that is new."""
    return (now - before) / before if before else float("inf")


def _named(names: tuple[str, ...], word: str, after: str = "") -> str:
    if not names:
        return ""
    more = ", …" if len(names) > SHOWN_NAMES else ""
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} {word}{plural}{after} ({', '.join(names[:SHOWN_NAMES])}{more})"


def _moves(gone: dict[str, SnapshotFile], new: dict[str, SnapshotFile]) -> dict[str, str]:
    """Old path -> new path of files whose content lies elsewhere now, each matched once, in the order of names."""
    places: dict[str, list[str]] = {}
    for path in sorted(new, reverse=True):
        places.setdefault(new[path].sha256, []).append(path)
    return {path: places[file.sha256].pop() for path, file in sorted(gone.items()) if places.get(file.sha256)}


def _contents_apart(
    before: dict[str, SnapshotFile], after: dict[str, SnapshotFile]
) -> tuple[dict[str, tuple[SnapshotFile, int]], dict[str, tuple[SnapshotFile, int]]]:
    """SHA-256 -> (a file that has it, how many more there are of it) of what came, and of what went."""
    counts = Counter(file.sha256 for file in after.values())
    counts.subtract(file.sha256 for file in before.values())
    files = {file.sha256: file for file in (*before.values(), *after.values())}
    came = {sha256: (files[sha256], count) for sha256, count in counts.items() if count > 0}
    went = {sha256: (files[sha256], -count) for sha256, count in counts.items() if count < 0}
    return came, went


def _cell(text: str) -> str:
    return shown(text).replace("`", "'")
