"""The KFP components of the step `snapshot`: what lies on the share, and whether a retraining pays.

They are two because a `dsl.If` sees only the output of a component that has no other.
"""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def snapshot(
    listing: dsl.Output[dsl.Artifact],
    changes: dsl.Output[dsl.Markdown],
    source: str,
    labels: str = "",
    layout: str = "",
    snapshot_cache: str = "",
    previous: str = "",
    settings: str = "",
) -> str:
    """List what lies on the share and fingerprint it; the output changes only when the content does.

    To be run uncached: a share changes without KFP knowing.

    Args:
        listing: Every file with size and SHA-256 (JSON).
        changes: What is new since the previous snapshot.
        source: Recordings, or a data set: a folder, or its label file.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        snapshot_cache: File that keeps checksums between looks, such as nas://.cache/recordings; empty reads every file
            each time.
        previous: Snapshot to compare with; one that does not exist yet counts as none.
        settings: Other options of snapshot: YAML text `name: value`, or a file of it (path, nas:// or s3://).

    Returns:
        The fingerprint, with what tells its files from later ones. A step that takes it in the place of the listing is
        found in KFP's cache as long as the share's content is the same, wherever and whenever it was copied.
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described
    from traffic_yolo.snapshot.changes import compare
    from traffic_yolo.snapshot.content import ShareContent
    from traffic_yolo.snapshot.options import SnapshotOptions
    from traffic_yolo.snapshot.snapshot import load_snapshot, look_at, write_snapshot
    from traffic_yolo.storage import exists

    with one_line_errors():
        (options,) = task_options([SnapshotOptions], given)
        print(described(options))
        earlier = load_snapshot(options.previous) if options.previous and exists(options.previous) else None
        taken = look_at(options)
        write_snapshot(Path(listing.path), taken)
        found = compare(earlier, taken)
        Path(changes.path).write_text(found.markdown)
        print(taken.summary)
        print(found.summary)
        for name, reason in (*taken.skipped, *taken.totals.unreadable):
            print(f"note: {name}: {reason}")
    return str(ShareContent.of(taken))


@dsl.component(base_image=image("train"), install_kfp_package=False)
def hash_share(
    fingerprint: str,
    hashes: dsl.Output[dsl.Artifact],
    source: str,
    labels: str = "",
    snapshot_cache: str = "",
) -> None:
    """Keep the hashes of a share's files, so that the tasks after it need not read the share to know it.

    Args:
        fingerprint: What the task snapshot returned: the files, and their content.
        hashes: Checksums with sizes and times, for the tasks of a loop.
        source: Recordings, or a data set: a folder, or its label file.
        labels: Label file or folder with the human labels of the recordings.
        snapshot_cache: File that keeps checksums between looks, such as nas://.cache/recordings; empty reads every file
            once more.
    """
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.snapshot.content import ShareContent, held_files
    from traffic_yolo.snapshot.options import RecordingsChoice
    from traffic_yolo.storage import put

    with one_line_errors():
        choice = RecordingsChoice(source, labels=labels)
        held = held_files(ShareContent.parse(fingerprint), choice, cache=snapshot_cache)
        put(Path(hashes.path), held.hashes.dump())


@dsl.component(base_image=image("train"), install_kfp_package=False)
def gate(
    listing: dsl.Input[dsl.Artifact],
    previous: str,
    min_new_frames: int = 1,
    min_new_sites: int = 1,
    min_class_growth: float = 0.0,
    new_labels: bool = True,
) -> str:
    """Say whether enough is new on the share for a retraining; the only output, for a dsl.If.

    Args:
        listing: The snapshot that was just taken.
        previous: Snapshot of the last retraining (path, nas:// or s3://); one that does not exist yet counts as none.
        min_new_frames: New frames that open the gate; 0: frames never do.
        min_new_sites: New sites that open the gate; 0: sites never do.
        min_class_growth: Growth of one class, in percent, that opens the gate; 0: growth never does.
        new_labels: Whether changed labels open the gate.

    Returns:
        new, too_few or unchanged.
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.snapshot.changes import GateOptions, compare
    from traffic_yolo.snapshot.changes import gate as gate_of
    from traffic_yolo.snapshot.snapshot import load_snapshot, read_snapshot
    from traffic_yolo.storage import exists

    with one_line_errors():
        (options,) = task_options([GateOptions], given)
        earlier = load_snapshot(previous) if exists(previous) else None
        found = compare(earlier, read_snapshot(Path(listing.path)))
        word = gate_of(found, options)
        print(f"{word}: {found.summary}")
    return word


@dsl.component(base_image=image("train"), install_kfp_package=False)
def keep_snapshot(listing: dsl.Input[dsl.Artifact], location: str) -> None:
    """Keep a snapshot as the one that the next gate compares with; to be run after what it stood for succeeded.

    Args:
        listing: The snapshot.
        location: Where to keep it (path, nas:// or s3://).
    """
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.storage import put

    with one_line_errors():
        put(location, Path(listing.path))
