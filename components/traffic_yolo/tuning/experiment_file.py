"""What the scripts in `katib/` share: write an Experiment's YAML beside the script, or compare it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traffic_yolo.storage import write_text
from traffic_yolo.tuning.experiment import experiment_yaml


def write_or_compare(
    document: Mapping[str, Any], script: str, *, comment: str, arguments: Sequence[str] | None = None
) -> int:
    """Writes `<script>.yaml`; with `--check` only compares. Returns the exit code, 1 for a stale file.

    `arguments`: those of the command line by default.
    """
    path = Path(script).with_suffix(".yaml")
    text = experiment_yaml(document, comment=comment)
    if "--check" in (sys.argv[1:] if arguments is None else arguments):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return 0
        print(f"{path.name} is stale; run `python katib/{Path(script).name}`", file=sys.stderr)
        return 1
    write_text(path, text)
    return 0
