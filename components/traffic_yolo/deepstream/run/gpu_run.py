"""`deepstream run`: the real deepstream-app over a split, its boxes compared with nvinfer's rules on a CPU, and judged.

One run at a confidence of 0.001 gives both AP and the boxes at the operating point: a box below a threshold changes
nothing above it in NMS. NOBODY HAS RUN THIS ON A GPU YET: what is tested is all but deepstream-app itself.
"""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.bundle_check import check_published
from traffic_yolo.deepstream.config.deploy_config import CONFIG_NAME, DeployOptions, deploy_config
from traffic_yolo.deepstream.config.engine_names import EngineName, onnx_is_quantized
from traffic_yolo.deepstream.config.int8_table import fitting_table
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.nvinfer_keys import PROPERTY
from traffic_yolo.deepstream.parity.agreement import Parity, compare
from traffic_yolo.deepstream.parity.limits import problems_of_class_aps, problems_of_classes
from traffic_yolo.deepstream.run.app_log import AppLog, precision_of
from traffic_yolo.deepstream.run.app_process import find_app, run_app
from traffic_yolo.deepstream.run.deepstream_app import FRAMES_FOLDER, RunPart, read_app_run, write_app_run
from traffic_yolo.deepstream.run.options import GpuRunOptions
from traffic_yolo.deepstream.run.report import gpu_run_report
from traffic_yolo.deepstream.run.summary import SIMULATED, GpuRunSummary
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.deepstream.validate import at_floor, read_operating_point
from traffic_yolo.deepstream.verdict import AP_NAMES, SINGLE_LABEL, problems_of
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.protocol import check_same_classes
from traffic_yolo.errors import EvaluationError, GateError, ModelError, OptionsError
from traffic_yolo.metrics.coco import CocoMetrics, evaluate_coco
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.model_folder import ONNX_NAME, TABLE_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.page_origin import REPORT_NAME, About, Subject
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    existing_path,
    input_path,
    output_path,
    write_json,
    write_text,
)

SCHEMA_VERSION = 1
RUN_NAME = "run.json"
LOG_NAME = "deepstream-app.log"


def run_on_deepstream(
    model: AnyPath, dataset: AnyPath, operating_point: AnyPath, out: AnyPath, options: GpuRunOptions
) -> GpuRunSummary:
    """Runs deepstream-app over a split and writes `out`: run.json, report.html, log, configurations, KITTI files.

    The boxes are compared with the simulator's at the thresholds of `operating_point`, AP from 0.001 up. A run beyond
    the limits, or of another precision than asked for, is written and then raises `GateError`, unless
    `options.require_parity` is off.

    Raises `OptionsError` for a program, library or engine that is not there or does not fit, `ModelError` for a model
    without ONNX file or of other classes, and where deepstream-app fails, hangs or builds no engine (its log is kept
    beside `out`, as `<out>.log`); `EvaluationError` for an empty split and for dumps that are missing, of another
    resolution or of unknown labels. Nothing is left in `out` then.
    """
    program = find_app(options.deepstream_app)
    library = existing_path(options.parser_library, what="parser library")
    target, folder, data = output_path(out), ModelFolder.open(model), DataSet.open(dataset)
    check_published(folder.path)
    check_same_classes(folder.classes, data.classes)
    images = data.split(options.split)
    if not images:
        raise EvaluationError(f"{dataset}: split {options.split!r} has no pictures to run on; {data.filled_splits}")
    point = read_operating_point(input_path(operating_point, what="operating point"), folder)
    onnx_path = folder.onnx_path
    table = None
    if options.calibration_table:
        table = fitting_table(options.calibration_table, folder, onnx_path, version=options.version)
    deploy = DeployOptions(
        iou_threshold=point.nms.iou_threshold,
        topk=options.topk,
        precision=options.precision,
        version=options.version,
        parser_library=str(library.resolve()),
        parser_function=options.parser_function,
        has_table=table is not None,
        quantized=options.precision == "int8" and onnx_is_quantized(onnx_path),
    )
    config = at_floor(deploy_config(folder, deploy))
    with atomic_folder(target) as work:
        parts = write_app_run(work, images, folder.path, config, run_folder=str(work.resolve()))
        written = NvinferConfig.read(work / CONFIG_NAME)
        if table is not None:
            write_text(work / TABLE_NAME, table.text)
        if options.engine:
            _bring_engine(existing_path(options.engine, what="engine"), work, written)
        simulator = Simulator(written, work)
        made_of = simulator.metadata.get("weights_sha256", folder.sha256(WEIGHTS_NAME))
        if made_of != folder.sha256(WEIGHTS_NAME):
            raise ModelError(f"{folder.path / ONNX_NAME} was not made of {WEIGHTS_NAME} beside it; export again")
        log = work / LOG_NAME
        seconds = _run_parts(program, parts, work, log, options, kept=target.with_name(f"{target.name}.log"))
        found = read_app_run(work, folder.classes)
        expected = simulator.detections(simulator.run(images))
        thresholds = [point.by_class.get(name, point.nms.confidence_threshold) for name in folder.classes]
        parity = compare(
            _above(expected, thresholds),
            _above(found, thresholds),
            num_classes=len(folder.classes),
            confidence_threshold=thresholds,
        )
        truth = read_ground_truth(data.coco_path(options.split), folder.classes)
        measured = {SIMULATED: evaluate_coco(truth, expected), "deepstream": evaluate_coco(truth, found)}
        engine, precision, changed = _engine(work, written, deploy.engine_precision, AppLog.read(log))
        if options.engine and AppLog.read(log).engine_was_rebuilt:
            changed = (*changed, f"{Path(options.engine).name} could not be used, and another engine was built")
        asked = options.precision if precision == deploy.engine_precision else precision
        summary = GpuRunSummary(
            target,
            options.split,
            len(images),
            len(parts),
            asked,
            engine,
            seconds,
            parity,
            {side: {name: getattr(metrics, name) for name in AP_NAMES} for side, metrics in measured.items()},
            (*changed, *_problems(parity, measured, folder.classes)),
        )
        for part in parts:
            shutil.rmtree(work / part.folder / FRAMES_FOLDER)  # the data set has the pictures
        write_json(work / RUN_NAME, _description(summary, folder, options))
        about = (folder.subject(target), data.subject(target), Subject("split", options.split))
        write_text(work / REPORT_NAME, gpu_run_report(summary, folder.classes, About(about, target)))
    if options.require_parity and summary.problems:
        raise GateError(f"{target}: {'; '.join(summary.problems)}")
    return summary


