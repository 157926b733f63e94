"""The files of a model that is a Darknet pair: which cfg and class names belong to a `.weights` file."""

from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import CLASSES_NAME
from traffic_yolo.storage import AnyPath, existing_path

SUFFIXES = (".weights", ".cfg")


@dataclass(frozen=True)
class DarknetPair:
    """Three files that are there."""

    cfg: Path
    weights: Path
    names: Path


def find_pair(path: Path, *, cfg: AnyPath = "", weights_names: AnyPath = "", of: str = "MODEL") -> DarknetPair:
    """The pair that `path`, one of its files, belongs to; `cfg` and `weights_names` where they lie elsewhere.

    Otherwise the cfg and the weights have one name, and class names lie beside them: under that name with `.names`, as
    `classes.names` or as `obj.names`. `of`: the argument that named `path`, for messages. Raises `OptionsError` for a
    file that is not there, `StorageError` for one that was named.
    """
    weights = path if path.suffix == ".weights" else path.with_suffix(".weights")
    found_cfg = existing_path(cfg, what="cfg") if cfg else path.with_suffix(".cfg")
    if weights_names:
        names = existing_path(weights_names, what="class names")
    else:
        candidates = [path.with_suffix(".names"), path.parent / CLASSES_NAME, path.parent / "obj.names"]
        names = next((each for each in candidates if each.is_file()), candidates[0])
    is_model = of == "MODEL"
    for what, file, advice in (
        ("weights", weights, f"give the .weights as {of}"),
        ("cfg", found_cfg, "give cfg=…" if is_model else "put it there"),
        ("class names", names, "give weights_names=…" if is_model else "put them there, one a line"),
    ):
        if not file.is_file():
            raise OptionsError(f"{path}: {what} not found: {file}; {advice}")
    return DarknetPair(found_cfg, weights, names)
