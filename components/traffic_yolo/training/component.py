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
    width: int = 0,
    height: int = 0,
    batch: int = 16,
    subdivisions: int = 1,
    max_batches: int = 400,
    optimizer: str = "",
    learning_rate: float = 0.0,
    seed: int = 0,
) -> None:
    """Train a Darknet network, from Darknet weights or from nothing.

    Args:
        dataset: Data set folder.
        run: Training run folder: checkpoints, history, model.cfg and model.weights.
        curves: Loss, learning rate and validation AP50 over the iterations.
        metrics: Best validation AP50, iterations, seconds.
        cfg: Darknet .cfg file; empty takes the small network of the package.
        weights: Darknet .weights file to start from: whole, or a backbone cut.
        weights_names: Class names of those weights, where they differ from the data set's.
        class_seeds: New classes and the old ones whose rows they start from (LONG_TRUCK=truck,MOTORCYCLE=motorbike).
        fine_tune_layers: What may change: all, neck_and_heads, heads, or from:<layer index>.
        width: Network width in pixels; 0 keeps the cfg's.
        height: Network height in pixels; 0 keeps the cfg's.
        batch: Pictures per weight update.
        subdivisions: Slices that a batch is run in.
        max_batches: Weight updates in all.
        optimizer: sgd as Darknet, or adamw; empty keeps the cfg's.
        learning_rate: Rate after warm-up; 0 keeps the cfg's.
        seed: Seed of initial weights, order and augmentation.
    """
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.html_report import page
    from traffic_yolo.training.options import TrainingOptions
    from traffic_yolo.training.trainer import train as train_network

    with one_line_errors():
        options = TrainingOptions(
            cfg=cfg,
            weights=weights,
            weights_names=weights_names,
            class_seeds=class_seeds,
            fine_tune_layers=fine_tune_layers,
            width=width,
            height=height,
            batch=batch,
            subdivisions=subdivisions,
            max_batches=max_batches,
            optimizer=optimizer,
            learning_rate=learning_rate,
            seed=seed,
        )
        print(options.describe())
        trained = train_network(Path(dataset.path), Path(run.path), options)
    svg = (Path(run.path) / "curves.svg").read_text()
    Path(curves.path).write_text(page("Training", [("Curves", svg[svg.index("<svg") :])]))
    run.metadata["fine_tune_layers"] = fine_tune_layers
    metrics.log_metric("val_ap50", trained.best_ap50)
    metrics.log_metric("iterations", trained.iteration)
    metrics.log_metric("seconds", trained.seconds)
