"""The first step of a retraining: looks at what training would use, decides, and begins an attempt where that pays."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from traffic_yolo._version import __version__
from traffic_yolo.dataset.convert import ContentToMatch
from traffic_yolo.dataset.named_files import named_files, reads_elsewhere
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.policy import policy_at, with_flags
from traffic_yolo.dataset.splits.pins import SplitPins, read_pins
from traffic_yolo.dataset.used_frames import DEVICE, UsedFrames, used_frames
from traffic_yolo.errors import AlreadyExistsError, DatasetError
from traffic_yolo.messages import shown_names
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME
from traffic_yolo.options import described
from traffic_yolo.process_identity import is_gone
from traffic_yolo.registry.bundle import verify_bundle
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.model_home import chosen_version
from traffic_yolo.retraining.attempts import Attempt, Attempts, Begun, time_text
from traffic_yolo.retraining.comparison import Data, NewData, check_splits, new_data
from traffic_yolo.retraining.gate import NO_NEW_DATA, RETRAIN, Verdict, under_way, verdict
from traffic_yolo.retraining.options import NewDataOptions
from traffic_yolo.retraining.outcome import settle
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.storage import AnyPath, existing_path, join, parse_json

KEEP_SPLITS = "keep_splits"
TRAIN = "train"


@dataclass(frozen=True)
class Start:
    """What a training starts from: locations, "" for none. `version`: the one in use in the zoo that they are of."""

    cfg: str = ""
    weights: str = ""
    weights_names: str = ""
    version: str = ""


@dataclass(frozen=True)
class Run:
    """The run that looks. `owner`: the process that drives it (`process_identity.identity`), empty on a cluster."""

    run_id: str
    now: datetime
    owner: Mapping[str, Any]


@dataclass(frozen=True)
class Looked:
    """What came of the look. `attempt`: its number where one was begun, else 0.

    `policy`: that of the conversion, with the splits to keep; `used` and `found` are None where the share says already
    that nothing is new.
    """

    verdict: Verdict
    attempt: int
    policy: str
    start: Start
    used: UsedFrames | None = None
    found: NewData | None = None

    @property
    def numbers(self) -> dict[str, int]:
        """Scalars by name, for the metrics of the run."""
        numbers = {"attempt": self.attempt}
        if self.used is not None and self.found is not None:
            numbers |= {
                "training_pictures": self.used.count(TRAIN),
                "newly_labelled": self.found.labelled,
                "corrected": self.found.corrected,
                "gone": self.found.gone,
                "new_sites": len(self.found.sites),
                "unlabelled_pictures": self.used.unlabelled,
            }
        return numbers

    @property
    def markdown(self) -> str:
        """The verdict, then what is used and what is new, for the Kubeflow UI."""
        word, reasons = self.verdict.word, self.verdict.reasons
        lines = [f"**{word.replace('_', ' ')}**", "", *(f"- {_cell(reason)}" for reason in reasons)]
        if self.start.version and word == RETRAIN:
            lines += ["", f"Attempt {self.attempt}, trained on from {self.start.version}."]
        if self.used is None or self.found is None:
            return "\n".join([*lines, ""])
        lines += ["", "| split | pictures labelled by humans | boxes | by the device alone |", "|---|---:|---:|---:|"]
        for split, boxes in self.used.boxes.items():
            by_device = self.used.count(split, DEVICE)
            lines.append(f"| {split} | {self.used.count(split):,} | {sum(boxes.values()):,} | {by_device:,} |")
        lines += ["", f"{self.used.unlabelled:,} more pictures lie there that no human labelled."]
        if self.found.shift:
            lines += ["", "| class | % of the training boxes before | now |", "|---|---:|---:|"]
            lines += [f"| {_cell(n)} | {before:.1f} | {now:.1f} |" for n, (before, now) in self.found.shift.items()]
        return "\n".join([*lines, ""])


def look(
    convert: ConvertOptions,
    options: NewDataOptions,
    run: Run,
    *,
    zoo: AnyPath,
    model_name: str,
    fingerprint: str,
    settings: str = "",
    cache: AnyPath = "",
    start: Start = Start(),
) -> Looked:
    """Looks at what a conversion with these options would use, and begins an attempt where that pays.

    `fingerprint`: what the task snapshot returned; `settings`: those of convert as they were given, `cache`: the hashes
    that the snapshot kept; `start`: what is trained from where no version is in use. Raises what a conversion raises,
    `TrainingError` for data that failed before, `DatasetError` for splits that would not be kept, `ModelError` for a
    version in use that is damaged.
    """
    home = open_home(zoo, model_name)
    files = named_files(convert, settings, run.run_id)
    inputs = hashlib.sha256("\n".join([__version__, fingerprint, files, described(convert)]).encode()).hexdigest()
    content = ContentToMatch(ShareContent.parse(fingerprint), cache, reads_elsewhere(files))
    while True:
        attempts = settle(zoo, model_name, Attempts.read(home.location), now=run.now)
        looked = _look(convert, options, run, attempts, inputs, content)
        if looked.verdict.word != RETRAIN:
            return looked
        chosen = _start(zoo, model_name) or start
        assert looked.used is not None
        own = attempts.of_run(run.run_id)
        if own is not None and own.begun.data == looked.used.fingerprint:  # begun by this task before it was restarted
            return replace(looked, attempt=own.number, start=chosen, policy=_policy(convert, attempts.splits_of(own)))
        frames, splits = attempts.keep(looked.used)
        tried = attempts.last_tried
        begun = Begun(
            run_id=run.run_id,
            owner=run.owner,
            at=time_text(run.now),
            inputs=inputs,
            data=looked.used.fingerprint,
            frames=frames,
            splits=splits,
            training_boxes=looked.used.boxes.get(TRAIN, {}),
            in_use=chosen.version,
            compared_with=tried.number if tried is not None else 0,
            reasons=looked.verdict.reasons,
        )
        try:
            attempt = attempts.begin(begun)
        except AlreadyExistsError:
            continue  # another run began one in between: perhaps on the same data
        policy = _policy(convert, attempts.splits_of(attempt))
        return replace(looked, attempt=attempt.number, start=chosen, policy=policy)


def _look(
    convert: ConvertOptions,
    options: NewDataOptions,
    run: Run,
    attempts: Attempts,
    inputs: str,
    content: ContentToMatch,
) -> Looked:
    others = replace(attempts, attempts=tuple(one for one in attempts.attempts if one.begun.run_id != run.run_id))
    waiting = under_way(others, options, now=run.now, is_gone=_is_gone)
    if waiting is not None:
        return Looked(waiting, 0, convert.policy, Start())
    tried = others.last_tried
    if tried is not None and tried.begun.inputs == inputs and not options.again:
        assert tried.ended is not None
        same = f"share and options are as in {tried.name}, which was {tried.ended.outcome}"
        return Looked(Verdict(NO_NEW_DATA, (same,)), 0, convert.policy, Start())
    before = others.frames_of(tried) if tried is not None else ()
    pins = others.pins_of(tried) if tried is not None and not options.new_splits else None
    name = tried.name if tried is not None else ""
    used = _used(convert, pins, name, content)
    if not options.new_splits:
        check_splits(before, used.frames, pins, attempt=name)
    known = Data(before, tried.begun.training_boxes) if tried is not None else None
    found = new_data(known, Data(used.frames, used.boxes.get(TRAIN, {})))
    return Looked(verdict(others, used.fingerprint, found, options), 0, convert.policy, Start(), used, found)


def _used(convert: ConvertOptions, pins: SplitPins | None, attempt: str, content: ContentToMatch) -> UsedFrames:
    """What a conversion would use whose splits keep those of an earlier attempt, and those that the policy names."""
    if pins is None:
        return used_frames(convert, content)
    policy = policy_at(convert.policy)
    if policy.keep_splits:
        pins = _joined(read_pins(existing_path(policy.keep_splits, what=KEEP_SPLITS)), pins, attempt)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "splits.yaml")
        file.write_text(pins.text(), encoding="utf-8")
        return used_frames(replace(convert, policy=_policy(convert, str(file))), content)


def _joined(named: SplitPins, pins: SplitPins, attempt: str) -> SplitPins:
    """The splits that a policy names and those of an attempt; `DatasetError` where they differ."""
    if named.level != pins.level:
        raise DatasetError(
            f"keep_splits is by {named.level}, {attempt} kept splits by {pins.level}; leave keep_splits out, or give "
            f"new_splits"
        )
    differ = sorted(group for group, split in named.splits.items() if pins.splits.get(group, split) != split)
    if differ:
        raise DatasetError(
            f"keep_splits has {shown_names(differ)} in another split than {attempt} had; leave keep_splits out, or "
            f"give new_splits"
        )
    return SplitPins(pins.level, {**named.splits, **pins.splits})


def _policy(convert: ConvertOptions, splits: str) -> str:
    """The policy of a conversion with the splits to keep; as it is where there are none, for single pictures were."""
    return with_flags(convert.policy, {KEEP_SPLITS: splits}) if splits else convert.policy


def _start(zoo: AnyPath, model_name: str) -> Start | None:
    """The version in use, verified; None where there is none."""
    home = open_home(zoo, model_name)
    if home.current().version is None:
        return None
    version = chosen_version(home, "")
    bundle = home.bundle(version)
    verify_bundle(bundle)
    return Start(join(bundle, CFG_NAME), join(bundle, WEIGHTS_NAME), join(bundle, CLASSES_NAME), version)


def _is_gone(attempt: Attempt) -> bool:
    """Whether the process that drove an attempt ran here and has ended."""
    try:
        return bool(attempt.begun.owner) and is_gone(attempt.begun.owner)
    except (KeyError, ValueError):
        return False


def owner_of(text: str) -> dict[str, Any]:
    """The process of a run, of the JSON text in the environment of its tasks; empty for no text."""
    value = parse_json(text, where="owner of the run") if text else {}
    return dict(value) if isinstance(value, dict) else {}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")
