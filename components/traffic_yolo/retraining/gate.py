"""Whether a retraining is begun: by what is new since the last attempt with a verdict, and by those without one.

Pure: what was looked at goes in, a word with its reasons comes out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from traffic_yolo.errors import TrainingError
from traffic_yolo.messages import one_line
from traffic_yolo.retraining.attempts import Attempt, Attempts, time_of
from traffic_yolo.retraining.comparison import NewData
from traffic_yolo.retraining.options import NewDataOptions

RETRAIN, NO_NEW_DATA, TOO_FEW, UNDER_WAY = "retrain", "no_new_data", "too_few", "under_way"
WORDS = (
    RETRAIN,
    NO_NEW_DATA,
    TOO_FEW,
    UNDER_WAY,
)  # plain: KFP compares them in a dsl.If, where a quote is silently false
MOST_CUT_OFF = 3  # attempts on the same data; a node that is lost three times in a row is no accident
SHOWN_SITES = 5


@dataclass(frozen=True)
class Verdict:
    """`word`: one of `WORDS`; `reasons`: why, as sentences without a full stop."""

    word: str
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.word}: {'; '.join(self.reasons)}"


def under_way(
    attempts: Attempts, options: NewDataOptions, *, now: datetime, is_gone: Callable[[Attempt], bool]
) -> Verdict | None:
    """The verdict where another run's attempt may still be training; None where none is.

    One without an end is taken to be cut off once its process is known to have ended (`is_gone`), or
    `under_way_hours` after its beginning.
    """
    if options.again:
        return None
    limit = timedelta(hours=options.under_way_hours)
    for attempt in reversed(attempts.attempts):
        if attempt.ended is None and not is_gone(attempt) and now - time_of(attempt.begun.at) < limit:
            return Verdict(
                UNDER_WAY,
                (
                    f"{attempt.name} of run {one_line(attempt.begun.run_id)} has no end yet; after "
                    f"{options.under_way_hours:g} h it is taken to be cut off (under_way_hours), `again` does not wait",
                ),
            )
    return None


def verdict(attempts: Attempts, data: str, found: NewData, options: NewDataOptions) -> Verdict:
    """The verdict on data with the fingerprint `data`, of which `found` is new since `attempts.last_tried`.

    Raises `TrainingError` where the same data has failed before, or was cut off too often: that does not mend itself,
    and a run that ended well would hide it.
    """
    tried = attempts.last_tried
    if options.again:
        return Verdict(RETRAIN, (f"asked for (again); {words_of(found)}",))
    if tried is not None and tried.begun.data == data:
        assert tried.ended is not None
        return Verdict(NO_NEW_DATA, (f"{tried.name} tried the same data and was {tried.ended.outcome}",))
    _refuse_repeated([one for one in _since(attempts, tried) if one.begun.data == data])
    reasons = opened_by(found, options) if tried is not None else ("the first attempt",)
    if reasons:
        return Verdict(RETRAIN, (*reasons, words_of(found)))
    if tried is not None and not (found.frames or found.gone or found.judging or found.sites or found.shift):
        return Verdict(NO_NEW_DATA, (f"what training would use is as in {tried.name}",))
    return Verdict(TOO_FEW, (words_of(found), f"the gate opens at {_thresholds(options)}"))


def opened_by(found: NewData, options: NewDataOptions) -> tuple[str, ...]:
    """Which thresholds are reached, each as a sentence."""
    reasons = []
    if 0 < options.min_new_frames <= found.frames:
        reasons.append(f"{found.frames} new pictures (min_new_frames {options.min_new_frames})")
    if 0 < options.min_new_sites <= len(found.sites):
        reasons.append(f"{len(found.sites)} new sites (min_new_sites {options.min_new_sites})")
    name, points = found.largest_shift
    if 0 < options.min_class_shift <= points:
        reasons.append(f"{name} by {points:.1f} percentage points (min_class_shift {options.min_class_shift:g})")
    return tuple(reasons)


def words_of(found: NewData) -> str:
    """What is new in one line: "+120 labelled, 14 corrected, -3; 1 new site (F); CAR 40.0 % -> 52.1 %"."""
    pictures = [f"+{found.labelled:,} labelled"]
    pictures += [f"{found.corrected:,} corrected"] if found.corrected else []
    pictures += [f"-{found.gone:,}"] if found.gone else []
    parts = [f"training pictures {', '.join(pictures)}"]
    parts += [f"{found.judging:,} others labelled or corrected"] if found.judging else []
    if found.sites:
        more = ", ..." if len(found.sites) > SHOWN_SITES else ""
        plural = "s" if len(found.sites) > 1 else ""
        parts.append(f"{len(found.sites)} new site{plural} ({', '.join(found.sites[:SHOWN_SITES])}{more})")
    name, points = found.largest_shift
    if points:
        before, now = found.shift[name]
        parts.append(f"{name} {before:.1f} % -> {now:.1f} % of the training boxes")
    return "; ".join(parts)


def _since(attempts: Attempts, tried: Attempt | None) -> list[Attempt]:
    return [one for one in attempts.attempts if tried is None or one.number > tried.number]


def _refuse_repeated(same: Sequence[Attempt]) -> None:
    """Raises `TrainingError` for attempts on the same data that failed, or were cut off too often."""
    failed = [one for one in same if one.ended is not None]
    if failed:
        assert failed[-1].ended is not None
        why = "; ".join(failed[-1].ended.reasons) or "its run says why"
        raise TrainingError(f"{failed[-1].name} failed on the same data: {why}; mend that, and give again")
    if len(same) >= MOST_CUT_OFF:
        raise TrainingError(
            f"{len(same)} attempts on the same data were cut off, the last in run {one_line(same[-1].begun.run_id)} "
            f"({same[-1].begun.at}); see what ended it (memory, time limit, node), and give again"
        )


def _thresholds(options: NewDataOptions) -> str:
    set_ones = (
        (options.min_new_frames, f"{options.min_new_frames} pictures (min_new_frames)"),
        (options.min_new_sites, f"{options.min_new_sites} new sites (min_new_sites)"),
        (options.min_class_shift, f"{options.min_class_shift:g} percentage points of a class (min_class_shift)"),
    )
    return " or ".join(text for value, text in set_ones if value)
