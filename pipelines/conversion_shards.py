"""Wires a conversion fanned out over shards, for every pipeline that makes a data set of many recordings."""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

from traffic_yolo.dataset.component import convert_files, convert_shard, merge_shards, plan_shards
from traffic_yolo.snapshot.component import hash_share, snapshot
from traffic_yolo_pipelines.wiring import check_first, form_parameters

PARALLEL_SHARDS = 8  # more wait: a NAS serves a few readers well, and many badly


def convert_in_shards(
    form: Mapping[str, Any], *, shards: Any, reach: Callable[[Any], None], checked: bool = False
) -> Any:
    """The data set of the form's source as an artifact: byte for byte the one that the task `convert` makes.

    `form`: as `form_parameters` has it; `shards`: how many, of which each is a task; `reach`: gives a task that is told
    of places the storage; `checked`: whether `preflight` comes before everything, as it does where the pipeline trains
    or publishes.
    """
    snapshot_task = snapshot(**form_parameters(snapshot, form))
    files_task = convert_files(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **form_parameters(convert_files, form))
    # What lies on a share changes without KFP knowing: a cached listing would hide new recordings.
    for task in (snapshot_task, files_task):
        task.set_caching_options(False)
    if checked:
        check_first(form, snapshot_task, files_task)
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

    # The merge writes into the data store, where one is named
    for task in (snapshot_task, files_task, hashes_task, shard_task, merge_task):
        reach(task)
    return merge_task.outputs["dataset"]
