"""`deepstream config`: a folder that DeepStream can start from, with the model's files and what configures them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.deepstream.config.app_config import SOURCES_NAME, AppConfig, app_config
from traffic_yolo.deepstream.config.bundle_check import check_published
from traffic_yolo.deepstream.config.deploy_config import (
    CONFIG_NAME,
    DeployOptions,
    deploy_config,
    named_by_content,
)
from traffic_yolo.deepstream.config.engine_names import onnx_is_quantized
from traffic_yolo.deepstream.config.int8_table import fitting_table
from traffic_yolo.deepstream.config.lint import ConfigLint, lint
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.options import AppOptions, ConfigOptions
from traffic_yolo.deepstream.validate import read_operating_point
from traffic_yolo.errors import ModelError, OptionsError
from traffic_yolo.model_folder import (
    CFG_NAME,
    LABELS_NAME,
    TABLE_NAME,
    WEIGHTS_NAME,
    ModelFolder,
    labels_text,
)
from traffic_yolo.onnx_file import onnx_metadata
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    existing_path,
    input_path,
    output_path,
    sha256_of_file,
    write_text,
)

APP_NAME = "deepstream_app.txt"
POINT_NAME = "operating_point.json"


@dataclass(frozen=True)
class Deployment:
    """What was written: the two configurations (`app` None where no sources were given), and our lint of them."""

    folder: Path
    nvinfer: Path
    app: Path | None
    lint: ConfigLint

    @property
    def text(self) -> str:
        """For people: the files, how to start, and what the lint finds but files of the GPU node."""
        start = f"cd {self.folder} && deepstream-app -c {self.app.name}" if self.app else ""
        lines = [f"nvinfer's configuration {self.nvinfer}", *([f"application {self.app}; {start}"] if self.app else [])]
        found = [finding.to_text() for finding in self.lint.findings if finding.rule != "missing-file"]
        return "\n".join([*lines, *found])


def write_deployment(
    model: AnyPath, out: AnyPath, options: ConfigOptions, app: AppOptions, *, tuning: AnyPath | None = None
) -> Deployment:
    """Writes the folder: configurations with a reason for each value, and copies of the files that they name.

    Thresholds are those of `options`, else of the operating point in `tuning` (the folder of the step tune), else of
    the configuration in a bundle. The ONNX file carries its hash in its name, so that no engine of another model is
    taken. Raises `OptionsError` for options that cannot be, thresholds that nobody states among them, and `ModelError`
    for a model folder without the files, or a bundle with another file than was published.
    """
    target, folder = output_path(out), ModelFolder.open(model)
    check_published(folder.path)
    onnx_path = _onnx(folder, options)
    table = None
    if options.calibration_table:
        table = fitting_table(options.calibration_table, folder, onnx_path, version=options.version)
    confidence, iou, by_class = _thresholds(folder, options, tuning)
    deploy = DeployOptions(
        confidence_threshold=confidence,
        iou_threshold=iou,
        class_thresholds=by_class,
        topk=options.topk,
        batch=options.batch or max(1, len(app.sources)),
        model_format=options.model_format,
        precision=options.precision,
        parser_library=options.parser_library,
        parser_function=options.parser_function,
        version=options.version,
        resize=options.resize,
        has_table=table is not None,
        quantized=onnx_path is not None and options.precision == "int8" and onnx_is_quantized(onnx_path),
    )
    config = deploy_config(folder, deploy)
    if onnx_path is not None:
        config = named_by_content(config, sha256_of_file(onnx_path))
    suffix = "yml" if options.form == "yaml" else "txt"
    nvinfer_name = CONFIG_NAME.replace("txt", suffix)
    application = None if not app.sources else app_config(app, batch=deploy.batch, nvinfer_name=nvinfer_name)
    with atomic_folder(target) as made:
        for source, name in _files(folder, config, onnx_path):
            shutil.copyfile(source, made / name)
        if table is not None:
            write_text(made / TABLE_NAME, table.text)
        write_text(made / LABELS_NAME, labels_text(folder.classes))
        write_text(made / nvinfer_name, config.to_text(options.form))
        app_name = _write_application(made, application, options.form, suffix)
        _check(made / (app_name or nvinfer_name), folder)
    report = lint(target / (app_name or nvinfer_name), model=folder.path)
    return Deployment(target, target / nvinfer_name, target / app_name if app_name else None, report)


def _thresholds(
    model: ModelFolder, options: ConfigOptions, tuning: AnyPath | None
) -> tuple[float, float, dict[str, float]]:
    """Confidence, IoU and single classes' thresholds; what is given wins over what was chosen for the model."""
    confidence, iou = options.confidence_threshold, options.iou_threshold
    by_class = options.thresholds_by_class()
    if unknown := sorted(set(by_class) - set(model.classes)):
        known = ", ".join(model.classes)
        raise OptionsError(f"class_thresholds: {unknown[0]!r} is no class of the model; expected one of {known}")
    if tuning is not None:
        point = read_operating_point(input_path(tuning, what="tuning folder") / POINT_NAME, model)
        chosen = (point.nms.confidence_threshold, point.nms.iou_threshold, dict(point.by_class))
    elif (model.path / CONFIG_NAME).is_file():
        published = NvinferConfig.read(model.path / CONFIG_NAME)
        everyone = published.class_attributes(len(model.classes))  # no class: what all have
        own = {
            name: published.class_attributes(class_id).pre_cluster_threshold
            for class_id, name in enumerate(model.classes)
        }
        single = {name: value for name, value in own.items() if value != everyone.pre_cluster_threshold}
        chosen = (everyone.pre_cluster_threshold, everyone.nms_iou_threshold, single)
    elif confidence is None or iou is None:
        raise OptionsError(
            f"confidence_threshold and iou_threshold: {model.path} is no bundle, which would state them; give both, or "
            f"the folder of tune (--tuning)"
        )
    else:
        return confidence, iou, by_class
    # A threshold for all that is given replaces those of single classes too, which were chosen beside another one
    single_ones = chosen[2] if confidence is None else {}
    return (
        chosen[0] if confidence is None else confidence,
        chosen[1] if iou is None else iou,
        {**single_ones, **by_class},
    )


