"""An ONNX file without its tensors' meaning: the graph, and what it says of itself."""

from pathlib import Path
from typing import TYPE_CHECKING

from traffic_yolo.errors import ModelError

if TYPE_CHECKING:
    import onnx


def read_onnx(path: Path, *, advice: str = "") -> "onnx.ModelProto":
    """The file's graph; external data are left where they are. `ModelError` for what is none, ending in `advice`."""
    import onnx  # of the extra `deploy`, and only where an ONNX file is looked into

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no common base with OSError
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: not an ONNX file: {first}{'; ' if advice else ''}{advice}") from error


def onnx_metadata(path: Path) -> dict[str, str]:
    """The metadata_props of an ONNX file; our export states weights_sha256 and classes. Raises as `read_onnx`."""
    return {entry.key: entry.value for entry in read_onnx(path).metadata_props}


def tensor_names(model: "onnx.ModelProto") -> set[str]:
    """Names of the graph's inputs and of what its nodes give."""
    return {each.name for each in model.graph.input} | {name for node in model.graph.node for name in node.output}
