"""Objects that a pipeline run makes on its cluster: named after the run, so that a task begun anew finds its own.

Each carries the hash of the spec that it was made with: another's object of the same name is never taken for it.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from traffic_yolo.cluster.access import mapping_at, text_at
from traffic_yolo.errors import ClusterError

SPEC_ANNOTATION = "traffic-yolo/spec-sha256"


def unique_name(name: str, run_id: str, *, most: int) -> str:
    """A name of at most `most` characters for an object of a run: the same for the same run."""
    ending = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{name[: most - len(ending) - 1].rstrip('-')}-{ending}"


def of_run(document: Mapping[str, Any], run_id: str, *, most: int) -> dict[str, Any]:
    """A copy of an object, which has metadata.name and a spec, under its run's name and with the hash of the spec."""
    named = copy.deepcopy(dict(document))
    sha256 = hashlib.sha256(json.dumps(named["spec"], sort_keys=True).encode()).hexdigest()
    metadata = named["metadata"]
    metadata["name"] = unique_name(metadata["name"], run_id, most=most)
    metadata["annotations"] = {**mapping_at(metadata, "annotations"), SPEC_ANNOTATION: sha256}
    return named


def check_ours(found: Mapping[str, Any] | None, document: Mapping[str, Any], *, what: str) -> None:
    """Raises `ClusterError` for an object on the cluster that was not made of `document`; None is nobody's."""
    expected = document["metadata"]["annotations"][SPEC_ANNOTATION]
    if found is not None and mapping_at(found, "metadata", "annotations").get(SPEC_ANNOTATION) != expected:
        raise ClusterError(f"{what} stands there already with another spec; remove it and run again")


def age_s(found: Mapping[str, Any]) -> float:
    """Seconds since an object was made: a task whose pod is restarted has no more time than the first one had.

    Its creation, not its status' start, which a controller sets once it looks at it. 0 where the server tells none.
    """
    try:
        created = datetime.fromisoformat(text_at(found, "metadata", "creationTimestamp"))
        return max(0.0, (datetime.now(UTC) - created).total_seconds())
    except (ValueError, TypeError):  # none, or one without a zone
        return 0.0


def conditions_of(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Type -> condition of those in an object's status that are true."""
    status = mapping_at(found, "status").get("conditions")
    listed = status if isinstance(status, list) else []
    return {text_at(one, "type"): one for one in listed if isinstance(one, dict) and text_at(one, "status") == "True"}
