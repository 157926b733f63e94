"""A model bundle: everything that a fleet needs of one model, with a card and checksums; made and verified here.

Its bytes follow from its inputs alone (no time, no host), so the same model gives the same bundle.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.records import ALL, SPLITS
from traffic_yolo.errors import ModelError, NotFoundError
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
from traffic_yolo.model_folder import (
    CFG_NAME,
    CLASSES_NAME,
    EXPORT_NAME,
    LABELS_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    ModelFolder,
    labels_text,
)
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom
from traffic_yolo.registry.card import CARD_NAME, CARD_TEXT_NAME, SCHEMA_VERSION, SCHEMA_VERSIONS, RunFiles, card_of
from traffic_yolo.registry.card_text import card_markdown
from traffic_yolo.storage import (
    AnyPath,
    input_path,
    is_s3,
    join,
    json_value,
    list_files,
    local_path,
    output_path,
    parse_json,
    read,
    read_json,
    sha256_of_file,
    shown,
    verify,
)
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn
from traffic_yolo.typed_values import why_other
from traffic_yolo.verdict_file import VERDICT_NAME

SUMS_NAME = "SHA256SUMS"
# Written by the steps tune and validate; a test compares the names.
POINT_NAME = "operating_point.json"
PARITY_NAME = "parity.json"
CONFIG_NAMES = ("config_infer_primary.txt", "config_infer_primary_darknet.txt")

# Of what a step left, the values that are looked at here and in the card; those of `float | None` may be unknown
STATED: dict[str, dict[str, Any]] = {
    EXPORT_NAME: {"onnx": dict[str, Any], "versions": dict[str, Any], "training": dict[str, Any] | None},
    POINT_NAME: {
        "model": dict[str, Any],
        "confidence_threshold": float,
        "iou_threshold": float,
        **dict.fromkeys((*SPLITS, ALL), dict[str, Any] | None),
    },
    PARITY_NAME: {
        "nms": dict[str, Any],
        "protocol": dict[str, Any],
        "passed": bool,
        "problems": list[str],
        "agreement": float | None,
        "explained_agreement": float | None,
    },
}

MODEL_FILES = (CFG_NAME, WEIGHTS_NAME, CLASSES_NAME, LABELS_NAME, ONNX_NAME, EXPORT_NAME)
BUNDLE_FILES = (*MODEL_FILES, *CONFIG_NAMES, CARD_NAME, CARD_TEXT_NAME)
# What the weights have seen, whether they gained, what they were pruned from: only steps of ours say it, published
# weights come without.
OPTIONAL_FILES = (TRAINED_ON_NAME, VERDICT_NAME, PRUNED_NAME)
# nvinfer writes beside the ONNX file what it builds of it (model.onnx_b1_gpu0_fp16.engine): one machine's own, no part
# of the model, so never copied and never in SHA256SUMS
GENERATED_SUFFIX = ".engine"


@dataclass(frozen=True)
class Bundle:
    """A bundle before it is written: `files` name -> where it lies now, `card`, and the text of SHA256SUMS.

    `version_hash`: 12 hexadecimal digits of the hash of SHA256SUMS; equal bundles have equal ones.
    """

    files: dict[str, Path]
    card: dict[str, Any]
    record: EvaluationRecord
    sums: str

    @property
    def version_hash(self) -> str:
        """What the version's name ends with."""
        return hashlib.sha256(self.sums.encode()).hexdigest()[:12]

    def write(self, folder: AnyPath) -> None:
        """Copies everything into an existing empty folder and reads it back; `ModelError` where it does not verify."""
        folder = output_path(folder)
        for name, content in self.contents():
            if isinstance(content, Path):
                shutil.copyfile(content, folder / name)
            else:
                (folder / name).write_bytes(content)
        verify_bundle(folder)

    def contents(self) -> Iterator[tuple[str, Path | bytes]]:
        """Name and content of each file; the checksums come last, so what has them is whole."""
        yield from self.files.items()
        yield CARD_NAME, _json_bytes(self.card)
        yield CARD_TEXT_NAME, _text_bytes(self.card)
        yield SUMS_NAME, self.sums.encode()


