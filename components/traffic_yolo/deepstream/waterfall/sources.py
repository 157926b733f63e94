"""What a waterfall is made of besides the model, opened and checked before anything slow: files, a program, a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.run.deepstream_app import read_app_run, read_manifest
from traffic_yolo.deepstream.simulate.simulator import check_simulated
from traffic_yolo.deepstream.waterfall.darknet_program import darknet_program
from traffic_yolo.deepstream.waterfall.networks import RowsOf, engine_rows, onnx_rows
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.detection.detect import Picture
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import existing_folder, existing_path


@dataclass(frozen=True)
class AppRun:
    """What a run of deepstream-app left: its boxes, and the ids of the pictures that it ran on (m,)."""

    found: Detections
    image_ids: NDArray[np.int64]


@dataclass(frozen=True)
class Sources:
    """Everything opened. `config`: what is simulated; `is_own`: whether that is the configuration just written.

    `onnx`: the model's own file; `fp16`, `int8`, `engine`, `run`: what the options name, None where they do not.
    """

    config: NvinferConfig
    is_own: bool
    onnx: RowsOf
    program: Path | None = None
    fp16: RowsOf | None = None
    int8: RowsOf | None = None
    engine: RowsOf | None = None
    run: AppRun | None = None


def open_sources(
    model: ModelFolder, config: NvinferConfig, pictures: Sequence[Picture], options: WaterfallOptions
) -> Sources:
    """Opens what `options` and the environment name; `config` is simulated unless `options` name another.

    Raises `StorageError` for a place where nothing lies, `ModelError` for a file that is not of this model or cannot be
    run here, `EvaluationError` for a run on other pictures, `OptionsError` for a program that is none.
    """
    program = darknet_program()
    if options.nvinfer_config:
        config = _given_config(options.nvinfer_config, model)
    named = {
        name: existing_path(location, what=what) if (location := getattr(options, name)) else None
        for name, what in (("fp16_onnx", "ONNX file"), ("int8_onnx", "ONNX file"), ("engine", "TensorRT engine"))
    }
    fp16, int8, engine = named.values()
    return Sources(
        config=config,
        is_own=not options.nvinfer_config,
        onnx=onnx_rows(model.onnx_path, config, model),
        program=program,
        fp16=onnx_rows(fp16, config, model) if fp16 else None,
        int8=onnx_rows(int8, config, model) if int8 else None,
        engine=engine_rows(engine, model) if engine else None,
        run=_app_run(options.deepstream_run, model, pictures) if options.deepstream_run else None,
    )


def _given_config(location: str, model: ModelFolder) -> NvinferConfig:
    """The user's configuration, which must be one of this very number of classes and input size."""
    config = NvinferConfig.read(existing_path(location, what="nvinfer configuration"))
    check_simulated(config)
    count = config.integer("num-detected-classes")
    if count != len(model.classes):
        raise ModelError(
            f"{location}: num-detected-classes={count}, the model has {len(model.classes)} classes; give the model's "
            f"own configuration"
        )
    if config.input_chw and config.input_chw != (3, *model.network_hw):
        expected = ";".join(map(str, (3, *model.network_hw)))
        raise ModelError(
            f"{location}: infer-dims={';'.join(map(str, config.input_chw))}, the model takes {expected}; give the "
            f"model's own configuration"
        )
    return config


def _app_run(location: str, model: ModelFolder, pictures: Sequence[Picture]) -> AppRun:
    folder = existing_folder(location, what="run of deepstream-app")
    found = read_app_run(folder, model.classes)
    image_ids = np.array([image_id for part in read_manifest(folder) for image_id in part.image_ids], np.int64)
    strangers = np.setdiff1d(image_ids, [picture.image_id for picture in pictures])
    if len(strangers):
        raise EvaluationError(
            f"{folder}: {len(strangers)} of its {len(image_ids)} frames are no pictures of the split, the first is "
            f"picture {strangers[0]}; give a run on this split"
        )
    return AppRun(found, image_ids)
