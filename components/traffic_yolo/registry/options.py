"""What a user may choose about a publication; the names are those of the command line and of the KFP component."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class PublishOptions:
    """Where a bundle goes. Raises `OptionsError` for values that make no sense."""

    zoo: str = option(
        dataclasses.MISSING, "Folder of the model zoo: a path, nas:// or s3://.", headline=True, location="keep"
    )
    model_name: str = option("traffic-small", "Name under which the zoo keeps the model's versions.", headline=True)

    def __post_init__(self) -> None:
        check_options(self)
