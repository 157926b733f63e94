"""The KFP component of the step `train`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    run: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    work: str = "",
    run_id: str = "",
    gpus: str = "0",
    pictures: str = "blurred",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    class_seeds: str = "",
    fine_tune_layers: str = "",
    width: str = "",
    height: str = "",
    batch: str = "",
    max_batches: str = "",
    optimizer: str = "",
    learning_rate: str = "",
    settings: str = "",
) -> None:
    """Train a Darknet network, from Darknet weights or from nothing.

    Args:
        dataset: Data set folder.
        run: Training run folder: checkpoints, history, model.cfg and model.weights.
        report: Verdict, curves, start against best, first batches, predictions.
        metrics: AP50 on val of start and best, the verdict, iterations, seconds.
        work: Folder on the share to train in, so that a pod that is started anew goes on; empty: in the pod alone.
        run_id: Name of this run's folder below `work`.
        gpus: GPUs that the task asks for; with 1 or more the training fails where it sees none. A whole number.
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        cfg: Darknet .cfg file; empty: the package's traffic-small.cfg.
        weights: Darknet .weights to start from, whole or a backbone cut; empty: random weights.
        weights_names: File with the class names that whole weights were trained for, one a line.
        class_seeds: New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        fine_tune_layers: What may change: all, neck_and_heads, heads, last:<count>, from:<layer index>, stages such as
            heads@100,all; by default the recipe's.
        width: Network width in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        batch: Pictures per weight update; by default the recipe's. A whole number, or empty.
        max_batches: Weight updates in all, to which the cfg's steps are scaled; by default the recipe's. A whole
            number, or empty.
        optimizer: sgd or adam as Darknet, or adamw; by default the recipe's.
        learning_rate: Rate after the warm-up, above 0; by default the recipe's. A number, or empty.
        settings: Other options of train: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.run_id import known_run_id
    from traffic_yolo.storage import output_path
    from traffic_yolo.training.gpus import gpu_count, on_gpus
    from traffic_yolo.training.options import TrainingOptions
    from traffic_yolo.training.trainer import train as train_network

    with one_line_errors():
        (options,) = task_options([TrainingOptions], given)
        options = on_gpus(options, gpu_count(gpus))
        # A pod that is started anew has an empty disk: only what lies on the share is there to go on from
        folder = output_path(work) / known_run_id(run_id) if work else Path(run.path)
        trained = train_network(Path(dataset.path), folder, options, resume="auto", tell=print)
        if work:
            shutil.copytree(folder, run.path, dirs_exist_ok=True)
    print(trained.text)
    shutil.copyfile(Path(run.path) / "report.html", report.path)
    run.metadata["fine_tune_layers"] = options.fine_tune_layers or ""
    run.metadata["verdict"] = "; ".join(verdict.text for verdict in trained.verdicts)
    for name, value in trained.numbers().items():
        metrics.log_metric(name, value)
    if options.require_improvement and not trained.is_improvement:
        raise SystemExit(1)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def train_on_cluster(
    dataset: dsl.Input[dsl.Dataset],
    run: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    work: str,
    run_id: str,
    image_name: str,
    nas_claim: str = "nas-data",
    s3_secret: str = "none",
    trainjob: str = "",
    pictures: str = "blurred",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    class_seeds: str = "",
    fine_tune_layers: str = "",
    width: str = "",
    height: str = "",
    batch: str = "",
    max_batches: str = "",
    optimizer: str = "",
    learning_rate: str = "",
    settings: str = "",
) -> None:
    """Train a Darknet network by a TrainJob of Kubeflow Trainer, on one node or several.

    Args:
        dataset: Data set folder, or a reference to one; what is no reference is copied to the share first.
        run: Training run folder: checkpoints, history, model.cfg and model.weights.
        report: Verdict, curves, start against best, first batches, predictions.
        metrics: AP50 on val of start and best, the verdict, iterations, seconds.
        work: Folder on the share to train in.
        run_id: Id of the pipeline run; the TrainJob's name comes from it, so a restarted task finds its own.
        image_name: Image of the TrainJob's pods.
        nas_claim: PersistentVolumeClaim of the NAS, for the TrainJob's pods.
        s3_secret: Secret with address and credentials of the object storage, for s3:// locations; none: without.
        trainjob: Nodes, GPUs and so on: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        cfg: Darknet .cfg file; empty: the package's traffic-small.cfg.
        weights: Darknet .weights to start from, whole or a backbone cut; empty: random weights.
        weights_names: File with the class names that whole weights were trained for, one a line.
        class_seeds: New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        fine_tune_layers: What may change: all, neck_and_heads, heads, last:<count>, from:<layer index>, stages such as
            heads@100,all; by default the recipe's.
        width: Network width in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        batch: Pictures per weight update; by default the recipe's. A whole number, or empty.
        max_batches: Weight updates in all, to which the cfg's steps are scaled; by default the recipe's. A whole
            number, or empty.
        optimizer: sgd or adam as Darknet, or adamw; by default the recipe's.
        learning_rate: Rate after the warm-up, above 0; by default the recipe's. A number, or empty.
        settings: Other options of train: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.training.options import TrainingOptions
    from traffic_yolo.training.summary import FinishedTraining
    from traffic_yolo.training.trainjob_task import TrainJobTask, trainjob_settings

    with one_line_errors():
        (options,) = task_options([TrainingOptions], given)
        job, task = trainjob_settings(trainjob, nas_claim=nas_claim, s3_secret=s3_secret)
        folder = TrainJobTask(options, job, task, work, run_id, image_name).run(Path(dataset.path))
        trained = FinishedTraining.read(folder)
        shutil.copytree(folder, run.path, dirs_exist_ok=True)
    print(trained.text)
    shutil.copyfile(Path(run.path) / "report.html", report.path)
    run.metadata["fine_tune_layers"] = options.fine_tune_layers or ""
    run.metadata["verdict"] = "; ".join(trained.verdicts)
    for name, value in trained.numbers.items():
        metrics.log_metric(name, value)
    if options.require_improvement and not trained.is_improvement:
        raise SystemExit(1)
