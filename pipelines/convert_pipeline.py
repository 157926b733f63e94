"""Recordings on the share -> a data set, with the conversion fanned out over shards: for shares of millions of frames.

Only wires. The data set is byte for byte the one that the task `convert` of the main pipeline makes. Compiled for
Kubeflow by `python pipelines/convert_pipeline.py`, which rewrites `convert_pipeline.yaml` beside this file.
"""

from kfp import dsl, kubernetes

from traffic_yolo.dataset.component import convert_shard, merge_shards, plan_shards
from traffic_yolo.snapshot.component import snapshot

NAS_MOUNT_PATH = "/nas"
PARALLEL_SHARDS = 8  # more wait: a NAS serves a few readers well, and many badly


@dsl.pipeline(name="traffic-yolo-convert")
def convert_pipeline(
    source: str,
    shards: int = 4,
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
    nas_claim: str = "nas-data",
) -> None:
    """Make a data set of recordings or of another data set, in shards that are converted side by side and merged.

    Args:
        source: Folder of recordings, or a data set (path, file:// or nas://).
        shards: How many parts the source is cut into; a recording is never cut.
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
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas.
    """
    snapshot_task = snapshot(source=source, labels=labels, layout=layout)
    # A share changes without KFP knowing: a cached listing would hide new recordings.
    snapshot_task.set_caching_options(False)

    # A task of its own: a loop takes the list of a task, not a number
    names_task = plan_shards(shards=shards, fingerprint=snapshot_task.outputs["Output"])
    with dsl.ParallelFor(items=names_task.output, parallelism=PARALLEL_SHARDS) as shard:
        shard_task = convert_shard(
            source=source,
            listing=snapshot_task.outputs["listing"],
            shard=shard,
            labels=labels,
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
        shard_task.set_cpu_request("1").set_memory_request("2G")

    merge_task = merge_shards(parts=dsl.Collected(shard_task.outputs["part"]))
    merge_task.set_cpu_request("1").set_memory_request("2G")

    for task in (snapshot_task, shard_task):
        kubernetes.mount_pvc(task, pvc_name=nas_claim, mount_path=NAS_MOUNT_PATH)
        task.set_env_variable("TRAFFIC_YOLO_NAS_ROOT", NAS_MOUNT_PATH)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(convert_pipeline, __file__)
