"""The exceptions that a user can cause or meet; the command line turns each into one line and exit code 2 (gates: 1).

A message has one line: what is wrong, where, what was expected, what was found, what to do. Anything that is not a
`TrafficYoloError` is a fault of ours and keeps its traceback.
"""

from collections.abc import Sequence

from traffic_yolo.messages import one_line

USER_ERROR_EXIT_CODE = 2
GATE_EXIT_CODE = 1
ERROR_PREFIX = "error: "
GATE_PREFIX = "gates failed: "


class TrafficYoloError(Exception):
    """Root of everything that this project raises on purpose.

    Its text is one printable line, whatever stood in the file that it quotes: names and values of others may hold line
    ends, and control characters that a terminal obeys.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class OptionsError(TrafficYoloError, ValueError):
    """An option, or a combination of options, that makes no sense."""


class NothingToPruneError(OptionsError):
    """A pruning so small that all of the network stays."""


class ProblemsError(OptionsError):
    """Several things that are wrong with one request, each a line of its own."""

    def __init__(self, lines: Sequence[str]) -> None:
        """`lines`: one or more, each as a message of an error is."""
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


class StorageError(TrafficYoloError, OSError):
    """A file or folder that cannot be found, read, or written."""


class NotFoundError(StorageError):
    """A location where nothing lies."""


class AlreadyExistsError(StorageError):
    """A location that was to be made anew and is taken."""


class ChangedMeanwhileError(StorageError):
    """A file or object that became another one while it was read or copied."""


class ChecksumError(StorageError):
    """Bytes that do not have the checksum that was stated for them."""


class DarknetFormatError(TrafficYoloError, ValueError):
    """A .cfg or .weights file that Darknet's rules do not allow, or two that do not fit each other."""


class RecordingError(TrafficYoloError, ValueError):
    """An ATM recording or layout that cannot be read as one."""


class RecordingInUseError(RecordingError):
    """A recording that its device is still writing."""


class LabelError(TrafficYoloError, ValueError):
    """A label file with wrong syntax, an unknown class, or a frame that does not exist."""


class DatasetError(TrafficYoloError, ValueError):
    """A data set folder that is incomplete or contradicts itself."""


class PictureError(DatasetError):
    """A picture of a data set that is missing, unreadable, damaged or of another size; `reason` says which."""

    def __init__(self, message: str, *, reason: str = "damaged") -> None:
        """`reason` is what such pictures are counted under."""
        super().__init__(message)
        self.reason = reason


class TrainingError(TrafficYoloError, RuntimeError):
    """A training that cannot start or cannot go on (a loss that is not finite, a checkpoint of another run)."""


class ModelError(TrafficYoloError, ValueError):
    """An exported model folder or bundle that is incomplete or contradicts itself."""


class EvaluationError(TrafficYoloError, ValueError):
    """Detections, truth or records that do not belong together."""


class ClusterError(TrafficYoloError, RuntimeError):
    """What a server of Kubernetes or Kubeflow Pipelines refuses; an experiment on it that failed or took too long."""


class GateError(TrafficYoloError, RuntimeError):
    """A version that was published and is not used, because a gate failed or could not be decided: no mistake."""
