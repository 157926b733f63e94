"""What a training leaves for people to look at: pictures of batches and mistakes, curves, the report, event logs."""

import dataclasses
import logging

from traffic_yolo.dataset.pictures.choice import NONE
from traffic_yolo.dataset.report.anchor_fit import anchors_of
from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.html_report import standalone_svg
from traffic_yolo.metrics.coco import CocoMetrics, evaluate_coco
from traffic_yolo.page_origin import About, Subject, short_path
from traffic_yolo.storage import write_text
from traffic_yolo.training.anchor_report import AnchorFit, fit_anchors
from traffic_yolo.training.batch_pictures import (
    BATCHES_FOLDER,
    PREDICTIONS_FOLDER,
    SHOWN_BATCHES,
    ShownPicture,
    batch_picture,
    prediction_pictures,
    write_pictures,
    written_batches,
)
from traffic_yolo.training.curves import curves_svg
from traffic_yolo.training.event_log import Outcome
from traffic_yolo.training.event_logs import EventLogs
from traffic_yolo.training.history import HistoryRow
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.report import REPORT_NAME, ClassResult, TrainingReport, training_report
from traffic_yolo.training.run import Run
from traffic_yolo.training.scale_history import scales_html
from traffic_yolo.training.settings import resolved_options
from traffic_yolo.training.size_advice import SizeAdvice, size_advice
from traffic_yolo.training.start import DEFAULT_CFG
from traffic_yolo.training.summary import TrainingSummary
from traffic_yolo.training.verdict import NO_BASELINE
from traffic_yolo.verdict_file import VERDICT_NAME

CURVES_NAME = "curves.svg"

log = logging.getLogger(__name__)


class RunOutputs:
    """Follows one run, in the first process; `row` and `batch` are called by it as it goes."""

    def __init__(self, run: Run, logs: EventLogs) -> None:
        self._run, self._logs = run, logs
        self._pictures = run.options.pictures
        self._advice: SizeAdvice | None = None
        self._anchors: AnchorFit | None = None

    def begin(self) -> None:
        """Looks at the boxes of the data and says how they suit the network's size and anchors."""
        network, images = self._run.network, self._run.images
        height, width = network.input_hw
        self._advice = size_advice(network, images)
        anchors = anchors_of(network.cfg)
        self._anchors = fit_anchors(images, anchors, (width, height), letterbox=network.letterbox)
        for advice in (self._advice, self._anchors):
            if advice is not None:
                self._run.tell(advice.text)

    def batch(self, iteration: int, batch: Batch) -> None:
        """The first batches become pictures; a run that goes on has them already."""
        if iteration < SHOWN_BATCHES and self._pictures != NONE:
            classes = self._run.data_set.classes
            shown = batch_picture(batch, classes, iteration=iteration + 1, pictures_shown=self._pictures)
            write_pictures(self._run.out / BATCHES_FOLDER, [shown])
            self._logs.picture("batches", shown, iteration + 1)

    def row(self, row: HistoryRow) -> None:
        """After an update, and again after its validation."""
        self._logs.row(row)

    def finish(self, summary: TrainingSummary) -> None:
        """Writes curves and report, and tells the logs how it ended."""
        run = self._run
        curves = curves_svg(run.history.rows, best_iteration=summary.best_iteration)
        write_text(run.out / CURVES_NAME, standalone_svg(curves))
        predictions = self._predictions()
        report = TrainingReport(
            verdicts=[verdict.text for verdict in summary.verdicts],
            is_improvement=summary.is_improvement if run.carried else None,
            curves=curves,
            settings=dataclasses.asdict(resolved_options(run.options, run.settings)),
            numbers=_tiles(summary),
            advice=summary.advice,
            classes=self._classes(),
            batches=self._batches(),
            predictions=predictions,
            anchors=self._anchors,
            size_advice=[self._advice.text] if self._advice else [],
            dropped={
                name.replace("_", " "): count
                for name, count in dataclasses.asdict(run.pictures.box_counts).items()
                if name != "trained"
            },
            skipped=summary.skipped,
            scales=scales_html(run.scales) if run.scales is not None else "",
        )
        write_text(run.out / REPORT_NAME, training_report(report, self._about()))
        for shown in predictions:
            self._logs.picture("predictions", shown, summary.best_iteration)
        words = {verdict.split: verdict.word for verdict in summary.verdicts}
        files = [run.out / name for name in (REPORT_NAME, CURVES_NAME, VERDICT_NAME, "history.csv", "settings.yaml")]
        self._logs.finish(
            Outcome(summary.numbers(), {f"verdict_{split}": word for split, word in words.items()}, files)
        )

    def _about(self) -> About:
        """The network and what it started from, and the data set."""
        run, options = self._run, self._run.options
        start = f"from {short_path(options.weights)}" if options.weights else "from nothing"
        network = short_path(options.cfg) if options.cfg else DEFAULT_CFG
        model = Subject("model", f"{network}, {start}")
        return About((model, run.data_set.subject(run.out)), run.out)

    def _batches(self) -> list[ShownPicture]:
        if self._pictures == NONE:
            return []
        return written_batches(self._run.out / BATCHES_FOLDER, pictures_shown=self._pictures)

    def _predictions(self) -> list[ShownPicture]:
        run, validation = self._run, self._run.validation
        if self._pictures == NONE:
            return []
        try:
            shown = prediction_pictures(
                validation.images,
                validation.truth,
                run.best_measured().detections,
                confidence_threshold=validation.nms.confidence_threshold,
                pictures_shown=self._pictures,
            )
        except TrafficYoloError as error:  # a picture that has gone since: the weights are no worse for it
            log.warning("no pictures of predictions: %s", error)
            return []
        write_pictures(run.out / PREDICTIONS_FOLDER, shown)
        return shown

    def _classes(self) -> list[ClassResult]:
        run = self._run
        best = run.best_measured().coco
        start = evaluate_coco(run.validation.truth, run.choice.start) if run.choice.start is not None else None
        return [
            ClassResult(each.class_name, each.num_truths, _ap50_of(start, each.class_name, run.carried), each.ap50)
            for each in best.per_class
        ]


def _ap50_of(metrics: CocoMetrics | None, name: str, carried: tuple[str, ...]) -> float | None:
    if metrics is None or name not in carried:
        return None
    return next(each.ap50 for each in metrics.per_class if each.class_name == name)


def _tiles(summary: TrainingSummary) -> list[tuple[str, float | int | str]]:
    found: list[tuple[str, float | int | str]] = [("AP50 on val", summary.best_ap50)]
    if summary.baseline_ap50 is not None:
        found.append(("AP50 of the start", summary.baseline_ap50))
    found += [("best after iterations", summary.best_iteration), ("iterations", summary.iteration)]
    if words := [verdict.word for verdict in summary.verdicts if verdict.word != NO_BASELINE]:
        found.append(("verdict", words[-1]))
    return found
