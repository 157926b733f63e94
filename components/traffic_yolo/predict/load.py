"""`traffic_yolo.load`: a model for a Python program, by the same rules as the command `predict`."""

from collections.abc import Mapping

from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.predict.model import Model
from traffic_yolo.predict.options import ModelOptions
from traffic_yolo.storage import AnyPath


def load(
    model: AnyPath,
    *,
    zoo: AnyPath = "",
    version: str = "",
    cfg: AnyPath = "",
    weights_names: AnyPath = "",
    operating_point: AnyPath = "",
    confidence_threshold: float | None = None,
    class_thresholds: Mapping[str, float] | None = None,
    iou_threshold: float | None = None,
    device: str = "auto",
    runtime: str = "pytorch",
    precision: str = "float32",
    batch: int = 8,
) -> Model:
    """Reads a model: a model folder or bundle, a Darknet `.weights` file, or "zoo://NAME".

    `zoo`: where the zoo lies (a path, nas:// or s3://), else the variable TRAFFIC_YOLO_ZOO says it; `version`: by
    default the one in use. `cfg` and `weights_names` go with a `.weights` file, by default its neighbours. Thresholds
    are those of the model's operating point, or of the file or tuning folder `operating_point`, unless given;
    `class_thresholds` by class name. `device`, `runtime`, `precision`, `batch` as the command line has them.

    Raises a `TrafficYoloError` of one line for a model that cannot be found or read, and for options that make no
    sense.
    """
    options = ModelOptions(
        zoo=str(zoo),
        version=version,
        cfg=str(cfg),
        weights_names=str(weights_names),
        operating_point=str(operating_point),
        confidence_threshold=confidence_threshold,
        class_thresholds=",".join(f"{name}={value!r}" for name, value in (class_thresholds or {}).items()),
        iou_threshold=iou_threshold,
    )
    return Model.open(model, options, InferenceOptions(runtime, precision, device, batch))
