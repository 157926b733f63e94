"""Whether pictures without a box are a human's word that they are empty, or the silence of a model.

Most formats say only of boxes who drew them. Where all boxes of a source are those of a model or device, as in what
`predict` writes, a model looked at the pictures without a box too: they are no negatives to train or judge on.
"""

from dataclasses import replace

from traffic_yolo.dataset.records import PictureLabels


class EmptyPictures:
    """Shown all pictures of a source once by `add`, judges each by `judged`."""

    def __init__(self) -> None:
        self._humans = self._machines = self._empty = 0

    def add(self, labels: PictureLabels) -> None:
        """Counts one picture."""
        self._empty += not labels.annotations and not labels.by_machine
        for annotation in labels.annotations:
            if annotation.label_source == "human":
                self._humans += 1
            else:
                self._machines += 1

    def judged(self, labels: PictureLabels) -> PictureLabels:
        """The labels, `by_machine` where they are a machine's by the others."""
        if labels.annotations or self._humans or not self._machines:
            return labels
        return replace(labels, by_machine=True)

    def notes(self) -> list[str]:
        """A line for the report, where pictures were judged by the others."""
        if self._humans or not self._machines or not self._empty:
            return []
        return [
            f"{self._empty} pictures without a box are taken as a model's, as all {self._machines} boxes are; give "
            f"label_source human where a human looked at them"
        ]
