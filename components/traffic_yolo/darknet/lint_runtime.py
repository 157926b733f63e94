"""Lint rules about what lies around the network: resize, classes of a box, batch-norm, and the weights file's size."""

from collections.abc import Iterator

from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import Rule, Subject
from traffic_yolo.darknet.lint_targets import DETECTION_SECTIONS
from traffic_yolo.darknet.weights import WeightsHeader, read_weights
from traffic_yolo.errors import DarknetFormatError


def resize(subject: Subject) -> Iterator[CfgFinding]:
    """`letter_box` of [net] against how the runtime resizes."""
    wanted = "letterbox" if subject.cfg.net.get_int("letter_box", 0) else "stretch"
    how = {
        "darknet": "use or leave out -letter_box; `detector train` and `map` follow the cfg",
        "deepstream-yolo": f"set maintain-aspect-ratio={int(wanted == 'letterbox')}"
        + (" and symmetric-padding=1 (nvinfer pads black, Darknet grey)" if wanted == "letterbox" else ""),
        "onnx": f"{wanted} the picture before the network, as Darknet does",
        "opencv": f"{wanted} the picture yourself; blobFromImage stretches or crops",
    }[subject.target.name]
    if subject.setup.resize and subject.setup.resize != wanted:
        message = f"letter_box={int(wanted == 'letterbox')}, but the runtime is set to {subject.setup.resize}"
        yield subject.finding("resize", "error", subject.cfg.net, message, how, key="letter_box")
    elif not subject.setup.resize and wanted == "letterbox" and subject.target.name != "darknet":
        message = f"letter_box=1 is not applied by {subject.target.name} by itself"
        yield subject.finding("resize", "warning", subject.cfg.net, message, how, key="letter_box")


def one_class_per_box(subject: Subject) -> Iterator[CfgFinding]:
    """Darknet reports a box in every class above the threshold; these report its best class."""
    heads = list(subject.layers_named(*DETECTION_SECTIONS))
    if subject.target.name not in ("deepstream-yolo", "onnx") or not heads or heads[-1].get_int("classes", 20) < 2:
        return
    yield subject.finding(
        "one-class-per-box",
        "info",
        heads[-1],
        f"{subject.target.name} reports the best class of a box; Darknet reports every class above the threshold",
        "expect a slightly lower AP at low thresholds; nothing to change",
        key="classes",
    )


def opencv_batch_norm(subject: Subject) -> Iterator[CfgFinding]:
    """OpenCV's batch-norm has an eps of 1e-6, Darknet's 1e-5."""
    normalised = [section for section in subject.layers_named("convolutional") if section.get_int("batch_normalize", 0)]
    if subject.target.name == "opencv" and normalised:
        yield subject.finding(
            "opencv-batch-norm",
            "info",
            normalised[0],
            "opencv's batch-norm has an eps of 1e-6, Darknet's 1e-5: logits differ 10 to 100 times more than rounding",
            "nothing to change; compare detections with a tolerance",
        )


def weights_size(subject: Subject) -> Iterator[CfgFinding]:
    """The size of the weights file to the byte."""
    if subject.weights is None or subject.header is None or len(subject.sections) < len(subject.cfg.layers):
        return
    expected = weights_bytes(subject, subject.header)
    try:
        found = read_weights(subject.weights).size_bytes
    except DarknetFormatError as error:
        yield subject.finding("weights-size", "error", None, str(error), "take the file that Darknet wrote")
        return
    if expected != found:
        careless = subject.target.name in ("darknet", "opencv")
        effect = "does not notice and computes with what it finds" if careless else "stops"
        yield subject.finding(
            "weights-size",
            "error",
            None,
            f"{subject.weights}: expected {expected} bytes, found {found}; {subject.target.name} {effect}",
            "take the weights that were trained with this cfg (same classes, same layers), whole",
        )


def weights_bytes(subject: Subject, header: WeightsHeader) -> int:
    """The exact size of the cfg's weights file under this header."""
    return header.size_bytes + 4 * sum(section.num_weights for section in subject.sections)


RUNTIME_RULES: dict[str, Rule] = {
    "resize": resize,
    "one-class-per-box": one_class_per_box,
    "opencv-batch-norm": opencv_batch_norm,
    "weights-size": weights_size,
}
