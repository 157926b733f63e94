"""The KFP component of the step `publish`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def publish(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    tuning: dsl.Input[dsl.Artifact],
    validation: dsl.Input[dsl.Artifact],
    zoo: str,
    model_name: str,
    table: dsl.Output[dsl.Markdown],
) -> str:
    """Put a checked bundle into the model zoo and a record into its ledger.

    Args:
        model: Model folder.
        evaluation: Folder of the step evaluate.
        tuning: Folder of the step tune.
        validation: Folder of the step validate.
        zoo: Folder of the model zoo (path, file:// or nas://).
        model_name: Name under which the zoo keeps the model's versions.
        table: The ledger, models side by side.

    Returns:
        The folder of the published bundle.
    """
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.registry.ledger_table import LedgerTable
    from traffic_yolo.registry.zoo import publish as publish_bundle

    with one_line_errors():
        published = publish_bundle(
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            tuning=Path(tuning.path),
            validation=Path(validation.path),
            zoo=zoo,
            name=model_name,
        )
        print(published.text)
        Path(table.path).write_text(LedgerTable.read(zoo).markdown())
    return str(published.bundle)