def gather_bundle(
    model: AnyPath,
    evaluation: AnyPath,
    tuning: AnyPath,
    validation: AnyPath,
    *,
    manifest: Mapping[str, Any] | None = None,
) -> Bundle:
    """Reads the four folders of one run, checks that they belong together, and describes the bundle.

    `manifest`: of the data set that the evaluation is of, for the card. Writes nothing. Raises
    `ModelError` for a missing file or folders of different models, `StorageError` or `EvaluationError` for files that
    cannot be read.
    """
    folder = ModelFolder.open(model)
    model, evaluation = folder.path, input_path(evaluation, what="evaluation")
    tuning, validation = input_path(tuning, what="tuning folder"), input_path(validation, what="validation folder")
    record = EvaluationRecord.read(evaluation / RECORD_NAME)
    export, point, parity = (
        _record(folder_ / name, what=what)
        for folder_, name, what in (
            (model, EXPORT_NAME, "export record"),
            (tuning, POINT_NAME, "operating point"),
            (validation, PARITY_NAME, "parity record"),
        )
    )
    files = {name: model / name for name in MODEL_FILES} | {name: validation / name for name in CONFIG_NAMES}
    missing = next((path for path in files.values() if not path.is_file()), None)
    if missing is not None:
        raise ModelError(f"{missing} is missing; a bundle needs {', '.join(files)}")
    files |= {name: model / name for name in OPTIONAL_FILES if (model / name).is_file()}
    hashes = {name: sha256_of_file(path) for name, path in files.items()}
    _check_export(model / EXPORT_NAME, export, hashes)
    _check_same_model(folder, hashes, {evaluation: record.protocol, tuning: point.get("model", {}), validation: parity})
    _check_same_point(point, parity, tuning, validation)
    if (model / LABELS_NAME).read_text(encoding="utf-8") != labels_text(folder.classes):
        raise ModelError(f"{model / LABELS_NAME} does not fit {CLASSES_NAME}; export again")
    trained_on = TrainedOn.read(files[TRAINED_ON_NAME]) if TRAINED_ON_NAME in files else None
    pruned = PrunedFrom.read(files[PRUNED_NAME]) if PRUNED_NAME in files else None
    card = card_of(RunFiles(folder, hashes, record, export, point, parity, trained_on, manifest or {}, pruned))
    hashes[CARD_NAME] = hashlib.sha256(_json_bytes(card)).hexdigest()
    hashes[CARD_TEXT_NAME] = hashlib.sha256(_text_bytes(card)).hexdigest()
    sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return Bundle(files, card, record, sums)


def verify_bundle(folder: AnyPath) -> dict[str, Any]:
    """The card of a bundle in which every file has its checksum, none is missing and none is surplus.

    Engines that TensorRT built there are no part of it and may lie beside it. Raises `ModelError` naming the file
    otherwise.
    """
    where, present = shown(str(folder)), _names_in(folder)
    if not present:
        raise ModelError(f"bundle not found: {where}")
    expected = checksums_of(folder)
    present.discard(SUMS_NAME)
    needed = set(BUNDLE_FILES) - {CARD_TEXT_NAME}  # which bundles of an older program come without
    if missing := sorted(needed - set(expected)) or sorted(set(expected) - present):
        raise ModelError(f"{where}: {missing[0]} is missing; the bundle is incomplete, publish it again")
    if surplus := sorted(present - set(expected)) or sorted(set(expected) - set(BUNDLE_FILES) - set(OPTIONAL_FILES)):
        raise ModelError(f"{where}: {surplus[0]} does not belong there; remove it, or publish again")
    for name, digest in expected.items():
        try:
            found = verify(join(folder, name)).sha256 if is_s3(folder) else sha256_of_file(join(folder, name))
        except NotFoundError as error:  # it went since it was listed
            raise ModelError(f"{where}: {name} is missing; the bundle is incomplete, publish it again") from error
        if found != digest:
            raise ModelError(
                f"{where}: {name} was changed after publishing (SHA-256 {found[:12]}…, expected {digest[:12]}…)"
            )
    card = parse_json(read(join(folder, CARD_NAME)), where=f"model card {where}/{CARD_NAME}")
    if not isinstance(card, dict) or card.get("schema_version") not in SCHEMA_VERSIONS:
        raise ModelError(f"{where}/{CARD_NAME}: not a model card of schema version {SCHEMA_VERSION} or older")
    if card["schema_version"] == SCHEMA_VERSION and CARD_TEXT_NAME not in expected:
        raise ModelError(f"{where}: {CARD_TEXT_NAME} is missing; the bundle is incomplete, publish it again")
    return card


