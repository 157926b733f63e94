"""The KFP components of the step `convert`: in one piece, or fanned out over shards and merged."""

from typing import List  # noqa: UP035 (kfp 2.17 takes no list of artifacts by another name)

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def convert_files(
    run_id: str,
    source: str,
    labels: str = "",
    layout: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    settings: str = "",
) -> str:
    """Check the options of a conversion, and hash the files that they name.

    To be run uncached: such files change without KFP knowing.

    Args:
        run_id: Id of the pipeline run.
        source: Recordings, or a data set: a folder, or its label file.
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
        settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).

    Returns:
        Option and SHA-256 of each file. A conversion that takes it is found in KFP's cache as long as they are the
        same.
    """
    given = dict(locals())

    from traffic_yolo.dataset.named_files import named_files
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options

    with one_line_errors():
        (options,) = task_options([ConvertOptions], given)
        files = named_files(options, settings, run_id)
        print(files)
    return files


@dsl.component(base_image=image("train"), install_kfp_package=False)
def convert(
    fingerprint: str,
    files: str,
    dataset: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    source: str,
    snapshot_cache: str = "",
    labels: str = "",
    layout: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    settings: str = "",
) -> None:
    """Make a COCO + YOLO data set of recordings or of another data set.

    It takes no artifact, and checks that it reads what the two texts say: so that KFP's cache, whose key they are in,
    gives its data set again for the same content and for nothing else.

    Args:
        fingerprint: What the task snapshot returned: the share's files, and their content.
        files: What the task convert_files returned: the other files, and their content.
        dataset: The data set folder; with a data_store, a reference to it.
        report: What is in it, as a page.
        summary: The same in a few lines.
        metrics: Pictures and boxes per split.
        source: Recordings, or a data set: a folder, or its label file.
        snapshot_cache: The task snapshot's own: with it the share is not read once more to be checked.
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
        settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.dataset.convert import ContentToMatch
    from traffic_yolo.dataset.convert import convert as convert_source
    from traffic_yolo.dataset.named_files import check_named_files, reads_elsewhere
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described
    from traffic_yolo.snapshot.content import ShareContent

    with one_line_errors():
        (options,) = task_options([ConvertOptions], given)
        print(described(options))
        check_named_files(files, options, settings)
        wanted = ContentToMatch(ShareContent.parse(fingerprint), snapshot_cache, reads_elsewhere(files), files)
        converted = convert_source(options, Path(dataset.path), content=wanted)
        print(converted.text)
    shutil.copyfile(Path(dataset.path) / "report.html", report.path)
    Path(summary.path).write_text(converted.markdown)
    for name, value in converted.counts.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def plan_shards(shards: int, fingerprint: str, files: str) -> List[str]:  # noqa: UP006
    """Name the shards of a conversion.

    Args:
        shards: How many.
        fingerprint: What the task snapshot returned.
        files: What the task convert_files returned.

    Returns:
        "1/N of <fingerprint>, <files>" and so on. A task in a loop that takes another task's only output beside the
        loop's item gets the item in its place under kfp.local; so the item carries both.
    """
    from traffic_yolo.dataset.folder.shards import shard_names
    from traffic_yolo.entry_point import one_line_errors

    with one_line_errors():
        return shard_names(shards, fingerprint, files)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def convert_shard(
    hashes: dsl.Input[dsl.Artifact],
    shard: str,
    part: dsl.Output[dsl.Dataset],
    source: str,
    labels: str = "",
    layout: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    settings: str = "",
) -> None:
    """Convert one shard of a source; `merge_shards` makes the data set of all of them.

    Args:
        hashes: What the task hash_share kept, so that no shard reads all of the share.
        shard: Which part of how many, of which content of the share and of the other files, which are checked.
        part: Pictures, YOLO text and records of the shard.
        source: Recordings, or a data set: a folder, or its label file.
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
        settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.dataset.convert import ContentToMatch
    from traffic_yolo.dataset.folder.shards import convert_shard, named_shard
    from traffic_yolo.dataset.named_files import check_named_files, reads_elsewhere
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described
    from traffic_yolo.snapshot.content import ShareContent

    with one_line_errors():
        (options,) = task_options([ConvertOptions], given)
        print(described(options))
        wanted, fingerprint, files = named_shard(shard)
        check_named_files(files, options, settings)
        content = ContentToMatch(ShareContent.parse(fingerprint), hashes.path, reads_elsewhere(files), files)
        print(convert_shard(options, Path(part.path), wanted, snapshot=content).text)


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
        dataset: The data set folder; with a data_store, a reference to it.
        report: What is in it, as a page.
        summary: The same in a few lines.
        metrics: Pictures and boxes per split.
    """
    import shutil
    from pathlib import Path

    from traffic_yolo.dataset.folder.shards import merge_shards
    from traffic_yolo.entry_point import one_line_errors

    with one_line_errors():
        merged = merge_shards([Path(part.path) for part in parts], Path(dataset.path))
        print(merged.text)
    shutil.copyfile(Path(dataset.path) / "report.html", report.path)
    Path(summary.path).write_text(merged.markdown)
    for name, value in merged.counts.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=image("train"), install_kfp_package=False)
def import_dataset(
    dataset_folder: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
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
    settings: str = "",
) -> None:
    """Take a data set that lies on the share, without copying it, or convert one now.

    To be run uncached: a share changes without KFP knowing.

    Args:
        dataset_folder: The data set, or a reference to it that every step follows.
        report: What is in it, as a page.
        summary: The same in a few lines.
        metrics: Pictures per split.
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
        settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.dataset.import_dataset import import_dataset
    from traffic_yolo.dataset.options import DataSetChoice
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        (choice,) = task_options([DataSetChoice], given)
        print(described(choice))
        imported = import_dataset(choice, Path(dataset_folder.path))
        print(imported.text)
    shutil.copyfile(Path(dataset_folder.path) / "report.html", report.path)
    Path(summary.path).write_text(imported.markdown)
    for name, value in imported.counts.items():
        metrics.log_metric(name, value)
