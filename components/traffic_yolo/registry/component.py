"""The KFP component of the step `publish`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def publish(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    tuning: dsl.Input[dsl.Artifact],
    validation: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    table: dsl.Output[dsl.Markdown],
    gates: dsl.Output[dsl.Markdown],
    card: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    publication: dsl.Output[dsl.Artifact],
    zoo: str,
    champion: dsl.Input[dsl.Artifact] = None,
    run_id: str = "",
    model_name: str = "traffic-small",
    gate: str = "no-worse",
    gate_metric: str = "map50",
    minimum: str = "",
    accept_few: bool = False,
    on_failed_gate: str = "stop",
    force: bool = False,
    force_reason: str = "",
    settings: str = "",
) -> str:
    """Put a checked bundle into the model zoo and a record into its ledger; use it where its gates let it.

    Args:
        model: Model folder.
        evaluation: Folder of the step evaluate.
        tuning: Folder of the step tune.
        validation: Folder of the step validate.
        dataset: Data set folder that the model was evaluated on.
        table: The ledger, models side by side.
        gates: A line for each gate.
        card: The model card of the version as a page.
        metrics: What each gate measured, and how many speak against the version.
        publication: The same as JSON.
        zoo: Folder of the model zoo: a path, nas:// or s3://.
        champion: Folder of the step evaluate of the version in use on the same data set, which is then not inferred.
        run_id: Id of the pipeline run, for the record.
        model_name: Name under which the zoo keeps the model's versions.
        gate: What the new version must be shown to be, against the one in use and the best ever in use: no-worse (by
            more than .01), better, or any.
        gate_metric: The number that versions are compared by. One of map50, map, f1.
        minimum: What the new version must reach on the evaluated split: map50=.3,f1=.5 (also map, precision, recall).
        accept_few: Let fewer than 5 recordings in the split decide; recorded.
        on_failed_gate: What a failed or undecided gate makes of the step; the version is kept either way, and not used.
            stop: exit code 1; keep: success.
        force: Use the new version in spite of failed gates; recorded.
        force_reason: Why, for the record: of force and accept_few.
        settings: Other options of publish: YAML text `name: value`, or a file of it (path, nas:// or s3://).

    Returns:
        The folder of the published bundle, or of the one in use where there was nothing new to publish.
    """
    given = dict(locals())

    import dataclasses
    import json
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.registry.card_page import write_card
    from traffic_yolo.registry.ledger_table import LedgerTable
    from traffic_yolo.registry.options import PublishOptions
    from traffic_yolo.registry.zoo import publish as publish_bundle

    with one_line_errors():
        (options,) = task_options([PublishOptions], given)
        rules = options.rules
        if champion is not None:
            rules = dataclasses.replace(rules, earlier_detections=(champion.path, *rules.earlier_detections))
        published = publish_bundle(
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            tuning=Path(tuning.path),
            validation=Path(validation.path),
            dataset=dataset.path,
            zoo=options.zoo,
            name=options.model_name,
            rules=dataclasses.replace(rules, run_id=run_id),
            statement=options.statement,
        )
        print(published.text)
        Path(gates.path).write_text(published.markdown)
        Path(publication.path).write_text(json.dumps(published.document(), indent=1))
        write_card(card.path, options.zoo, published.name, published.version)
        Path(table.path).write_text(LedgerTable.read(options.zoo).markdown())
        for name, value in published.scalars.items():
            metrics.log_metric(name, value)
        published.check(options.on_failed_gate)
    return str(published.bundle)
