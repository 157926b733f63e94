"""A user's calibration table for int8: whether it is one, of this model, and the number that DeepStream wants in it."""

from pathlib import Path

from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.deepstream.config.deploy_config import TENSORRT
from traffic_yolo.deepstream.config.engine_names import onnx_is_quantized
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import INT8_NAME, ONNX_NAME, ModelFolder
from traffic_yolo.onnx_file import read_onnx, tensor_names
from traffic_yolo.storage import existing_path


def fitting_table(location: str, model: ModelFolder, onnx_path: Path | None, *, version: str) -> CalibrationTable:
    """The table at `location` for the ONNX file that is deployed (None: Darknet's pair) by DeepStream `version`.

    Raises `OptionsError` or `StorageError` where nothing is there, `ModelError` for what is no table, for one of
    another calibrator or of another model's tensors, and for an ONNX file whose Q/DQ nodes say the ranges already.
    """
    path = existing_path(location, what="calibration table")
    table = CalibrationTable.read(path)
    if onnx_path is None:
        beside = model.path / ONNX_NAME
        if beside.is_file() and set(table.scales) & tensor_names(read_onnx(beside)):
            raise ModelError(
                f"{path}: names the tensors of {ONNX_NAME}, and DeepStream-Yolo's builder gives a Darknet pair others; "
                f"deploy the ONNX file (--model-format onnx)"
            )
        return table.for_release(TENSORRT[version])
    if onnx_is_quantized(onnx_path):
        raise ModelError(
            f"{onnx_path}: has Q/DQ nodes, beside which TensorRT takes no table; give the float file with {path.name}, "
            f"or {INT8_NAME} without a table"
        )
    if problem := table.problem(tensor_names(read_onnx(onnx_path))):
        raise ModelError(f"{path}: {problem}; traffic-yolo quantize writes one of this model")
    return table.for_release(TENSORRT[version])
