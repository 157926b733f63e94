"""The KFP components of the step `convert`: in one piece, or fanned out over shards and merged."""

from typing import List  # noqa: UP035 (kfp 2.17 takes no list of artifacts by another name)

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def convert(
    listing: dsl.Input[dsl.Artifact],
    fingerprint: str,
    dataset: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    source: str,
    labels: str = "",
    layout: str = "",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    settings: str = "",
) -> None:
    """Make a COCO + YOLO data set of recordings or of another data set.

    Args:
        listing: The snapshot of the source.
        fingerprint: The snapshot's fingerprint; it makes KFP's cache miss when the share changes.
        dataset: The data set folder.
        report: What is in it, as a page.
        summary: The same in a few lines.
        metrics: Pictures and boxes per split.
        source: Recordings, or a data set: a folder, or its label file.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.dataset.convert import convert as convert_source
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        (options,) = task_options([ConvertOptions], given)
        print(described(options))
        converted = convert_source(
            options, Path(dataset.path), snapshot_path=Path(listing.path), expected_fingerprint=fingerprint
        )
        print(converted.text)
    shutil.copyfile(Path(dataset.path) / "report.html", report.path)
    Path(summary.path).write_text(converted.markdown)
    for name, value in converted.counts.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def plan_shards(shards: int, fingerprint: str) -> List[str]:  # noqa: UP006
    """Name the shards of a conversion.

    Args:
        shards: How many.
        fingerprint: The snapshot's fingerprint.

    Returns:
        "1/N of <fingerprint>" and so on. A task in a loop that takes another task's only output beside the loop's item
        gets the item in its place under kfp.local; so the item carries the fingerprint too.
    """
    from traffic_yolo.dataset.shards import shard_names
    from traffic_yolo.errors import one_line_errors

    with one_line_errors():
        return shard_names(shards, fingerprint)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def convert_shard(
    listing: dsl.Input[dsl.Artifact],
    shard: str,
    part: dsl.Output[dsl.Dataset],
    source: str,
    labels: str = "",
    layout: str = "",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    settings: str = "",
) -> None:
    """Convert one shard of a source; `merge_shards` makes the data set of all of them.

    Args:
        listing: The snapshot of the source.
        shard: Which part of how many, of which fingerprint; KFP's cache misses when the share changes.
        part: Pictures, YOLO text and records of the shard.
        source: Recordings, or a data set: a folder, or its label file.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.dataset.convert import SnapshotToMatch
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.dataset.shards import convert_shard, named_shard
    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        (options,) = task_options([ConvertOptions], given)
        print(described(options))
        wanted, fingerprint = named_shard(shard)
        listed = SnapshotToMatch(Path(listing.path), fingerprint)
        print(convert_shard(options, Path(part.path), wanted, snapshot=listed).text)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def merge_shards(
    parts: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    dataset: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Make the data set of all shards of a conversion: the same bytes as in one piece.

    Args:
        parts: The folders of all shards, in any order.
        dataset: The data set folder.
        report: What is in it, as a page.
        summary: The same in a few lines.
        metrics: Pictures and boxes per split.
    """
    import shutil
    from pathlib import Path

    from traffic_yolo.dataset.shards import merge_shards
    from traffic_yolo.errors import one_line_errors

    with one_line_errors():
        merged = merge_shards([Path(part.path) for part in parts], Path(dataset.path))
        print(merged.text)
    shutil.copyfile(Path(dataset.path) / "report.html", report.path)
    Path(summary.path).write_text(merged.markdown)
    for name, value in merged.counts.items():
        metrics.log_metric(name, value)
