"""Recordings on the share -> a data set, with the conversion fanned out over shards: for shares of millions of frames.

Only wires. The data set is byte for byte the one that the task `convert` of the main pipeline makes. Compiled for
Kubeflow by `python pipelines/convert_pipeline.py`, which rewrites `convert_pipeline.yaml` beside this file.
"""

from kfp import dsl

from traffic_yolo.dataset.component import convert_files, convert_shard, merge_shards, plan_shards
from traffic_yolo.snapshot.component import hash_share, snapshot
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage

PARALLEL_SHARDS = 8  # more wait: a NAS serves a few readers well, and many badly


@dsl.pipeline(name="traffic-yolo-convert")
def convert_pipeline(
    source: str,
    labels: str = "",
    layout: str = "",
    snapshot_cache: str = "",
    snapshot_settings: str = "",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    convert_settings: str = "",
    shards: int = 4,
    nas_claim: str = "nas-data",
    s3_secret: str = "none",
) -> None:
    """Make a data set of recordings or of another data set, in shards that are converted side by side and merged.

    Args:
        source: Recordings, or a data set: a folder, or its label file.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        snapshot_cache: File that keeps checksums between looks, such as nas://.cache/recordings; empty reads every file
            each time.
        snapshot_settings: Other options of snapshot: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        shards: How many parts the source is cut into; a recording is never cut.
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas.
        s3_secret: Secret with address and credentials of the object storage, for s3:// locations; none: without.
    """
    form = dict(locals())
    snapshot_task = snapshot(**form_parameters(snapshot, form))
    files_task = convert_files(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **form_parameters(convert_files, form))
    # What lies on a share changes without KFP knowing: a cached listing would hide new recordings.
    for task in (snapshot_task, files_task):
        task.set_caching_options(False)
    fingerprint = snapshot_task.outputs["Output"]

    # Not the snapshot's own artifact: of an uncached task it has another id in each run, and the shards' key holds it
    hashes_task = hash_share(fingerprint=fingerprint, **form_parameters(hash_share, form))
    # A task of its own: a loop takes the list of a task, not a number
    names_task = plan_shards(shards=shards, fingerprint=fingerprint, files=files_task.output)
    with dsl.ParallelFor(items=names_task.output, parallelism=PARALLEL_SHARDS) as shard:
        shard_task = convert_shard(
            hashes=hashes_task.outputs["hashes"], shard=shard, **form_parameters(convert_shard, form)
        )
        shard_task.set_cpu_request("1").set_memory_request("2G")

    merge_task = merge_shards(parts=dsl.Collected(shard_task.outputs["part"]))
    merge_task.set_cpu_request("1").set_memory_request("2G")

    for task in (snapshot_task, files_task, hashes_task, shard_task):
        reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(convert_pipeline, __file__)
