"""The KFP components of the step `snapshot`: what lies on the share, and whether a retraining pays.

They are two because a `dsl.If` sees only the output of a component that has no other.
"""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def snapshot(
    source: str,
    listing: dsl.Output[dsl.Artifact],
    changes: dsl.Output[dsl.Markdown],
    labels: str = "",
    layout: str = "",
    previous: str = "",
    cache: str = "",
    settle_s: float = 0.0,
) -> str:
    """List what lies on the share and fingerprint it; the output changes only when the content does.

    Args:
        source: Folder of recordings, or a data set (path, file://, nas:// or s3://).
        listing: Every file with size and SHA-256 (JSON).
        changes: What is new since the previous snapshot.
        labels: Label file or folder that belongs to the source.
        layout: Layout of the recordings, a name or a YAML file; empty takes each file's own.
        previous: Snapshot to compare with (path, nas:// or s3://); one that does not exist yet counts as none.
        cache: File that keeps checksums between runs (path, nas:// or s3://); empty reads every file each time.
        settle_s: Recordings written to within so many seconds are left out.

    Returns:
        The fingerprint. It is a parameter of the step after, so that KFP's cache misses when the share changes.
    """
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.snapshot.changes import compare
    from traffic_yolo.snapshot.snapshot import load_snapshot, take_snapshot, write_snapshot
    from traffic_yolo.storage import exists

    with one_line_errors():
        earlier = load_snapshot(previous) if previous and exists(previous) else None
        taken = take_snapshot(source, labels=labels, layout=layout, cache=cache, settle_s=settle_s)
        write_snapshot(Path(listing.path), taken)
        found = compare(earlier, taken)
        Path(changes.path).write_text(found.markdown)
        print(taken.summary)
        print(found.summary)
        for name, reason in (*taken.skipped, *taken.totals.unreadable):
            print(f"note: {name}: {reason}")
    return taken.fingerprint


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
        min_new_frames: New frames that open the gate; 0 means frames never do.
        min_new_sites: New sites that open the gate; 0 means sites never do.
        min_class_growth: Growth of one class, in percent, that opens the gate; 0 means growth never does.
        new_labels: Whether changed labels open the gate.

    Returns:
        new, too_few or unchanged.
    """
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.snapshot.changes import GateOptions, compare
    from traffic_yolo.snapshot.changes import gate as gate_of
    from traffic_yolo.snapshot.snapshot import load_snapshot, read_snapshot
    from traffic_yolo.storage import exists

    with one_line_errors():
        options = GateOptions(min_new_frames, min_new_sites, min_class_growth, new_labels)
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

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.storage import put

    with one_line_errors():
        put(location, Path(listing.path))
