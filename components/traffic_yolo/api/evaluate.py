"""`traffic_yolo.evaluate`: the step of that name for a program, of any model that `load` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.api.keywords import options_of
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.detection.protocol import detections_name
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.evaluate import REPORT_NAME, EvaluationInputs
from traffic_yolo.evaluation.evaluate import evaluate as evaluate_step
from traffic_yolo.evaluation.options import EvaluateOptions
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord, Number
from traffic_yolo.evaluation.summary import provenance_sentence
from traffic_yolo.predict.model_source import found_model
from traffic_yolo.predict.options import ModelOptions
from traffic_yolo.result_view import ResultView, Viewable
from traffic_yolo.storage import AnyPath, input_path, output_path

SHOWN = (
    ("AP", "ap"),
    ("AP50", "ap50"),
    ("AP75", "ap75"),
    ("AR100", "ar100"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
)
OF_CLASS = (("AP", "ap"), ("AP50", "ap50"), ("precision", "precision"), ("recall", "recall"), ("boxes", "num_truths"))


@dataclass(frozen=True, repr=False)
class Evaluated(Viewable):
    """An evaluation. `path`: its folder; `record`: all its numbers."""

    path: Path
    record: EvaluationRecord

    @classmethod
    def open(cls, path: AnyPath) -> "Evaluated":
        """An evaluation that was made before; `StorageError` or `EvaluationError` where the folder is none."""
        folder = input_path(path, what="evaluation")
        return cls(folder, EvaluationRecord.read(folder / RECORD_NAME))

    @property
    def metrics(self) -> dict[str, Number]:
        """COCO's twelve numbers, then those at the thresholds; None where one is undefined (`EvaluationRecord`)."""
        return dict(self.record.metrics)

    @property
    def per_class(self) -> tuple[dict[str, Any], ...]:
        """The numbers of each class."""
        return self.record.per_class

    def detections(self, split: str = "") -> Path:
        """The raw detections of a split, by default the one judged; `EvaluationError` for one not detected on."""
        path = self.path / detections_name(split or self.record.split)
        if not path.is_file():
            raise EvaluationError(f"{path} is missing; name the split when evaluating: also=[{split!r}]")
        return path

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.path / REPORT_NAME

    def view(self) -> ResultView:
        """The headline numbers, where they hold, and the numbers of each class."""
        record, nms = self.record, self.record.nms
        numbers = ", ".join(f"{name} {_shown(record.metrics.get(key))}" for name, key in SHOWN)
        at = f"confidence {nms['confidence_threshold']:g}, NMS IoU {nms['iou_threshold']:g} ({nms['kind']})"
        rows = tuple(
            (str(each["class_name"]), *(each.get(key) for _, key in OF_CLASS))
            for each in sorted(record.per_class, key=lambda each: -int(each.get("num_truths") or 0))
        )
        title = f"split {record.split}: {record.data['pictures']} pictures, {record.data['truths']} true boxes"
        where = f"precision, recall and F1 at {at}"
        headers = ("class", *(name for name, _ in OF_CLASS))
        return ResultView(title, (numbers, where, provenance_sentence(record)), headers, rows)


def evaluate(
    model: AnyPath,
    dataset: AnyPath,
    out: AnyPath,
    *,
    zoo: AnyPath = "",
    version: str = "",
    cfg: AnyPath = "",
    weights_names: AnyPath = "",
    detections: AnyPath | None = None,
    **options: Any,
) -> Evaluated:
    """Detects once on a split and writes the evaluation folder `out`; it appears whole or not at all.

    `model`, `zoo`, `version`, `cfg` and `weights_names` as in `traffic_yolo.load`; `dataset`: a data set folder.
    `detections`: a folder with raw detections of this very model on this very data set. `options`: any of the command
    `evaluate` (docs/options.md) by its name with underscores: `split="val"`, `also=["test"]`,
    `confidence_threshold=0.3`, `runtime="onnxruntime"`; thresholds are Darknet's unless given, as on the command line.
    Raises what the step raises, each a `TrafficYoloError` of one line.
    """
    chosen, nms, inference = options_of("evaluate", options, EvaluateOptions, NmsOptions, InferenceOptions)
    which = ModelOptions(zoo=str(zoo), version=version, cfg=str(cfg), weights_names=str(weights_names))
    with found_model(model, which) as found:
        summary = evaluate_step(
            found.folder.path,
            dataset,
            out,
            split=chosen.split,
            also=chosen.also,
            nms=nms,
            inference=inference,
            inputs=EvaluationInputs.of(chosen, detections=detections),
        )
    return Evaluated(output_path(out), summary.record)


def _shown(value: Number) -> str:
    return "–" if value is None else f"{value:.4f}"
