"""Brings a published model to this machine: cfg, weights and class names beside each other, held to what is known."""

from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import layers_in, read_sections
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import ChecksumError, DarknetFormatError, StorageError
from traffic_yolo.model_folder import check_class_count, read_names
from traffic_yolo.pretrained.fetch_options import FetchOptions
from traffic_yolo.published_weights import PARTS, PublishedFile, PublishedModel, published_model
from traffic_yolo.storage import AnyPath, check_writable, fetch, join, output_path, sha256_of_file, shown, stat
from traffic_yolo.storage.download import download

CAME, WAS_THERE = "fetched", "already there"


@dataclass(frozen=True)
class FetchedFile:
    """One file. `how`: `CAME` or `WAS_THERE`; `is_verified`: whether a checksum of it was known, and is its own."""

    path: Path
    size: int
    sha256: str
    how: str
    is_verified: bool

    @property
    def text(self) -> str:
        """One line."""
        if self.is_verified:
            return f"{self.path}: {self.how}, {self.size:,} bytes, SHA-256 as published"
        return (
            f"{self.path}: {self.how}, {self.size:,} bytes, NOT VERIFIED: no checksum of it is known; its size and its "
            f"layers fit the cfg; SHA-256 {self.sha256}"
        )


@dataclass(frozen=True)
class FetchedModel:
    """The files by `PARTS`; `predict`, `import-model` and `train` take them where they lie."""

    model: PublishedModel
    files: tuple[FetchedFile, ...]

    @property
    def weights_path(self) -> Path:
        """The weights, beside which the cfg and the names have the same name."""
        return self.files[PARTS.index("weights")].path

    @property
    def text(self) -> str:
        """A line for each file, then licence and source."""
        model = self.model
        seen = f", trained on {model.trained_on}" if model.trained_on else ""
        about = f"{model.name}{seen}: {model.licence}, from {model.source}"
        return "\n".join([*(each.text for each in self.files), about])


def fetch_model(name: str, out: AnyPath, options: FetchOptions | None = None) -> FetchedModel:
    """Writes `name.cfg`, `name.names` and, last, `name.weights` to the folder `out`.

    A file that is there already with the content that is wanted stays; what an earlier attempt left is continued.
    Raises `ModelError` for an unknown name, `StorageError` for a place that does not answer or a file that is there
    with another content, `ChecksumError` or `DarknetFormatError` for files that are not the published ones; no file
    stays that was refused.
    """
    options = options or FetchOptions()
    model, folder = published_model(name), output_path(out)
    check_writable(folder)
    targets = {part: folder / f"{model.name}.{part}" for part in PARTS}
    wanted = {part: getattr(model, part) for part in PARTS}
    there = {part: _there(targets[part], wanted[part]) for part in PARTS}  # a refusal comes before anything slow
    found = {}
    for part in ("cfg", "names", "weights"):
        found[part] = there[part] or _brought(wanted[part], targets[part], options)
        if part == "names":
            check_class_count(Cfg.read(targets["cfg"]), read_names(targets["names"]), names_file=targets["names"])
    _check_fits(found["weights"], targets["cfg"])
    return FetchedModel(model, tuple(found[part] for part in PARTS))


def _there(target: Path, wanted: PublishedFile) -> FetchedFile | None:
    """What lies at the target, where it is what is wanted; None where nothing is."""
    if not target.exists():
        return None
    size, sha256 = target.stat().st_size, sha256_of_file(target)
    if size != wanted.size or (wanted.sha256 and sha256 != wanted.sha256):
        raise StorageError(
            f"{target}: is there with another content ({size:,} bytes, SHA-256 {sha256}); the published file has "
            f"{wanted.size:,} bytes; move it away, or give another folder"
        )
    return FetchedFile(target, size, sha256, WAS_THERE, bool(wanted.sha256))


def _brought(wanted: PublishedFile, target: Path, options: FetchOptions) -> FetchedFile:
    if options.from_folder:
        names = dict.fromkeys((wanted.file_name, target.name))  # as published, and as `fetch` writes it
        found = {join(options.from_folder, name): stat(join(options.from_folder, name)) for name in names}
        source, known = next(((place, file) for place, file in found.items() if file is not None), ("", None))
        if known is None:
            raise StorageError(f"{' and '.join(map(shown, found))}: not found; it is published at {wanted.address}")
        if known.size != wanted.size:
            raise ChecksumError(
                f"{shown(source)}: expected {wanted.size:,} bytes, found {known.size:,}; it is not the published file"
            )
        fetch(source, to=target, sha256=wanted.sha256)
        return FetchedFile(target, wanted.size, sha256_of_file(target), CAME, bool(wanted.sha256))
    address = f"{options.mirror.rstrip('/')}/{wanted.file_name}" if options.mirror else wanted.address
    try:
        came = download(address, target, size=wanted.size, sha256=wanted.sha256)
    except ChecksumError:
        raise
    except StorageError as error:
        if options.mirror:
            raise
        raise StorageError(f"{error} (--mirror ADDRESS, --from FOLDER)") from error
    return FetchedFile(target, came.size, came.sha256, CAME, bool(wanted.sha256))


def _check_fits(weights: FetchedFile, cfg_path: Path) -> None:
    """Raises `DarknetFormatError` for weights that are none of the cfg's, and removes them where they just came."""
    cfg = Cfg.read(cfg_path)
    try:
        file = read_weights(weights.path)
        layers_in(file, cfg, read_sections(cfg), partial=False)
        if (wrong := file.first_not_finite(len(file.values))) is not None:
            raise DarknetFormatError(f"{weights.path}: value {wrong:,} is no number (NaN or infinity)")
    except DarknetFormatError:
        if weights.how == CAME:
            weights.path.unlink()
        raise
