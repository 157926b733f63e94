"""Where published weights are taken from; the names are those of the command line."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class FetchOptions:
    """Raises `OptionsError` for both places at once, and for a mirror that is no address."""

    mirror: str = option("", "Address of a folder that has the files under their own names; in the place of theirs.")
    from_folder: str = option(
        "", "Folder (a path, nas:// or s3://) that has the files, where the net is closed.", location="read",
        alias="--from",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if self.mirror and self.from_folder:
            raise OptionsError("mirror: from_folder names another place; leave one of them out")
        if self.mirror and not self.mirror.startswith(("https://", "http://")):
            raise OptionsError(f"mirror: expected an address that begins with https://, found {self.mirror!r}")