def _above(detections: Detections, thresholds: Sequence[float]) -> Detections:
    """The detections of at least their class's threshold, as nvinfer keeps them; (C,)."""
    return detections.select(detections.scores >= np.array(thresholds, np.float32)[detections.class_ids])


def _bring_engine(engine: Path, work: Path, config: NvinferConfig) -> None:
    """Copies an engine of an earlier run, whose name must be that of this model, batch and precision."""
    wanted = config.text("model-engine-file")
    if engine.name != wanted:
        raise OptionsError(
            f"engine: {engine.name} is not of this model, batch and precision; expected {wanted}, named by the ONNX "
            f"file's hash, as an earlier run left it"
        )
    shutil.copyfile(engine, work / wanted)


def _run_parts(
    program: str, parts: Sequence[RunPart], work: Path, log: Path, options: GpuRunOptions, *, kept: Path
) -> float:
    """Runs each size's application; seconds of all. The time limit is one for all of them."""
    began = time.monotonic()
    for part in parts:
        left = options.timeout_minutes * 60 - (time.monotonic() - began)
        code = None
        try:
            code = run_app(program, part.app_config, work, log, timeout_s=max(left, 0.0))
        except ModelError as error:
            _keep(log, kept)
            raise ModelError(f"{error}; log: {kept}") from error
        if code != 0:
            _keep(log, kept)
            ended = f"with exit code {code}" if code > 0 else f"by signal {-code}"
            raise ModelError(f"deepstream-app ended {ended}: {AppLog.read(log).cause}; log: {kept}")
    return time.monotonic() - began


def _keep(log: Path, kept: Path) -> None:
    """Saves the log of a run that failed, whose folder goes."""
    shutil.copyfile(log, kept)


def _engine(work: Path, config: NvinferConfig, asked: str, log: AppLog) -> tuple[str, str, tuple[str, ...]]:
    """(the engine's file, the precision that ran, what speaks against the one asked for)."""
    stem = config.text("onnx-file")
    found = {path.name: EngineName.parse(path.name) for path in sorted(work.glob("*.engine"))}
    names = {name: engine for name, engine in found.items() if engine is not None and engine.model == stem}
    precision, changed = precision_of(asked, log, [engine.precision for engine in names.values()])
    if not names:
        changed = (*changed, f"the run left no engine of {stem}: which one ran, nobody can say")
    wanted = config.groups[PROPERTY]["model-engine-file"]
    return (wanted if wanted in names else next(iter(names), "")), precision, changed


def _problems(parity: Parity, measured: Mapping[str, CocoMetrics], classes: Sequence[str]) -> tuple[str, ...]:
    """The limits of parity that are exceeded: boxes, classes, AP50 over all and of each."""
    aps = {side: {name: getattr(metrics, name) for name in AP_NAMES} for side, metrics in measured.items()}
    return (
        *problems_of(parity, {SINGLE_LABEL: aps[SIMULATED], "deepstream": aps["deepstream"]}),
        *problems_of_classes(parity, classes),
        *problems_of_class_aps(measured[SIMULATED].per_class, measured["deepstream"].per_class),
    )


def _description(summary: GpuRunSummary, model: ModelFolder, options: GpuRunOptions) -> dict[str, Any]:
    """The content of run.json."""
    parity = summary.parity.document()
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": summary.passed,
        "problems": list(summary.problems),
        "split": summary.split,
        "pictures": summary.pictures,
        "parts": summary.parts,
        "options": dataclasses.asdict(options),
        "precision": summary.precision,
        "engine": summary.engine,
        "seconds": round(summary.seconds, 1),
        "left": "onnxruntime under nvinfer's rules (simulated)",
        "right": "deepstream-app",
        "agreement": summary.parity.agreement,
        "explained_agreement": summary.parity.explained_agreement,
        "parity": parity,
        "metrics": {side: dict(values) for side, values in summary.metrics.items()},
        "onnx_sha256": model.sha256(ONNX_NAME),
        "weights_sha256": model.sha256(WEIGHTS_NAME),
    }
