"""What batch-norm does in a fine-tuning: follow the batches, or keep to the statistics that the start weights have."""

import re
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError

_FORM = re.compile(r"train|frozen(:[0-9]{1,9})?")


@dataclass(frozen=True)
class BatchNormPolicy:
    """`frozen_until`: batch-norm normalises by its stored statistics, and keeps them, for so many updates.

    0: it normalises by each batch and its statistics follow from the first update on ("train"). None: never
    ("frozen"). Its scales and biases are weights as others are, and train wherever their layer does.
    """

    frozen_until: int | None = 0

    @classmethod
    def parse(cls, text: str) -> "BatchNormPolicy":
        """The policy of `train`, `frozen` or `frozen:<updates>`; raises `OptionsError` for another text."""
        if not _FORM.fullmatch(text):
            raise OptionsError(f"batch_norm: expected train, frozen or frozen:<updates>, found {text[:40]!r}")
        if text == "train":
            return cls(0)
        _, separator, updates = text.partition(":")
        return cls(int(updates) if separator else None)

    def __str__(self) -> str:
        if self.frozen_until is None:
            return "frozen"
        return f"frozen:{self.frozen_until}" if self.frozen_until else "train"

    def follows_at(self, iteration: int) -> bool:
        """Whether the statistics follow the batch in the update after `iteration` others."""
        return self.frozen_until is not None and iteration >= self.frozen_until
