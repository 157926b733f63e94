"""`traffic-yolo run`: the whole pipeline, on this machine or on a cluster."""

import importlib
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.location_types import PIPELINE, WRITE
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.options import PIPELINE_FIELDS, TrainingOptions

PIPELINES = "traffic_yolo_pipelines"
NOT_IN_PIPELINE = tuple(name for name in TrainingOptions.__dataclass_fields__ if name not in PIPELINE_FIELDS)


@click.command()
@click.option("--local", "where", flag_value="local", default=True, help="Run here, under kfp.local (default).")
@click.option("--submit", "where", flag_value="submit", help="Start a run on the server named by --host.")
@click.option("--out", default="runs", show_default=True, type=WRITE, help="Folder of local runs.")
@click.option("--host", default="", help="Address of the Kubeflow Pipelines API (with --submit).")
@click.option("--namespace", default="", help="Kubeflow namespace of the run (with --submit).")
@click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment (with --submit).")
@click.option("--zoo", required=True, type=PIPELINE, help="Folder of the model zoo: a path, file:// or nas://.")
@click.option("--model-name", default="traffic-small", show_default=True, help="Name of the model in the zoo.")
@click.option(
    "--snapshot-cache", default="", type=PIPELINE, help="File that keeps checksums of the share between runs."
)
@click.option("--nas-claim", default="nas-data", show_default=True, help="PersistentVolumeClaim of the NAS (cluster).")
@click.option("--gpus", default=0, show_default=True, help="GPUs of the training task (cluster).")
@options_of(ConvertOptions, for_pipeline=True)
@options_of(TrainingOptions, skip=NOT_IN_PIPELINE, for_pipeline=True)
def command(where: str, out: Path, host: str, namespace: str, experiment: str, **parameters: Any) -> None:
    """Run the whole pipeline on this machine, or submit it to Kubeflow."""
    # Checked here as well as in the tasks: a wrong value should not cost a started pod.
    from traffic_yolo.commands.run_checks import check_cluster_run, check_local_run, locations_given

    if where == "submit":
        if not host:
            raise OptionsError("--submit needs --host: the address of the Kubeflow Pipelines API")
        check_cluster_run(parameters)
        package = Path(str(importlib.import_module(PIPELINES).__file__)).with_name("finetune_pipeline.yaml")
        submit = importlib.import_module(f"{PIPELINES}.submit").submit
        run_id = submit(package, parameters, host=host, namespace=namespace, experiment=experiment)
        click.echo(f"submitted run {run_id}")
        return
    check_local_run(parameters, out)
    for name, value in locations_given(parameters):
        if "://" not in value:  # the tasks run in folders of their own
            parameters[name] = str(Path(value).resolve())
    pipeline = importlib.import_module(f"{PIPELINES}.finetune_pipeline").finetune_pipeline
    finished = importlib.import_module(f"{PIPELINES}.local_run").run_locally(pipeline, parameters, out)
    from traffic_yolo.commands.run_summary import run_summary

    click.echo(run_summary(finished.folder, parameters["zoo"]))
