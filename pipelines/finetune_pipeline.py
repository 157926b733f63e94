"""The main pipeline: recordings on the share -> a validated Darknet model in the zoo.

Only wires. The same function is compiled for Kubeflow (`python pipelines/finetune_pipeline.py` rewrites
`finetune_pipeline.yaml` beside this file) and run on one machine by `traffic-yolo run --local`.
"""

from kfp import dsl, kubernetes

from traffic_yolo.dataset.component import convert
from traffic_yolo.deepstream.component import validate
from traffic_yolo.evaluation.component import evaluate
from traffic_yolo.export.component import export
from traffic_yolo.registry.component import publish
from traffic_yolo.snapshot.component import snapshot
from traffic_yolo.training.component import train
from traffic_yolo.tuning.component import tune

NAS_MOUNT_PATH = "/nas"


@dsl.pipeline(name="traffic-yolo-finetune")
def finetune_pipeline(
    source: str,
    zoo: str,
    labels: str = "",
    source_format: str = "auto",
    labels_format: str = "auto",
    layout: str = "",
    mapping: str = "",
    label_source: str = "stated",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    labels_only: bool = False,
    device_labels: str = "never",
    min_confidence: float = 0.5,
    policy: str = "",
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
    model_name: str = "traffic-small",
    snapshot_cache: str = "",
    nas_claim: str = "nas-data",
    gpus: int = 0,
) -> None:
    """Fine-tune a YOLO network on traffic recordings, choose its thresholds, check it for DeepStream, publish it.

    Args:
        source: Folder of recordings, or a data set (path, file:// or nas://).
        zoo: Folder of the model zoo (path, file:// or nas://).
        labels: Label file or folder that belongs to the source.
        source_format: What the source is: auto, atm-h5, or a label format.
        labels_format: What the label file is: auto, or a label format.
        layout: Layout of the recordings, a name or a YAML file; empty takes each file's own.
        mapping: YAML file that says where a JSON or CSV label file has what.
        label_source: Who drew the labels: stated (whom the file states), or human (pre-labels that were corrected).
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty lets a hash choose.
        test_sites: Comma-separated sites of the test split; empty lets a hash choose.
        splits: auto, train, val or test (all in one), none (no splits), or shares such as 0.8/0.1/0.1.
        labels_only: Write labels alone, without pictures; sizes are those that the labels state.
        device_labels: never, or train to use labels of devices and models for training frames that no human labelled.
        min_confidence: Labels of devices and models with less confidence are not used.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        cfg: Darknet .cfg file; empty takes the small network of the package.
        weights: Darknet .weights file to start from: whole, or a backbone cut.
        weights_names: Class names of those weights, where they differ from the data set's.
        class_seeds: New classes and the old ones whose rows they start from.
        fine_tune_layers: What may change: all, neck_and_heads, heads, or from:<layer index>.
        width: Network width in pixels; 0 keeps the cfg's.
        height: Network height in pixels; 0 keeps the cfg's.
        batch: Pictures per weight update.
        subdivisions: Slices that a batch is run in.
        max_batches: Weight updates in all.
        optimizer: sgd as Darknet, or adamw; empty keeps the cfg's.
        learning_rate: Rate after warm-up; 0 keeps the cfg's.
        seed: Seed of initial weights, order and augmentation.
        model_name: Name under which the zoo keeps the model's versions.
        snapshot_cache: File that keeps checksums of the share between runs, such as nas://.cache/recordings.
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas.
        gpus: GPUs of the training task; 0 trains on CPUs.
    """
    snapshot_task = snapshot(source=source, labels=labels, layout=layout, cache=snapshot_cache)
    # A share changes without KFP knowing: a cached listing would hide new recordings.
    snapshot_task.set_caching_options(False)

    convert_task = convert(
        source=source,
        labels=labels,
        listing=snapshot_task.outputs["listing"],
        fingerprint=snapshot_task.outputs["Output"],
        source_format=source_format,
        labels_format=labels_format,
        layout=layout,
        mapping=mapping,
        label_source=label_source,
        class_map=class_map,
        val_sites=val_sites,
        test_sites=test_sites,
        splits=splits,
        labels_only=labels_only,
        device_labels=device_labels,
        min_confidence=min_confidence,
        policy=policy,
    )
    dataset = convert_task.outputs["dataset"]

    train_task = train(
        dataset=dataset,
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
    # Weights on the NAS may change under the same path, which KFP's cache key does not see.
    train_task.set_caching_options(False)
    train_task.set_cpu_request("2").set_memory_request("8G").set_memory_limit("32G")
    train_task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
    # DataLoader workers hand pictures over through shared memory; a pod has 64 MiB of it by default.
    kubernetes.empty_dir_mount(train_task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="4Gi")

    export_task = export(run=train_task.outputs["run"], dataset=dataset)
    model = export_task.outputs["model"]

    evaluate_task = evaluate(model=model, dataset=dataset)
    evaluate_task.set_cpu_request("2").set_memory_request("4G")

    tune_task = tune(evaluation=evaluate_task.outputs["evaluation"], dataset=dataset)

    validate_task = validate(model=model, dataset=dataset, tuning=tune_task.outputs["tuning"])
    validate_task.set_cpu_request("2").set_memory_request("4G")

    publish_task = publish(
        model=model,
        evaluation=evaluate_task.outputs["evaluation"],
        tuning=tune_task.outputs["tuning"],
        validation=validate_task.outputs["validation"],
        zoo=zoo,
        model_name=model_name,
    )
    # Publishing is an effect outside KFP: a cached task would claim a bundle that somebody has removed.
    publish_task.set_caching_options(False)

    for task in (snapshot_task, convert_task, train_task, publish_task):
        kubernetes.mount_pvc(task, pvc_name=nas_claim, mount_path=NAS_MOUNT_PATH)
        task.set_env_variable("TRAFFIC_YOLO_NAS_ROOT", NAS_MOUNT_PATH)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(finetune_pipeline, __file__)
