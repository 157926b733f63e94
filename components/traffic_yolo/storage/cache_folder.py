"""Where copies of remote files are kept on this machine, and the state of interrupted transfers."""

import os
from pathlib import Path

CACHE_VARIABLE = "TRAFFIC_YOLO_CACHE"


def cache_folder() -> Path:
    """`$TRAFFIC_YOLO_CACHE`, else `$XDG_CACHE_HOME/traffic-yolo`, else `~/.cache/traffic-yolo`. It may not exist yet.

    On a cluster, give it a volume of its own: a pod's own disk is small and goes with the pod.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "traffic-yolo"
