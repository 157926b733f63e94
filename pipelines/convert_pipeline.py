"""Recordings on the share -> a data set, with the conversion fanned out over shards: for shares of millions of frames.

Only wires. The data set is byte for byte the one that the task `convert` of the main pipeline makes. Compiled for
Kubeflow by `python pipelines/convert_pipeline.py`, which rewrites `convert_pipeline.yaml` beside this file.
"""

from kfp import dsl

from traffic_yolo_pipelines.conversion_shards import convert_in_shards
from traffic_yolo_pipelines.wiring import reach_storage


@dsl.pipeline(name="traffic-yolo-convert")
def convert_pipeline(
    source: str,
    labels: str = "",
    layout: str = "",
    snapshot_cache: str = "",
    snapshot_settings: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
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
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        data_store: Folder that keeps data sets, such as nas://.data-sets, so that steps hand on a reference; empty:
            they hand on the pictures.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        shards: How many parts the source is cut into; a recording is never cut.
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas.
        s3_secret: Secret with address and credentials of the object storage, for s3:// locations; none: without.
    """
    form = dict(locals())
    convert_in_shards(
        form,
        shards=shards,
        reach=lambda task: reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret),
    )


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(convert_pipeline, __file__)
