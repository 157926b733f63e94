"""TensorBoard: an event file in the run folder, for `tensorboard --logdir RUNS`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils import tensorboard
from torch.utils.tensorboard import summary

from traffic_yolo.dataset.pictures.decode import decode_picture
from traffic_yolo.training.event_log import LoggedRun, Outcome

FOLDER = "tensorboard"


class TensorBoardLog:
    """Writes scalars, pictures, the options as hyperparameters, and the outcome as text."""

    def __init__(self, run: LoggedRun) -> None:
        # What a killed run wrote after its last checkpoint is gone from the curves, as from history.csv
        purge_step = run.resumed_after + 1 if run.resumed_after else None
        writer: Any = tensorboard.SummaryWriter
        self._writer = writer(str(run.folder / FOLDER), purge_step=purge_step)
        self._options = {name: _hparam(value) for name, value in run.options.items()}
        if not run.resumed_after:
            lines = "\n".join(f"    {name}: {value}" for name, value in run.options.items())
            self._writer.add_text("options", lines)

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def picture(self, name: str, jpeg: bytes, iteration: int) -> None:
        """Under the tab of images."""
        pixels = decode_picture(jpeg, what=name)
        if pixels is not None:
            self._writer.add_image(name, np.ascontiguousarray(pixels[..., ::-1]), iteration, dataformats="HWC")

    def finish(self, outcome: Outcome) -> None:
        """The outcome beside the options, where the tab of hyperparameters compares runs."""
        metrics = {f"final/{name}": value for name, value in outcome.metrics.items()}
        make: Any = summary.hparams
        for part in make(self._options, metrics):
            self._writer.file_writer.add_summary(part)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value)
        for name, text in outcome.tags.items():
            self._writer.add_text(name, text)

    def close(self, *, failed: bool) -> None:
        """Writes what is in memory."""
        del failed
        self._writer.close()


def _hparam(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else "" if value is None else str(value)
