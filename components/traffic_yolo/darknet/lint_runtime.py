"""Lint rules about what lies around the network: resize, decoding, NMS, batch-norm, and the weights file's size."""

from collections.abc import Iterator

from traffic_yolo.darknet.lint_findings import Finding, Rule, Subject
from traffic_yolo.darknet.lint_targets import DETECTION_SECTIONS
from traffic_yolo.darknet.weights import WeightsHeader, read_weights
from traffic_yolo.errors import DarknetFormatError


def resize(subject: Subject) -> Iterator[Finding]:
    """`letter_box` of [net] against how the runtime resizes."""
    wanted = "letterbox" if subject.cfg.net.get_int("letter_box", 0) else "stretch"
    how = {
        "darknet": "use or leave out -letter_box; `detector train` and `map` follow the cfg",
        "deepstream-yolo": f"set maintain-aspect-ratio={int(wanted == 'letterbox')}"
        + (" and symmetric-padding=1 (nvinfer pads black, Darknet grey)" if wanted == "letterbox" else ""),
        "onnx": f"{wanted} the picture before the network, as Darknet does",
        "opencv": f"{wanted} the picture yourself; blobFromImage stretches or crops",
    }[subject.target.name]
    if subject.resize and subject.resize != wanted:
        message = f"letter_box={int(wanted == 'letterbox')}, but the runtime is set to {subject.resize}"
        yield subject.finding("resize", "error", subject.cfg.net, message, how, key="letter_box")
    elif not subject.resize and wanted == "letterbox" and subject.target.name != "darknet":
        message = f"letter_box=1 is not applied by {subject.target.name} by itself"
        yield subject.finding("resize", "warning", subject.cfg.net, message, how, key="letter_box")


def nms_ignored(subject: Subject) -> Iterator[Finding]:
    """`nms_kind` and `beta_nms`, which only Darknet reads."""
    if subject.target.name == "darknet":
        return
    for head in subject.layers_named("yolo", "Gaussian_yolo"):
        for key, harmless in (("nms_kind", "default"), ("beta_nms", "")):
            if head.has(key) and head.get_str(key, "") != harmless:
                yield subject.finding(
                    "nms-ignored",
                    "warning",
                    head,
                    f"{subject.target.name} does not read {key}={head.get_str(key, '')}: its NMS compares plain IoU",
                    "choose the IoU threshold by evaluation with NMS kind default",
                    key=key,
                )


def one_class_per_box(subject: Subject) -> Iterator[Finding]:
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


def region_tree(subject: Subject) -> Iterator[Finding]:
    """[region] with a tree of classes, whose boxes only Darknet decodes."""
    for head in subject.layers_named("region"):
        if head.has("tree") and subject.target.name != "darknet":
            yield subject.finding(
                "region-tree",
                "error",
                head,
                f"{subject.target.name} does not read tree={head.get_str('tree', '')[:60]}: its classes come out flat",
                "only Darknet runs such a network",
                key="tree",
            )


def opencv_threshold(subject: Subject) -> Iterator[Finding]:
    """OpenCV's [yolo] layer sets scores below `thresh` to 0, by default 0.2."""
    if subject.target.name != "opencv":
        return
    for head in subject.layers_named("yolo"):
        if not head.has("thresh"):
            yield subject.finding(
                "opencv-threshold",
                "info",
                head,
                "opencv's [yolo] layer sets scores below 0.2 to 0",
                "add thresh=0.001 to [yolo] to measure AP with it; Darknet passes the key over",
            )


def opencv_batch_norm(subject: Subject) -> Iterator[Finding]:
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


def weights_size(subject: Subject) -> Iterator[Finding]:
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
    "nms-ignored": nms_ignored,
    "one-class-per-box": one_class_per_box,
    "region-tree": region_tree,
    "opencv-threshold": opencv_threshold,
    "opencv-batch-norm": opencv_batch_norm,
    "weights-size": weights_size,
}
