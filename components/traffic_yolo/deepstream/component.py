"""The KFP components of the steps `validate` and `deepstream_run`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def validate(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    evaluation: dsl.Input[dsl.Artifact],
    tuning: dsl.Input[dsl.Artifact],
    validation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    split: str = "test",
    waterfall: bool = False,
    settings: str = "",
) -> None:
    """Run the ONNX file under nvinfer's rules and compare boxes and AP with the PyTorch model.

    Args:
        model: Model folder.
        dataset: Data set folder.
        evaluation: Folder of the step evaluate, whose raw detections of the split are compared.
        tuning: Folder of the step tune, for the thresholds to deploy.
        validation: config_infer_primary.txt, labels.txt, parity.json, report.html; waterfall.json and waterfall.svg.
        metrics: Share of boxes that agree, AP and AP50 of both; whether the waterfall passed, how far stages fell.
        report: The comparison as a page.
        split: Split that is compared.
        waterfall: Also run the pictures through every stage to DeepStream, name what each loss is due to, and hold a
            gate at each stage.
        settings: Other options of validate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.deepstream.options import ValidateOptions
    from traffic_yolo.deepstream.validate import validate as validate_model
    from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
    from traffic_yolo.detection.inference_options import InferenceOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        options, stages, inference = task_options([ValidateOptions, WaterfallOptions, InferenceOptions], given)
        print(described(options, stages, inference))
        validated = validate_model(
            model.path,
            dataset.path,
            Path(tuning.path) / "operating_point.json",
            validation.path,
            split=options.split,
            evaluation=evaluation.path,
            inference=inference,
            require_parity=options.require_parity,
            waterfall=stages,
        )
        print(validated.text)
    shutil.copyfile(Path(validation.path) / "report.html", report.path)
    for name, value in validated.scalars.items():
        metrics.log_metric(name, value)
    with one_line_errors():
        validated.check_waterfall(options.on_failed_stage)


@dsl.component(base_image=image("deepstream"), install_kfp_package=False)
def deepstream_run(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    tuning: dsl.Input[dsl.Artifact],
    run: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    split: str = "test",
    precision: str = "fp16",
    settings: str = "",
) -> None:
    """Run the real deepstream-app over a split on a node with a GPU, and compare its boxes with nvinfer's rules.

    Args:
        model: Model folder.
        dataset: Data set folder.
        tuning: Folder of the step tune, for the thresholds to deploy.
        run: run.json, the log, both configurations, the KITTI files and the engine.
        metrics: Share of boxes that agree, AP and AP50 of both.
        split: Split that is run and compared.
        precision: Of the engine. One of fp32, fp16, int8.
        settings: Other options of deepstream_run: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.deepstream.run.gpu_run import run_on_deepstream
    from traffic_yolo.deepstream.run.options import GpuRunOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        (options,) = task_options([GpuRunOptions], given)
        print(described(options))
        done = run_on_deepstream(
            model.path, dataset.path, Path(tuning.path) / "operating_point.json", run.path, options
        )
        print(done.text)
    for name, value in done.scalars.items():
        metrics.log_metric(name, value)
