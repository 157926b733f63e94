"""Compiles a pipeline to the YAML file beside its source."""

from pathlib import Path
from typing import Any

from kfp import compiler


def compile_beside(pipeline: Any, source_file: str) -> Path:
    """Writes `<source>.yaml` next to `<source>.py` and returns its path.

    The image names in it depend on `TRAFFIC_YOLO_IMAGE_PREFIX`; the committed files are compiled without it.
    """
    target = Path(source_file).resolve().with_suffix(".yaml")
    compiler.Compiler().compile(pipeline, str(target))
    print(target)
    return target
