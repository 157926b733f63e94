"""The KFP component of the step `export`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def export(
    run: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Write the Darknet pair and the ONNX file of a training run, and check one against the other.

    Args:
        run: Training run folder.
        dataset: Data set whose pictures check the ONNX file.
        model: Model folder: model.cfg, model.weights, classes.names, labels.txt, model.onnx, export.json.
        metrics: Largest difference between ONNX and PyTorch, and over how many boxes.
    """
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.export.export_model import export_model

    with one_line_errors():
        exported = export_model(Path(run.path), Path(model.path), dataset=Path(dataset.path))
        print(exported.text)
    model.metadata["weights_sha256"] = exported.weights_sha256
    metrics.log_metric("onnx_boxes_compared", exported.boxes)
    if exported.boxes:  # a difference of 0 over 0 boxes would be a wrong number
        metrics.log_metric("onnx_max_score_difference", exported.max_score_difference)
        metrics.log_metric("onnx_max_box_difference_px", exported.max_box_difference_px)
