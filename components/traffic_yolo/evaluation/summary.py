"""The headline of an evaluation in a few lines of Markdown, for the Kubeflow UI and for a terminal.

Kubeflow's UI cuts Markdown at 400,000 characters; a model of a thousand classes stays below a tenth of that.
"""

from collections.abc import Sequence

from traffic_yolo.evaluation.provenance import NOT_SEEN, UNKNOWN
from traffic_yolo.evaluation.record import EvaluationRecord, Number

MAX_CLASSES = 100
HEADLINE = (("AP", "ap"), ("AP50", "ap50"), ("AP75", "ap75"), ("AR100", "ar100"))
POINT = (("precision", "precision"), ("recall", "recall"), ("F1", "f1"))


def summary_markdown(record: EvaluationRecord) -> str:
    """Headline, provenance, classes, the costliest errors, and the weakest slice of each dimension."""
    nms = record.nms
    shown = [(label, _shown(record.metrics.get(name))) for label, name in [*HEADLINE, *POINT]]
    parts = [
        f"**Split {record.split}**: {record.data['pictures']} pictures, {record.data['truths']} true boxes. "
        f"Precision, recall and F1 at confidence {nms['confidence_threshold']:g}, NMS IoU {nms['iou_threshold']:g} "
        f"({nms['kind']}).\n",
        *_origins(record),
        *_warning(record),
        _table([label for label, _ in shown], [[value for _, value in shown]], first_is_text=False),
        _classes(record),
        _errors(record),
        _weakest_slices(record),
    ]
    return "\n".join(part for part in parts if part)


def provenance_sentence(record: EvaluationRecord) -> str:
    """One sentence on whether the weights may have seen the pictures."""
    found = record.provenance
    reasons = "; ".join(found["reasons"])
    if found["verdict"] == NOT_SEEN:
        return f"The weights have not seen these pictures: {reasons}."
    if found["verdict"] == UNKNOWN:
        return f"Whether the weights have seen these pictures is not known: {reasons}."
    return (
        f"The weights {'have' if found['verdict'] == 'seen' else 'may have'} seen {found['pictures']} of these "
        f"{found['of']} pictures, so these numbers flatter: {reasons}."
    )


def _origins(record: EvaluationRecord) -> list[str]:
    """Which raw detections this evaluation made, and which it found."""
    splits_of: dict[str, list[str]] = {}
    for split, origin in record.detections.items():
        splits_of.setdefault(origin, []).append(split)
    listed = "; ".join(f"{origin} for {', '.join(splits)}" for origin, splits in sorted(splits_of.items()))
    return [f"Raw detections {listed}.\n"] if listed else []


def _warning(record: EvaluationRecord) -> list[str]:
    sentence = provenance_sentence(record)
    return [] if record.provenance["verdict"] in (NOT_SEEN, UNKNOWN) else [f"**Warning.** {sentence}\n"]


def _classes(record: EvaluationRecord) -> str:
    names = ("ap", "ap50", "precision", "recall")
    rows = [
        [entry["class_name"], *(_shown(entry.get(name)) for name in names), str(entry.get("num_truths", "–"))]
        for entry in sorted(record.per_class, key=lambda entry: -entry.get("num_truths", 0))[:MAX_CLASSES]
    ]
    text = _table(["class", "AP", "AP50", "precision", "recall", "true boxes"], rows)
    left = len(record.per_class) - len(rows)
    return f"{text}\n{left} classes with fewer true boxes are in the report.\n" if left else text


def _errors(record: EvaluationRecord) -> str:
    costs, counts = record.errors.get("ap50_cost", {}), record.errors.get("counts", {})
    rows = [[kind, str(counts.get(kind, "–")), _shown(cost)] for kind, cost in costs.items()]
    return _table(["error", "count at the thresholds", "costs AP50"], rows) if rows else ""


def _weakest_slices(record: EvaluationRecord) -> str:
    rows = []
    for dimension in dict.fromkeys(part["dimension"] for part in record.slices):
        parts = [p for p in record.slices if p["dimension"] == dimension and p["recall"] is not None]
        if parts:
            weakest = min(parts, key=lambda part: part["recall"])
            low_high = weakest["recall_interval"]
            interval = f"{low_high[0]:.2f}–{low_high[1]:.2f}" if low_high else "–"
            cells = [_shown(weakest["ap50"]), _shown(weakest["recall"]), interval, str(weakest["truths"])]
            rows.append([dimension, weakest["value"], *cells])
    headers = ["slice by", "weakest", "AP50", "recall", "95 % interval", "true boxes"]
    return _table(headers, rows) if rows else ""


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, first_is_text: bool = True) -> str:
    align = ["---" if first_is_text and index == 0 else "---:" for index in range(len(headers))]
    lines = [f"| {' | '.join(headers)} |", f"|{'|'.join(align)}|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(value: Number) -> str:
    return "–" if value is None else f"{value:.4f}"
