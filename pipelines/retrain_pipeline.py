"""The pipeline of a schedule: what is new since the last attempt -> a better model in the zoo, or word that nothing is.

Only wires. The same function is compiled for Kubeflow (`python pipelines/retrain_pipeline.py` rewrites
`retrain_pipeline.yaml` beside this file) and run on one machine by `traffic-yolo retrain --local`.
"""

from kfp import dsl

from traffic_yolo.dataset.component import convert, convert_files
from traffic_yolo.retraining.component import close_attempt, new_data, note_weights, open_gate
from traffic_yolo.snapshot.component import snapshot
from traffic_yolo_pipelines.training_to_zoo import to_the_zoo, train_in_a_task
from traffic_yolo_pipelines.wiring import check_first, form_parameters, reach_storage


@dsl.pipeline(name="traffic-yolo-retrain")
def retrain_pipeline(
    source: str,
    zoo: str,
    labels: str = "",
    layout: str = "",
    snapshot_cache: str = "",
    snapshot_settings: str = "",
    min_new_frames: int = 100,
    min_new_sites: int = 1,
    min_class_shift: float = 0.0,
    again: bool = False,
    new_splits: bool = False,
    under_way_hours: float = 12.0,
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    convert_settings: str = "",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    class_seeds: str = "",
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
    """Train on from the version in use, where humans have labelled enough since the last attempt, and publish it.

    Args:
        source: Recordings, or a data set: a folder, or its label file.
        zoo: Folder of the model zoo: a path, nas:// or s3://.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        snapshot_cache: File that keeps checksums between looks, such as nas://.cache/recordings; empty reads every file
            each time.
        snapshot_settings: Other options of snapshot: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        min_new_frames: Training pictures newly labelled or corrected by humans that open the gate; 0: they never do.
        min_new_sites: New sites with labelled training pictures that open the gate; 0: they never do.
        min_class_shift: Change of one class's share of the training boxes, in percentage points, that opens the gate;
            0: it never does.
        again: Train whatever the gate says: on data that was tried before, or with an attempt under way.
        new_splits: Take the splits as they come now, though pictures change theirs or the test split loses a group:
            what was measured before is no measure any more.
        under_way_hours: Hours after which an attempt of which no end is known is taken to be cut off.
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        data_store: Folder that keeps data sets, such as nas://.data-sets, so that steps hand on a reference; empty:
            they hand on the pictures.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        cfg: Darknet .cfg file; empty: the package's traffic-small.cfg.
        weights: Darknet .weights to start from, whole or a backbone cut; empty: random weights.
        weights_names: File with the class names that whole weights were trained for, one a line.
        class_seeds: New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.
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
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    close_task = close_attempt(run_id=run_id, **form_parameters(close_attempt, form))
    close_task.set_caching_options(False)
    reach_storage(close_task, nas_claim=nas_claim, s3_secret=s3_secret)

    with dsl.ExitHandler(close_task, name="close-attempt-whatever-happens"):
        snapshot_task = snapshot(**form_parameters(snapshot, form))
        fingerprint = snapshot_task.outputs["Output"]
        new_data_task = new_data(run_id=run_id, fingerprint=fingerprint, **form_parameters(new_data, form))
        gate_task = open_gate(verdict=new_data_task.outputs["verdict"])
        # What lies on a share, and what was tried, changes without KFP knowing
        for task in (snapshot_task, new_data_task, gate_task):
            task.set_caching_options(False)
        for task in (snapshot_task, new_data_task):
            reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)

        with dsl.If(gate_task.output == "retrain", name="new-data"):
            # The policy with the splits of the attempt, which keeps those of the attempts before it
            kept = {"policy": new_data_task.outputs["policy"]}
            files_task = convert_files(run_id=run_id, **{**form_parameters(convert_files, form), **kept})
            files_task.set_caching_options(False)
            start = {name: new_data_task.outputs[name] for name in ("cfg", "weights", "weights_names")}
            # Here and not before the gate: a look that finds nothing new needs no GPU
            check_first({**form, **kept, **start}, files_task)
            convert_task = convert(
                fingerprint=fingerprint, files=files_task.output, **{**form_parameters(convert, form), **kept}
            )
            dataset = convert_task.outputs["dataset"]

            for task in (files_task, convert_task):
                reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)

            def note(model: dsl.Model) -> dsl.PipelineTask:
                """What was trained is known before anything of it is there for others."""
                task = note_weights(run_id=run_id, model=model, **form_parameters(note_weights, form))
                task.set_caching_options(False)
                reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)
                return task

            begun = {**form, **start}
            to_the_zoo(train_in_a_task(dataset, begun), dataset, begun, before_publishing=note)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(retrain_pipeline, __file__)
