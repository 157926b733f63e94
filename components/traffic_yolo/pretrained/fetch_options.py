"""Where published weights are taken from; the names are those of the command line."""

import re
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class FetchOptions:
    """Raises `OptionsError` for both places at once, a mirror that is no address, and a checksum that is none."""

    mirror: str = option("", "Address of a folder that has the files under their own names; in the place of theirs.")
    from_folder: str = option(
        "", "Folder (a path, nas:// or s3://) that has the files, where the net is closed.", location="read",
        alias="--from",
    )  # fmt: skip

    sha256: str = option(
        "", "SHA-256 that the weights must have, where none is known here and you have it from elsewhere."
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.mirror and self.from_folder:
            raise OptionsError("mirror: from_folder names another place; leave one of them out")
        if self.mirror and not self.mirror.startswith(("https://", "http://")):
            raise OptionsError(f"mirror: expected an address that begins with https://, found {self.mirror!r}")
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise OptionsError(f"sha256: expected 64 hexadecimal digits, in small letters, found {self.sha256!r:.80}")
