"""The KFP component of the step `publish`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def publish(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    tuning: dsl.Input[dsl.Artifact],
    validation: dsl.Input[dsl.Artifact],
    table: dsl.Output[dsl.Markdown],
    zoo: str,
    model_name: str = "traffic-small",
) -> str:
    """Put a checked bundle into the model zoo and a record into its ledger.

    Args:
        model: Model folder.
        evaluation: Folder of the step evaluate.
        tuning: Folder of the step tune.
        validation: Folder of the step validate.
        table: The ledger, models side by side.
        zoo: Folder of the model zoo: a path, nas:// or s3://.
        model_name: Name under which the zoo keeps the model's versions.

    Returns:
        The folder of the published bundle.
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.registry.ledger_table import LedgerTable
    from traffic_yolo.registry.options import PublishOptions
    from traffic_yolo.registry.zoo import publish as publish_bundle

    with one_line_errors():
        (options,) = task_options([PublishOptions], given)
        published = publish_bundle(
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            tuning=Path(tuning.path),
            validation=Path(validation.path),
            zoo=options.zoo,
            name=options.model_name,
        )
        print(published.text)
        Path(table.path).write_text(LedgerTable.read(options.zoo).markdown())
    return str(published.bundle)
