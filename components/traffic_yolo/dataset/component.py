"""The KFP components of the step `convert`: in one piece, or fanned out over shards and merged."""

from typing import List  # noqa: UP035 (kfp 2.17 takes no list of artifacts by another name)

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def convert(
    source: str,
    listing: dsl.Input[dsl.Artifact],
    fingerprint: str,
    dataset: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
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
) -> None:
    """Make a COCO + YOLO data set of recordings or of another data set.

    Args:
        source: Folder of recordings, or a data set (path, file:// or nas://).
        listing: The snapshot of the source.
        fingerprint: The snapshot's fingerprint; it makes KFP's cache miss when the share changes.
        dataset: The data set folder.
        report: What is in it, as a page.
        summary: The same in a few lines.
        metrics: Pictures and boxes per split.
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
    """
    import shutil
    from pathlib import Path

    from traffic_yolo.dataset.convert import convert as convert_source
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.errors import one_line_errors

    with one_line_errors():
        options = ConvertOptions(
            source=source,
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
    source: str,
    listing: dsl.Input[dsl.Artifact],
    shard: str,
    part: dsl.Output[dsl.Dataset],
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
) -> None:
    """Convert one shard of a source; `merge_shards` makes the data set of all of them.

    Args:
        source: Folder of recordings, or a data set (path, file:// or nas://).
        listing: The snapshot of the source.
        shard: Which part of how many, of which fingerprint; KFP's cache misses when the share changes.
        part: Pictures, YOLO text and records of the shard.
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
    """
    from pathlib import Path

    from traffic_yolo.dataset.convert import SnapshotToMatch
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.dataset.shards import convert_shard, named_shard
    from traffic_yolo.errors import one_line_errors

    with one_line_errors():
        options = ConvertOptions(
            source=source,
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
