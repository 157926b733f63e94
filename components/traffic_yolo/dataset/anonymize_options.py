"""What a user may choose about the anonymous copy of a data set."""

from dataclasses import dataclass, field, fields

from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

LEAST_QUALITY = 50
_LABELS_FORMAT = next(each for each in fields(SourceChoice) if each.name == "labels_format")


@dataclass(frozen=True)
class AnonymizeOptions:
    """One copy. Raises `OptionsError` when made with values that make no sense."""

    dataset: str = option("", "Data set folder that convert wrote.", location="read")
    parts: bool = option(True, "Blur plates and heads, by the parts of the data set's boxes of vehicles and people.")
    boxes: str = option(
        "", "Labels of what is blurred as a whole (plates, faces, as a detector found them): any format.",
        location="read",
    )  # fmt: skip
    boxes_format: str = field(default="auto", metadata=dict(_LABELS_FORMAT.metadata) | {"help": "What --boxes is."})
    quality: int = option(95, "JPEG quality of the pictures that are written anew.", least=LEAST_QUALITY, most=100)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.dataset:
            raise OptionsError("dataset: expected a data set folder, found nothing")
        if not self.parts and not self.boxes:
            raise OptionsError("boxes: expected labels, since parts is off; give some, or leave parts on")
