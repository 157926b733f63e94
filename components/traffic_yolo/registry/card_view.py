"""The card of a version in a zoo: what lies in its bundle, what people state of it, and what was decided about it."""

import contextlib
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import WEIGHTS_NAME
from traffic_yolo.registry.bundle import checksums_of, verify_bundle
from traffic_yolo.registry.card_text import card_markdown
from traffic_yolo.registry.model_home import ModelHome
from traffic_yolo.registry.publication import latest, read_publications
from traffic_yolo.registry.statement import statement_of


def card_view(home: ModelHome, version: str) -> dict[str, Any]:
    """The verified card of a version that is there, with `statement`, `publication` (None: an older program's) and
    `lineage.started_from`: the version of this model with the weights that the training started from, or that
    were pruned for it, None for none.

    Raises `ModelError` for a damaged bundle.
    """
    card = verify_bundle(home.bundle(version))
    decided = latest(read_publications(home.location)[0], version)
    lineage = dict(card.get("lineage") or {})
    parent = (lineage.get("pruned_from") or {}).get("weights_sha256")
    lineage["started_from"] = _with_weights(home, lineage.get("start_weights_sha256")) or _with_weights(home, parent)
    return {
        **card,
        "lineage": lineage,
        "statement": statement_of(home.location, version).document(),
        "publication": None if decided is None else decided.document(),
    }


def view_markdown(title: str, view: dict[str, Any]) -> str:
    """A `card_view` as Markdown."""
    return card_markdown(title, {name: value for name, value in view.items() if value is not None})


def _with_weights(home: ModelHome, sha256: str | None) -> str | None:
    """The newest version whose weights have this hash."""
    for version in reversed(home.versions()) if sha256 else ():
        with contextlib.suppress(ModelError):  # damaged: `zoo verify` says so
            if checksums_of(home.bundle(version)).get(WEIGHTS_NAME) == sha256:
                return version
    return None
