"""What a log of deepstream-app says: why it failed, and where nvinfer quietly built another precision.

The lines are those of the sources (DeepStream 9.1, nvdsinfer); nobody has compared them with a log of a GPU node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.messages import one_line

# (what a line holds, cause and remedy), the most telling first
FAULTS: tuple[tuple[str, str], ...] = (
    ("Could not get cuda device count", "no GPU is to be seen: ask for one (nvidia.com/gpu: 1, or --gpus all)"),
    ("no CUDA-capable device", "no GPU is to be seen: ask for one (nvidia.com/gpu: 1, or --gpus all)"),
    ("CUDA driver version is insufficient", "the node's driver is older than this DeepStream needs"),
    ("Failed to set cuda device", "the GPU of gpu-id cannot be used"),
    ("Could not open custom lib", "the parser's library cannot be loaded: --parser-library"),
    ("dlsym failed to get func", "the parser's library has no such function: --parser-function"),
    ('no element "nvinfer"', "the plugin nvinfer is missing: this is no DeepStream image"),
    ("Cannot access ONNX file", "the ONNX file cannot be read"),
    ("Failed to parse onnx file", "TensorRT cannot read the ONNX file"),
    ("INT8 calibrator not specified", "int8 without a calibration table"),
    ("build engine file failed", "the engine could not be built"),
    ("failed to build trt engine", "the engine could not be built"),
    ("Build engine failed", "the engine could not be built"),
    ("Could not open labels file", "labels.txt cannot be read"),
    ("out of memory", "the GPU has too little memory left"),
    ("Failed to parse config file", "deepstream-app cannot read its configuration"),
)
# (what a line holds, the precision that is built instead)
FALLBACKS: tuple[tuple[str, str], ...] = (
    ("FP16 not supported by platform. Using FP32 mode", "fp32"),
    ("Retrying without explicit FP16 flag", "fp32"),
    ("INT8 calibration file not specified. Trying FP16 mode", "fp16"),
    ("INT8 not supported by platform. Trying FP16 mode", "fp16"),
)
REBUILT = ("try rebuild", "trying rebuild")
LAST_LINES = 3
MOST_BYTES = 8 << 20  # of a log, from its end


@dataclass(frozen=True)
class AppLog:
    """A log's lines, the last `MOST_BYTES` of them."""

    lines: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "AppLog":
        """Reads what is there; bytes that are not UTF-8 are replaced."""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
        return cls(tuple(line.strip() for line in text.splitlines() if line.strip()))

    @property
    def cause(self) -> str:
        """Why it failed, with the line that says so; its last lines where none is known."""
        for part, cause in FAULTS:
            for line in self.lines:
                if part in line:
                    return f"{cause}: {_short(line)}"
        return " / ".join(_short(line) for line in self.lines[-LAST_LINES:]) or "it printed nothing"

    @property
    def fallbacks(self) -> tuple[tuple[str, str], ...]:
        """(precision that was built instead, line) of each quiet change, in the log's order."""
        return tuple((instead, _short(line)) for line in self.lines for part, instead in FALLBACKS if part in line)

    @property
    def engine_was_rebuilt(self) -> bool:
        """Whether an engine that was there could not be used."""
        return any(part in line for line in self.lines for part in REBUILT)


def precision_of(asked: str, log: AppLog, engines: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """(the precision that ran, what speaks against the one that was asked for, a sentence each).

    `engines`: precisions in the names of the engines that the run left: nvinfer names an engine by what it is, but for
    the last change, of which the log alone knows.
    """
    ran, reasons = asked, []
    for instead, line in log.fallbacks:
        ran = instead
        reasons.append(f"asked for {asked}, nvinfer built {instead}: {line}")
    if not reasons:
        for found in engines:
            if found != asked:
                ran = found
                reasons.append(f"asked for {asked}, the engine that the run left is {found} by its name")
    return ran, tuple(reasons)


def _short(line: str) -> str:
    text = one_line(line)
    return text if len(text) <= 200 else f"{text[:197]}..."
