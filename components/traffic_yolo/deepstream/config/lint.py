"""The lint of any configuration that nvinfer or deepstream-app reads: what each would do with it, in one report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.deepstream.config.app_keys import APP_MARKS
from traffic_yolo.deepstream.config.findings import ConfigFinding, ConfigSubject, FileKind, KnownModel
from traffic_yolo.deepstream.config.key_file import YAML_SUFFIXES, KeyFile, parse_key_file, parse_yaml_file
from traffic_yolo.deepstream.config.lint_app import APP_RULES, network_files
from traffic_yolo.deepstream.config.lint_keys import KEY_RULES
from traffic_yolo.deepstream.config.lint_nvinfer import NVINFER_RULES
from traffic_yolo.deepstream.config.nvinfer_keys import CLASS_ATTRIBUTES, PROPERTY, PROPERTY_KEYS
from traffic_yolo.errors import DarknetFormatError, ModelError
from traffic_yolo.finding import count_severities, counts_text, exit_code, worst_first
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder, is_letterbox, network_hw
from traffic_yolo.storage import AnyPath, input_path

MOST_BYTES = 1 << 20  # of a configuration
# Groups that say whose file it is: each of these elements has a [property] group of its own
OTHER_READERS = {
    "roi-filtering-stream-": "nvdsanalytics", "overcrowding-stream-": "nvdsanalytics",
    "line-crossing-stream-": "nvdsanalytics", "direction-detection-stream-": "nvdsanalytics",
    "group-": "nvdspreprocess", "user-configs": "nvdspreprocess", "surface": "nvdewarper",
    "infer_config": "nvinferserver", "BaseConfig": "nvtracker", "NvDCF": "nvtracker",
    "meta-mux": "the parallel inference application", "branch": "the parallel inference application",
    "receiver": "deepstream-nmos-app", "sender": "deepstream-nmos-app",
}  # fmt: skip


@dataclass(frozen=True)
class ConfigLint:
    """The findings of one file and of those that it names, errors first. `read`: the files, and whose each is."""

    findings: tuple[ConfigFinding, ...]
    read: tuple[tuple[str, FileKind], ...]
    model: str

    @property
    def exit_code(self) -> int:
        """0 without errors, 1 with some."""
        return exit_code(self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """Severity -> how many findings have it."""
        return count_severities(self.findings)

    def to_text(self) -> str:
        """Each finding and what to do, then how many of each kind, and what was read."""
        files = ", ".join(f"{name} ({kind})" for name, kind in self.read)
        total = f"{counts_text(self.counts)} in {files}"
        against = f"; model: {self.model}" if self.model else "; no model known: --model gives one"
        return "\n".join([*(finding.to_text() for finding in self.findings), f"{total}{against}"])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "files": [{"file": name, "kind": kind} for name, kind in self.read],
            "model": self.model or None,
            "counts": self.counts,
            "findings": [finding.to_json() for finding in self.findings],
        }


def lint(path: AnyPath, *, model: AnyPath | None = None) -> ConfigLint:
    """Looks at a configuration of nvinfer or deepstream-app, .txt or YAML, and at what nvinfer reads for the latter.

    `model`: the folder of the model that it shall run; without one, what the file itself names is looked at, where it
    is there. Raises `ModelError` for a file that is neither's or cannot be read at all, and for a model folder that
    is none. A file that only its parser cannot read is a finding.
    """
    known = None if model is None else _of_folder(ModelFolder.open(model))
    given = input_path(path, what="DeepStream configuration")
    findings, read, used = _lint_file(given, known)
    order = {name: place for place, (name, _) in enumerate(read)}
    ordered = worst_first(findings, then=lambda one: (order.get(one.file, 0), one.line, one.rule))
    return ConfigLint(tuple(ordered), tuple(read), used.source if used is not None else "")


def _lint_file(
    path: Path, known: KnownModel | None
) -> tuple[list[ConfigFinding], list[tuple[str, FileKind]], KnownModel | None]:
    text = _text_of(path)
    parse = parse_yaml_file if path.suffix in YAML_SUFFIXES else parse_key_file
    try:
        file = parse(text, source=str(path))
    except ModelError as error:
        kind = _guessed_kind(text, path)
        message = str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
        advice = f"{kind} does not start with this file"
        unread = ConfigFinding("syntax", "error", str(path), 0, message, advice, "", "")
        return [unread], [(str(path), kind)], known
    kind = kind_of(file)
    subject = ConfigSubject(file, kind, path.parent, known)
    if kind == "nvinfer" and known is None:
        known = _named_model(subject)
        subject = ConfigSubject(file, kind, path.parent, known)
    rules = (*KEY_RULES, *(NVINFER_RULES if kind == "nvinfer" else APP_RULES))
    findings = [finding for rule in rules for finding in rule(subject)]
    read: list[tuple[str, FileKind]] = [(str(path), kind)]
    if kind == "deepstream-app":
        for group, inner in network_files(subject):
            # The model is the first network's: a second one looks at what the first found
            try:
                below, names, used = _lint_file(inner, known if group == "primary-gie" else None)
            except ModelError as error:
                advice = "name nvinfer's file, or set plugin-type to what reads this one"
                text = f"[{group}] config-file: {error}"
                findings.append(subject.finding("no-config-file", "error", group, "config-file", text, advice))
                continue
            findings += below
            read += [name for name in names if name not in read]
            known = known if group != "primary-gie" else used
    return findings, read, known


def kind_of(file: KeyFile) -> FileKind:
    """Whose file it is; `ModelError` where it is neither nvinfer's nor deepstream-app's."""
    groups = file.groups
    nvinfers = _has_nvinfer_keys(file)
    for beginning, reader in OTHER_READERS.items():
        if not nvinfers and any(group.startswith(beginning) for group in groups):
            raise ModelError(
                f"{file.source}: this is a file of {reader}; expected one that nvinfer or deepstream-app reads"
            )
    if any(group in APP_MARKS or group.startswith(("source", "sink")) for group in groups):
        sources = groups.get("source", {})
        if file.is_yaml and "application" not in groups and "csv-file-path" not in sources:
            raise ModelError(
                f"{file.source}: neither an application: group nor source: with csv-file-path, so this is a file of "
                f"another application than deepstream-app; expected one that nvinfer or deepstream-app reads"
            )
        return "deepstream-app"
    if nvinfers or any(group.startswith(CLASS_ATTRIBUTES) for group in groups):
        return "nvinfer"
    found = ", ".join(f"[{group}]" for group in list(groups)[:5]) or "no group"
    raise ModelError(
        f"{file.source}: expected [property] with keys of nvinfer, or groups of deepstream-app ([source0], "
        f"[streammux], [primary-gie], …), found {found}"
    )


def _has_nvinfer_keys(file: KeyFile) -> bool:
    """Whether [property] is nvinfer's: other elements' have gpu-id and their own keys."""
    keys = file.groups.get(PROPERTY, {})
    known = [key for key in keys if key in PROPERTY_KEYS and key not in ("gpu-id", "gie-unique-id", "process-mode")]
    return len(known) * 2 >= len(keys) and bool(known)


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size} bytes; a configuration has at most {MOST_BYTES}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read as a configuration: {error}") from error


def _guessed_kind(text: str, path: Path) -> FileKind:
    """Whose file it probably is that its parser cannot read; `ModelError` where nothing in it says so."""
    marks = {"nvinfer": (PROPERTY, CLASS_ATTRIBUTES), "deepstream-app": APP_MARKS}
    for kind, names in marks.items():
        for name in names:
            if any(f"\n{mark}" in f"\n{text}" for mark in (f"[{name}", f"{name}:")):
                return kind  # type: ignore[return-value]
    raise ModelError(f"{path}: expected a file of nvinfer or deepstream-app, found none of their groups")


def _of_folder(model: ModelFolder) -> KnownModel:
    return KnownModel(str(model.path), model.classes, len(model.classes), model.network_hw, model.letterbox)


def _named_model(subject: ConfigSubject) -> KnownModel | None:
    """What the files beside the configuration say of its model: a bundle's, or the cfg that it names."""
    folder = subject.folder
    if all((folder / name).is_file() for name in (CFG_NAME, WEIGHTS_NAME, CLASSES_NAME)):
        return _of_folder(ModelFolder.open(folder))
    path = subject.path(PROPERTY, "custom-network-config")
    if path is None or not path.is_file():
        return None
    try:
        cfg = Cfg.read(path)
        heads = [section.get_int("classes", 20) for section in cfg.layers if section.name == "yolo"]
        return KnownModel(str(path), (), heads[-1] if heads else 0, network_hw(cfg), is_letterbox(cfg))
    except (DarknetFormatError, ModelError):
        return None  # `darknet lint` says what is wrong with a cfg
