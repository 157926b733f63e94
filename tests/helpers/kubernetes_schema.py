"""Kubernetes' own schemas, strict: what a server of a release would say of an object's fields."""

from functools import cache
from typing import Any
from unittest.mock import patch

import kubernetes_validate
from kubernetes_validate import utils

_kept = cache(utils.schema_contents)  # 2 MB of definitions, which the package reads anew for each object


def hold_to_schema(document: dict[str, Any], release: str = "1.30") -> None:
    """Raises the package's error where an object is none that Kubernetes of this release takes, or has an unknown field."""
    with patch.object(utils, "schema_contents", _kept):
        kubernetes_validate.validate(document, release, strict=True)
