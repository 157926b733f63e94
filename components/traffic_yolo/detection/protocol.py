"""What ties raw detections to the model, the pictures and the rules that made them; needs no torch."""

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR, Protocol, RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.model_folder import CFG_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.storage import AnyPath, input_path

# Runtime and precision are left out: they are what the detections say they are, and the record says so too.
_MUST_AGREE = ("cfg_sha256", "weights_sha256", "network_hw", "resize", "images_fingerprint")


def detections_name(split: str) -> str:
    """The file of a split's raw detections in an evaluation folder."""
    return f"detections_{split}.npz"


def images_fingerprint(data: DataSet, split: str) -> str:
    """What `Protocol.images_fingerprint` is for the pictures of one split."""
    return f"{data.fingerprint}/{split}"


def protocol_of(model: ModelFolder, data: DataSet, split: str) -> Protocol:
    """The protocol under which PyTorch in float32 detects on one split."""
    return Protocol(
        cfg_sha256=model.sha256(CFG_NAME),
        weights_sha256=model.sha256(WEIGHTS_NAME),
        network_hw=model.network_hw,
        resize=model.resize,
        images_fingerprint=images_fingerprint(data, split),
        confidence_floor=CONFIDENCE_FLOOR,
    )


def check_same_classes(model_classes: tuple[str, ...], data_classes: tuple[str, ...]) -> None:
    """Raises `EvaluationError` unless model and data set have the same class names; their order may differ."""
    if set(model_classes) != set(data_classes):
        raise EvaluationError(
            f"the model's classes ({', '.join(model_classes)}) are not the data set's ({', '.join(data_classes)}); "
            f"convert with a class map, or train from these weights with weights_names"
        )


def read_detections(folder: AnyPath, model: ModelFolder, data: DataSet, split: str) -> RawDetections:
    """The raw detections of one split in an evaluation folder, made by this very model on these very pictures.

    Raises `EvaluationError` that names what differs otherwise, for a shard, and where a picture is missing. Runtime and
    precision may be any: they stand in the protocol of what is returned.
    """
    path = input_path(folder, what="raw detections") / detections_name(split)
    raw = RawDetections.load(path)
    expected = protocol_of(model, data, split)
    for name in _MUST_AGREE:
        found, wanted = getattr(raw.protocol, name), getattr(expected, name)
        if found != wanted:
            raise EvaluationError(
                f"{path}: made under another protocol: {name} is {found}, this model and data set have {wanted}; "
                f"detect again"
            )
    if raw.classes != model.classes:
        raise EvaluationError(f"{path}: detections of classes {raw.classes}, the model has {model.classes}")
    if raw.shard:
        raise EvaluationError(f"{path}: shard {raw.shard} of the split, not all of it; join them by merge-detections")
    if len(raw) != data.num_images[split]:  # a picture without boxes counts: one that is missing would look like it
        raise EvaluationError(
            f"{path}: detections on {len(raw)} pictures, split {split} has {data.num_images[split]}; detect again"
        )
    return raw
