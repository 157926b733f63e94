"""A model that is there already -> a smaller one in the zoo: prune, train on, judge, validate, publish behind gates.

Only wires. Compiled for Kubeflow by `python pipelines/compress_pipeline.py`, which rewrites `compress_pipeline.yaml`
beside this file; `local_run.run_locally` runs it on one machine.
"""

from kfp import dsl

from traffic_yolo.compression.component import compression_report, prune
from traffic_yolo.compression.options import ParentChoice
from traffic_yolo.dataset.component import import_dataset
from traffic_yolo.options import fields_of
from traffic_yolo_pipelines.training_to_zoo import to_the_zoo, train_in_a_task
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage


@dsl.pipeline(name="traffic-yolo-compress")
def compress_pipeline(
    zoo: str,
    source: str = "",
    labels: str = "",
    layout: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    dataset: str = "",
    convert_settings: str = "",
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
    prune_settings: str = "",
    fine_tune_layers: str = "",
    width: str = "",
    height: str = "",
    batch: str = "",
    max_batches: str = "",
    optimizer: str = "",
    learning_rate: str = "",
    train_settings: str = "",
    evaluate_settings: str = "",
    objective: str = "f1",
    per_class: bool = False,
    tune_settings: str = "",
    waterfall: bool = False,
    validate_settings: str = "",
    model_name: str = "traffic-small",
    gate: str = "no-worse",
    gate_metric: str = "map50",
    minimum: str = "",
    accept_few: bool = False,
    on_failed_gate: str = "stop",
    force: bool = False,
    force_reason: str = "",
    publish_settings: str = "",
    train_work: str = "",
    nas_claim: str = "nas-data",
    s3_secret: str = "none",
    gpus: str = "0",
) -> None:
    """Prune a model, train on from what is left, and publish it where its gates let it.

    Args:
        zoo: Folder of the model zoo: a path, nas:// or s3://.
        source: Recordings, or a data set, to be converted first: a folder, or its label file. In the place of dataset.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        data_store: Folder that keeps data sets, such as nas://.data-sets, so that steps hand on a reference; empty:
            they hand on the pictures.
        dataset: Data set folder that convert wrote, which is read where it lies.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
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
        prune_settings: Other options of prune: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        fine_tune_layers: What may change: all, neck_and_heads, heads, last:<count>, from:<layer index>, stages such as
            heads@100,all; by default the recipe's.
        width: Network width in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        batch: Pictures per weight update; by default the recipe's. A whole number, or empty.
        max_batches: Weight updates in all, to which the cfg's steps are scaled; by default the recipe's. A whole
            number, or empty.
        optimizer: sgd or adam as Darknet, or adamw; by default the recipe's.
        learning_rate: Rate after the warm-up, above 0; by default the recipe's. A number, or empty.
        train_settings: Other options of train: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        evaluate_settings: Other options of evaluate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        objective: What is made best. One of f1, map, map50, recall_at_fppi, cost.
        per_class: Also choose a confidence threshold for each class with enough true boxes.
        tune_settings: Other options of tune: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        waterfall: Also run the pictures through every stage to DeepStream, name what each loss is due to, and hold a
            gate at each stage.
        validate_settings: Other options of validate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
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
        publish_settings: Other options of publish: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        train_work: Folder on the share to train in, such as nas://.work, so that a pod that is started anew goes on;
            empty: in the pod, from the start.
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas.
        s3_secret: Secret with address and credentials of the object storage, for s3:// locations; none: without.
        gpus: GPUs of the training task; 0 trains on CPUs. A whole number.
    """
    form = dict(locals())

    data_task = import_dataset(**form_parameters(import_dataset, form))
    del form["dataset"]  # from here on the name is that of the artifact, which may be a reference to it
    dataset_folder = data_task.outputs["dataset_folder"]
    prune_task = prune(dataset=dataset_folder, **form_parameters(prune, form))
    for name in fields_of(ParentChoice):  # of the model before: the training starts from the pruned one
        form.pop(name, None)
    # Files, shares and zoos change without KFP knowing
    for task in (data_task, prune_task):
        task.set_caching_options(False)
        reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)
    data_task.set_cpu_request("1").set_memory_request("2G")
    prune_task.set_cpu_request("2").set_memory_request("8G")

    def report_on(model: dsl.Model) -> dsl.PipelineTask:
        """Both models on the same pictures, before the new one is published."""
        task = compression_report(parent=prune_task.outputs["parent"], model=model, dataset=dataset_folder)
        task.set_cpu_request("2").set_memory_request("4G")
        reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)
        return task

    train_task = train_in_a_task(dataset_folder, form, start=prune_task.outputs["model"])
    to_the_zoo(train_task, dataset_folder, form, before_publishing=report_on)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(compress_pipeline, __file__)
