"""The KFP component that takes a model which is there already into a pipeline."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def import_model(
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    summary: dsl.Output[dsl.Markdown],
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    zoo: str = "",
    model_name: str = "",
    version: str = "",
    class_seeds: str = "",
    width: str = "",
    height: str = "",
) -> None:
    """Take a model that is there already: Darknet's files, or a version of a zoo.

    To be run uncached: files and zoos change without KFP knowing.

    Args:
        dataset: The data set whose classes are to be judged.
        model: Model folder, its heads cut to those classes.
        summary: Which model it is, and which of its classes stand for which.
        cfg: Darknet .cfg file of the model.
        weights: Its Darknet .weights, whole.
        weights_names: File with the class names that the weights were trained for, one a line.
        zoo: Model zoo (a path, nas:// or s3://), in the place of cfg and weights.
        model_name: Name of the model in the zoo.
        version: Its version in the zoo, or its number; empty: the one in use.
        class_seeds: Classes of the data set and those of the model that stand for them, where names differ:
            LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        width: Network width in pixels, a multiple of 32; by default the model's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the model's. A whole number, or empty.
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described
    from traffic_yolo.pretrained.import_model import import_model
    from traffic_yolo.pretrained.options import ModelChoice

    with one_line_errors():
        (choice,) = task_options([ModelChoice], given)
        print(described(choice))
        imported = import_model(choice, Path(model.path), dataset=Path(dataset.path))
        print(imported.text)
    Path(summary.path).write_text("\n".join(f"- {line}" for line in imported.text.splitlines()) + "\n")
    model.metadata["weights_sha256"] = imported.weights_sha256


@dsl.component(base_image=image("train"), install_kfp_package=False)
def compare_with_zoo(
    evaluation: dsl.Input[dsl.Artifact],
    table: dsl.Output[dsl.Markdown],
    compare_with: str = "",
    zoo: str = "",
    model_name: str = "",
) -> None:
    """Set an evaluation beside the records of a zoo that were made in the same way.

    To be run uncached: a zoo changes without KFP knowing.

    Args:
        evaluation: Folder of the step evaluate.
        table: The models side by side.
        compare_with: The zoo; empty: the one that the model is of; without any, the evaluation stands alone.
        zoo: The zoo that the model is of, or empty.
        model_name: Name of the model, for its row.
    """
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.pretrained.comparison import comparison_markdown

    with one_line_errors():
        text = comparison_markdown(Path(evaluation.path), compare_with or zoo, name=model_name or "evaluated model")
        print(text)
        Path(table.path).write_text(text)