def _onnx(folder: ModelFolder, options: ConfigOptions) -> Path | None:
    """The ONNX file to deploy, where that is the way; `ModelError` for one that was made of other weights."""
    if options.model_format != "onnx":
        return None
    if not options.onnx:
        return folder.onnx_path
    path = existing_path(options.onnx, what="ONNX file")
    made_of = onnx_metadata(path).get("weights_sha256", "")
    if made_of and made_of != folder.sha256(WEIGHTS_NAME):
        raise ModelError(f"{path} was not made of {folder.weights_path} ({made_of[:12]}…); give the one that was")
    return path


def _files(folder: ModelFolder, config: NvinferConfig, onnx_path: Path | None) -> list[tuple[Path, str]]:
    """(where a file lies, its name beside the configuration) of the model's files."""
    if onnx_path is not None:
        return [(onnx_path, config.text("onnx-file"))]
    return [(folder.path / name, name) for name in (CFG_NAME, WEIGHTS_NAME)]


def _write_application(made: Path, application: AppConfig | None, form: str, suffix: str) -> str:
    """Writes the application's files; the name of the first, "" where there is none."""
    if application is None:
        return ""
    name = APP_NAME.replace("txt", suffix)
    write_text(made / name, application.to_text(form))
    if form == "yaml":
        write_text(made / SOURCES_NAME, application.sources_text())
    return name


def _check(path: Path, model: ModelFolder) -> None:
    """What we write must pass our own lint; a resize that was asked for against the cfg is the user's word."""
    report = lint(path, model=model.path)
    errors = [one.to_text() for one in report.findings if one.severity == "error" and one.rule != "resize"]
    if errors:
        raise ModelError(f"the configuration does not pass deepstream lint: {'; '.join(errors)}")