def checksums_of(folder: AnyPath) -> dict[str, str]:
    """File name -> SHA-256 of what a bundle states that it holds; `ModelError` where that cannot be read."""
    try:
        text = read(join(folder, SUMS_NAME)).decode(errors="replace")
    except NotFoundError as error:
        raise ModelError(f"{shown(str(folder))}: {SUMS_NAME} is missing; this is no bundle") from error
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or "/" in name or name in sums:
            where = f"{shown(str(folder))}/{SUMS_NAME} line {number}"
            raise ModelError(f"{where}: expected a SHA-256, two blanks and a file name, found {line!r}")
        sums[name] = digest
    return sums


def _names_in(folder: AnyPath) -> set[str]:
    """What lies in a bundle, engines that were built there left out; empty where nothing is."""
    if is_s3(folder):
        return {file.name for file in list_files(folder).files if not file.name.endswith(GENERATED_SUFFIX)}
    path = local_path(folder)
    return {each.name for each in path.iterdir() if not _is_generated(each)} if path.is_dir() else set()


def _is_generated(path: Path) -> bool:
    return path.name.endswith(GENERATED_SUFFIX) and path.is_file() and not path.is_symlink()


def _check_export(path: Path, export: Any, hashes: dict[str, str]) -> None:
    """Raises `ModelError` when a file of the model folder is not the one that export wrote or carried along."""
    stated = export.get("sha256", {}) if isinstance(export, dict) else None
    if not isinstance(stated, dict):
        raise ModelError(f"{path}: not an export record; export again")
    for name, digest in stated.items():
        if hashes.get(name) != digest:
            found = f"{hashes[name][:12]}…" if name in hashes else "none"
            raise ModelError(
                f"{path.parent / name} is not what {EXPORT_NAME} beside it states (SHA-256 {found}, expected "
                f"{str(digest)[:12]}…); export again"
            )


def _check_same_model(folder: ModelFolder, hashes: dict[str, str], sources: dict[Path, dict[str, Any]]) -> None:
    """Raises `ModelError` when a folder was made with another model; one that states no hash is believed."""
    names = {"cfg_sha256": CFG_NAME, "weights_sha256": WEIGHTS_NAME, "onnx_sha256": ONNX_NAME}
    expected = {key: hashes[name] for key, name in names.items()}
    for source, content in sources.items():
        stated = {**content.get("protocol", {}), **content}
        for key, digest in expected.items():
            if stated.get(key, digest) != digest:
                raise ModelError(
                    f"{source} belongs to another model than {folder.path} ({key} {str(stated[key])[:12]}…, expected "
                    f"{digest[:12]}…); run evaluate, tune and validate on this model"
                )


def _record(path: Path, *, what: str) -> dict[str, Any]:
    """A file that a step left; `ModelError` where a value that is used here is of another type than it wrote."""
    content: Any = read_json(path, what=what, error=ModelError)
    reason = why_other(content, dict[str, Any])
    if not reason:
        wrong = {name: why_other(content[name], hint) for name, hint in STATED[path.name].items() if name in content}
        reason = next((f"{name}{why}" for name, why in wrong.items() if why), "")
    if reason:
        raise ModelError(f"{path}: not the {what} of a step of ours: {reason}; run the step again")
    return dict(content)


def _check_same_point(point: dict[str, Any], parity: dict[str, Any], tuning: Path, validation: Path) -> None:
    for key in ("confidence_threshold", "iou_threshold"):
        if key not in point:
            raise ModelError(f"{tuning / POINT_NAME}: {key} is missing; run the tune step again")
        validated = parity.get("nms", {}).get(key)
        if validated != point[key]:
            raise ModelError(
                f"{validation} was validated at {key} {validated}, {tuning} chose {point[key]}; validate again"
            )


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _text_bytes(card: Mapping[str, Any]) -> bytes:
    """As a reader of the JSON file would write it, whose keys are sorted."""
    return card_markdown("Model card", json_value(_json_bytes(card))).encode()
