"""The console script `traffic-yolo`: one sub-command a step, each loaded only when it is called.

Holds no logic and imports no torch: `traffic-yolo --help` must answer at once. The sub-commands live in `commands/`.
"""

import importlib
import logging
import sys

import click

from traffic_yolo._version import __version__
from traffic_yolo.entry_point import one_line_errors
from traffic_yolo.page_origin import stated_command

# name -> (module under traffic_yolo.commands, what the top-level help says); the order is the order of the pipeline
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run the whole pipeline on this machine, or submit it to Kubeflow."),
    "retrain": ("retrain", "Train on from the version in use, where enough is new, and publish what is better."),
    "schedule": ("schedule", "Retrainings on a schedule: on Kubeflow Pipelines, or as a CronJob of Kubernetes."),
    "pipeline": ("pipeline", "The pipelines for a cluster: list, compile with its settings, start them there."),
    "snapshot": ("snapshot", "List what lies on a share, with checksums, and say what is new."),
    "convert": ("convert", "Make a COCO + YOLO data set of recordings or of another data set."),
    "merge-shards": ("merge_shards", "Put the shards of a conversion together."),
    "export-labels": ("export_labels", "Write labels in another format: CVAT, YOLO, KITTI, COCO."),
    "check": ("check", "Check recordings or a data set: labels, pictures, splits, and the radar's view."),
    "diff": ("diff", "Say what changed from one data set to another: pictures, splits, classes, boxes."),
    "anonymize": ("anonymize", "Copy a data set with number plates and heads blurred."),
    "select": ("select", "Choose the pictures to label next: a CVAT task with pre-labels, and why each."),
    "drift": ("drift", "Say at which cameras and hours deployed detections are no more like validation's."),
    "train": ("train", "Train a Darknet network, from Darknet weights or from nothing."),
    "export": ("export", "Write the Darknet pair and the ONNX file of a training run."),
    "import-model": ("import_model", "Make a model folder of Darknet's files, or of a version of a zoo."),
    "fetch": ("fetch", "Bring a published Darknet model here: yolov4-tiny, yolov4, Yolo-Fastest …"),
    "detect": ("detect", "Run the network once over a split: raw detections, whole or in shards."),
    "predict": ("predict", "Draw and write what a model finds in pictures, videos and recordings."),
    "merge-detections": ("merge_detections", "Join the shards of raw detections."),
    "evaluate": ("evaluate", "Detect once, compute COCO metrics, write record and report."),
    "compare": ("compare", "Say whether one model is better than another on the same pictures."),
    "sweep": ("sweep", "Evaluate a grid of thresholds from one inference, and choose the best cell."),
    "tune": ("tune", "Choose confidence and IoU threshold from raw detections."),
    "validate": ("validate", "Check that DeepStream's rules leave the model's results as they are."),
    "quantize": ("quantize", "Write INT8 and FP16 ONNX files of a model, and say what each costs in AP."),
    "compress": ("compress", "Make a model smaller: prune channels or blocks of its cfg and weights."),
    "publish": ("publish", "Put a checked bundle into the model zoo and a record into its ledger."),
    "zoo": ("zoo", "The versions of a model zoo: list, show, verify, fetch, and choose which one is in use."),
    "ledger": ("ledger", "Compare the models of a zoo in one table."),
    "log": ("log", "Tell MLflow what steps left: numbers, what moved them, reports."),
    "reports": ("reports", "Write a page with a link to every report below a folder."),
    "storage": ("storage", "List, fetch, put, verify and sync files: paths, nas:// and s3:// alike."),
    "trial": ("trial", "One Katib trial: train, detect, print metrics as name=value."),
    "katib": ("katib", "Katib Experiments: check them, run them on this machine."),
    "darknet": ("darknet", "Darknet cfg and weights: show, lint, dump, and change them."),
    "deepstream": ("deepstream", "DeepStream's configurations: write them, look at anyone's, run them on a GPU node."),
    "doctor": ("doctor", "Say what is installed and what this machine has, for a bug report."),
    "atm": ("atm", "ATM recordings: say what unknown ones are, check a layout of your own, render synthetic ones."),
}


class _LazyGroup(click.Group):
    """A group that imports a sub-command's module only when that sub-command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"traffic_yolo.commands.{COMMANDS[cmd_name][0]}")
        around = importlib.import_module("traffic_yolo.commands.around")
        command: click.Command = around.surrounded(module.command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="traffic-yolo")
@click.option("-v", "--verbose", is_flag=True, help="Log what the steps do.")
def traffic_yolo(verbose: bool) -> None:
    """From roadside ATM recordings to a YOLOv4 that runs in DeepStream."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; a user's mistake ends it with one line on stderr and exit code 2."""
    with one_line_errors(), stated_command(sys.argv[1:] if arguments is None else arguments):
        traffic_yolo(args=arguments, prog_name="traffic-yolo")


if __name__ == "__main__":
    main(sys.argv[1:])
