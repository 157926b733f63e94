"""The KFP components of the step `prune`: the pruning itself, and the report on what came of it after training."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def prune(
    dataset: dsl.Input[dsl.Dataset],
    parent: dsl.Output[dsl.Model],
    model: dsl.Output[dsl.Model],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    zoo: str = "",
    model_name: str = "",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    class_seeds: str = "",
    version: str = "",
    prune_kind: str = "channels",
    prune_ratio: float = 0.5,
    bflops_ratio: str = "",
    latency_ms: str = "",
    importance: str = "auto",
    settings: str = "",
) -> None:
    """Take a model that is there already, and take out the channels or blocks that matter least.

    To be run uncached: files and zoos change without KFP knowing.

    Args:
        dataset: The data set whose classes the model is cut to; batch-norm is measured anew on its split train.
        parent: Model folder of the model before, its heads cut to those classes.
        model: Model folder of the pruned model, to train on from.
        summary: What went, by layer.
        metrics: Share of weights and of BFLOPs that went.
        zoo: Model zoo that holds the model, where no cfg is given.
        model_name: Name of the model in the zoo.
        cfg: Darknet .cfg file of the model to prune; empty: a version of the zoo.
        weights: Its Darknet .weights, whole.
        weights_names: File with the class names that the weights were trained for, one a line.
        class_seeds: Classes of the data set and those of the model that stand for them, where names differ:
            LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        version: Version of the model in the zoo; empty: the one in use.
        prune_kind: What goes: single channels; channels such that each layer keeps a multiple of 8 (regular), which
            runs faster; or whole residual blocks.
        prune_ratio: Share of the channels (or blocks) that may go which goes.
        bflops_ratio: Share of the BFLOPs to save, in the place of prune_ratio: .3 is 30 % fewer. A number, or empty.
        latency_ms: Milliseconds a picture that the pruned network may take here (PyTorch, by a table of layers measured
            on this machine), in the place of prune_ratio. A number, or empty.
        importance: What says that a channel matters: the scale of its batch-norm, the L1 norm of its kernels, what the
            loss would lose with it on training pictures (taylor), what it would lose after the other channels stood in
            for it (obs), or a draw (random, to compare with). auto: with a data set of the model's classes obs, or
            taylor of blocks and without refit_pictures; else scale. One of auto, scale, l1, taylor, obs, random.
        settings: Other options of prune: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.compression.options import ParentChoice, PruneOptions
    from traffic_yolo.compression.prune import prune as prune_model
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described
    from traffic_yolo.pretrained.import_model import import_model
    from traffic_yolo.pretrained.options import ModelChoice

    with one_line_errors():
        choice, options = task_options([ParentChoice, PruneOptions], given)
        print(described(choice, options))
        if choice.cfg or choice.weights:
            taken = ModelChoice(choice.cfg, choice.weights, choice.weights_names, class_seeds=choice.class_seeds)
        else:
            taken = ModelChoice(zoo=zoo, model_name=model_name, version=choice.version, class_seeds=choice.class_seeds)
        print(import_model(taken, Path(parent.path), dataset=Path(dataset.path)).text)
        pruned = prune_model(Path(parent.path), Path(model.path), options, dataset=Path(dataset.path))
        print(pruned.text)
    Path(summary.path).write_text(f"```\n{pruned.text}\n```\n")
    metrics.log_metric("weights_saved", 1 - pruned.after.weights / pruned.before.weights)
    metrics.log_metric("bflops_saved", 1 - pruned.after.bflops / pruned.before.bflops)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def compression_report(
    parent: dsl.Input[dsl.Model],
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    comparison: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Set the smaller model, trained on, beside the one that it was made of.

    Args:
        parent: Model folder of the model before.
        model: Model folder of the smaller model.
        dataset: Data set on whose test split both are judged.
        report: Size, latency by runtime, AP and AP50 with paired intervals, and what went.
        comparison: Folder with compression.json, the same page, and both evaluations.
        metrics: What was saved, and by how many points AP and AP50 moved.
    """
    import shutil
    from pathlib import Path

    from traffic_yolo.compression.report import REPORT_NAME, compare_models
    from traffic_yolo.entry_point import one_line_errors

    with one_line_errors():
        found = compare_models(parent.path, model.path, comparison.path, dataset=dataset.path)
        print(found.text)
    shutil.copyfile(Path(comparison.path) / REPORT_NAME, report.path)
    for each in found.differences:
        metrics.log_metric(f"{each.name}_difference", each.difference.value)
        metrics.log_metric(f"{each.name}_difference_low", each.difference.low)
    before, after = found.sizes
    metrics.log_metric("bflops_saved", 1 - after.bflops / before.bflops)
    for latency in found.latencies:
        metrics.log_metric(f"latency_saved_{latency.runtime}", 1 - latency.second / latency.first)
