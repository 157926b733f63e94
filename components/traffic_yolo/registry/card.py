"""The model card as values: what a model is, what it was made of, what it can do; nothing of when and where it went.

It follows from the folders of one run alone, so the same run gives the same card; it is part of the bundle and counts
into the version. What people state of a version (`statement`) and what was decided about it (`publication`) lie beside
the bundles, and `view` puts all of it together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pruned_from import PrunedFrom
from traffic_yolo.trained_on import TrainedOn

SCHEMA_VERSION = 2
SCHEMA_VERSIONS = (1, SCHEMA_VERSION)  # 1: without CARD.md, `training` at the top, no data set, lineage or limits
CARD_NAME, CARD_TEXT_NAME = "card.json", "CARD.md"
PARITY_FIELDS = ("passed", "problems", "right", "split", "agreement", "explained_agreement", "metrics", "limits")
LEAST_TRUTHS = (
    50  # of a class, below which its AP50 says more of the few boxes than of the model (gates.gate.LEAST_BOXES)
)
CONVERSION_FIELDS = ("class_map_sha256", "device_labels", "min_confidence", "split_rule", "policy")


@dataclass(frozen=True)
class RunFiles:
    """What the folders of one run say. `hashes`: file name -> SHA-256; `export`, `point`, `parity`: their JSON files.

    `trained_on`: None where no training of ours made the weights; `pruned`: None where no pruning came before.
    `manifest`: of the data set that the model was evaluated on; empty where nobody gave one.
    """

    folder: ModelFolder
    hashes: Mapping[str, str]
    record: EvaluationRecord
    export: Mapping[str, Any]
    point: Mapping[str, Any]
    parity: Mapping[str, Any]
    trained_on: TrainedOn | None
    manifest: Mapping[str, Any]
    pruned: PrunedFrom | None = None


def card_of(run: RunFiles) -> dict[str, Any]:
    """The card, as plain values for JSON."""
    height, width = run.folder.network_hw
    record, at_point = run.record, run.point.get(run.record.split) or {}
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(run.folder.classes),
        "network": {"width": width, "height": height, "resize": run.folder.resize},
        "seen": run.export.get("seen"),
        "data": {**record.data, **_data_set(run.manifest)},
        "weights_have_seen": {
            **{name: record.provenance[name] for name in ("verdict", "pictures", "of", "reasons")},
            "split": record.split,
        },
        "lineage": _lineage(run),
        "options": _options(run),
        "evaluation": {
            "split": record.split,
            "metrics": record.metrics,
            "intervals": at_point.get("intervals") or {},
            "interval_confidence": at_point.get("interval_confidence"),
            "interval_groups": at_point.get("interval_groups"),
            "per_class": list(record.per_class),
            "nms": record.nms,
            "matching": record.matching,
            "protocol": {**record.protocol, "network_hw": list(record.protocol["network_hw"])},
        },
        "operating_point": dict(run.point),
        "parity": {name: run.parity.get(name) for name in PARITY_FIELDS},
        "limits": _limits(run, at_point),
        "onnx": {**run.export.get("onnx", {}), "against_pytorch": run.export.get("onnx_against_pytorch")},
        "sha256": dict(run.hashes),
        "versions": {**record.software, **run.export.get("versions", {})},
    }


def _data_set(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Of the data set that the model was evaluated on: pictures and boxes by split, and who labelled them."""
    if not manifest:
        return {}
    counts: Mapping[str, Mapping[str, int]] = manifest.get("counts") or {}
    return {
        "snapshot_fingerprint": manifest.get("parent_fingerprint"),
        "splits": [_split(*each) for each in counts.items()],
    }


