"""The KFP component of the step `train`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    run: dsl.Output[dsl.Model],
    curves: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    class_seeds: str = "",
    fine_tune_layers: str = "all",
    width: str = "",
    height: str = "",
    batch: int = 16,
    max_batches: int = 400,
    optimizer: str = "",
    learning_rate: str = "",
    seed: int = 0,
    settings: str = "",
) -> None:
    """Train a Darknet network, from Darknet weights or from nothing.

    Args:
        dataset: Data set folder.
        run: Training run folder: checkpoints, history, model.cfg and model.weights.
        curves: Loss, learning rate and validation AP50 over the iterations.
        metrics: Best validation AP50, iterations, seconds.
        cfg: Darknet .cfg file; empty: the package's traffic-small.cfg.
        weights: Darknet .weights to start from, whole or a backbone cut; empty: random weights.
        weights_names: File with the class names that whole weights were trained for, one a line.
        class_seeds: New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        fine_tune_layers: What may change: all, neck_and_heads, heads, or from:<layer index>.
        width: Network width in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        batch: Pictures per weight update.
        max_batches: Weight updates in all; the cfg's steps are scaled to it.
        optimizer: sgd as Darknet, or adamw; by default sgd, or adamw where [net] says adam=1.
        learning_rate: Rate after the warm-up, above 0; by default the cfg's. A number, or empty.
        seed: Seed of first weights, order and augmentation.
        settings: Other options of train: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.html_report import page
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.training.options import TrainingOptions
    from traffic_yolo.training.trainer import train as train_network

    with one_line_errors():
        (options,) = task_options([TrainingOptions], given)
        print(options.describe())
        trained = train_network(Path(dataset.path), Path(run.path), options)
    svg = (Path(run.path) / "curves.svg").read_text()
    Path(curves.path).write_text(page("Training", [("Curves", svg[svg.index("<svg") :])]))
    run.metadata["fine_tune_layers"] = options.fine_tune_layers or ""
    metrics.log_metric("val_ap50", trained.best_ap50)
    metrics.log_metric("iterations", trained.iteration)
    metrics.log_metric("seconds", trained.seconds)
