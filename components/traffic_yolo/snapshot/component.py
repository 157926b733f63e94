"""The KFP component of the step `snapshot`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def snapshot(source: str, listing: dsl.Output[dsl.Artifact], labels: str = "") -> str:
    """List what lies on the share and fingerprint it; the output changes only when the content does.

    Args:
        source: Folder of recordings, or a data set (path, file:// or nas://).
        labels: Label file or folder that belongs to the source.
        listing: Every file with size and SHA-256 (JSON).

    Returns:
        The fingerprint. It is a parameter of the step after, so that KFP's cache misses when the share changes.
    """
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot

    with one_line_errors():
        taken = take_snapshot(source, labels=labels)
        write_snapshot(Path(listing.path), taken)
        print(taken.summary)
    return taken.fingerprint