def _split(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """One split; labels by people and by devices only where the manifest counts both."""
    row: dict[str, Any] = {"split": name, **{key: counts.get(key) for key in ("images", "boxes", "ignored")}}
    if all(key in counts for key in ("boxes", "ignored", "device")):
        row["labelled_by_people"] = counts["boxes"] + counts["ignored"] - counts["device"]
        row["labelled_by_devices"] = counts["device"]
    return row


def _lineage(run: RunFiles) -> dict[str, Any]:
    """What the weights come from: the weights that the training started from, and the data that it saw."""
    training, told = _training(run) or {}, run.trained_on
    pruned = {"pruned_from": _pruning(run.pruned)} if run.pruned else {}
    if told is None:
        return {"trained_here": False, **pruned}
    teacher = {"teacher_weights": told.teacher_weights, "teacher_weights_sha256": told.teacher_weights_sha256}
    return {
        **pruned,
        "trained_here": bool(told.pictures),
        # random weights have no file, and no hash
        "start_weights": told.start_weights or None,
        "start_weights_sha256": told.start_weights_sha256 or None,
        "start_weights_location": training.get("weights") or None,
        **(teacher if told.teacher_weights else {}),
        "data_fingerprint": told.data_fingerprint or None,
        "pictures_trained_on": len(told.pictures),
        "pictures_chosen_on": len(told.chosen_on),
    }


def _pruning(pruned: PrunedFrom) -> dict[str, Any]:
    """The parent, and what went; the whole record lies in the bundle."""
    return {
        "weights_sha256": pruned.parent_weights_sha256,
        "bflops": [pruned.before.bflops, pruned.after.bflops],
        "weights": [pruned.before.weights, pruned.after.weights],
        "kind": pruned.options.get("prune_kind"),
        "importance": pruned.options.get("importance"),
    }


def _options(run: RunFiles) -> dict[str, Any]:
    """Step -> its options, as far as its folder tells them."""
    converted = {name: run.manifest[name] for name in CONVERSION_FIELDS if name in run.manifest}
    tuned = {name: run.point[name] for name in ("objective", "chosen_on") if name in run.point}
    return {
        "convert": converted or None,
        "train": _training(run),
        "export": dict(run.export.get("onnx", {})) or None,
        "evaluate": {"split": run.record.split, "nms": run.record.nms, "matching": run.record.matching,
                     **{name: run.record.protocol[name] for name in ("runtime", "precision", "confidence_floor")}},
        "tune": tuned or None,
        "validate": {"split": run.parity.get("split"), "limits": run.parity.get("limits")},
    }  # fmt: skip


def _training(run: RunFiles) -> Mapping[str, Any] | None:
    return run.record.training or run.export.get("training")


def _limits(run: RunFiles, at_point: Mapping[str, Any]) -> list[str]:
    """What the numbers of this model do not say, read off its own records: a sentence each."""
    record, found = run.record, run.record.provenance
    limits = [
        f"Numbers are those of split {record.split} of data {record.data['fingerprint'][:12]}: "
        f"{record.data['pictures']} pictures, {record.data['truths']} true boxes. "
        "Other sites, cameras or weather may differ."
    ]
    if found["verdict"] != "not seen":
        what = {"seen": "have seen", "may have seen": "may have seen"}.get(found["verdict"], "may or may not have seen")
        limits.append(f"The weights {what} the pictures that they were measured on: numbers may be too good.")
    if note := (at_point.get("interval_groups") or {}).get("note"):
        limits.append(f"Intervals: {note}")
    few = [str(row["class_name"]) for row in record.per_class if row.get("num_truths", 0) < LEAST_TRUTHS]
    if few:
        limits.append(
            f"Fewer than {LEAST_TRUTHS} true boxes were measured of {', '.join(few)}: its numbers say little."
        )
    if not run.parity.get("passed"):
        limits.append("Validation found that the deployed model does not agree with the evaluated one.")
    right = run.parity.get("right")
    if isinstance(right, str):
        limits.append(f"The deployed model was checked with {right}.")
    limits.append("It detects objects of the classes above alone, and no other kind, however it looks.")
    return limits
