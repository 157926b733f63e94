"""Brings a published model to this machine: cfg, weights and class names beside each other, held to what is known."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import layers_in, read_sections
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import ChecksumError, DarknetFormatError, OptionsError, StorageError
from traffic_yolo.model_folder import check_class_count, read_names
from traffic_yolo.pretrained.fetch_options import FetchOptions
from traffic_yolo.pretrained.pin import check_sha1, pinned_sha256, write_pin
from traffic_yolo.published_weights import PARTS, PublishedFile, PublishedModel, published_model
from traffic_yolo.storage import AnyPath, check_writable, fetch, join, output_path, sha256_of_file, shown, stat
from traffic_yolo.storage.download import download

CAME, WAS_THERE = "fetched", "already there"
PUBLISHED, GIVEN, PINNED = "SHA-256 as published", "SHA-256 as given", "SHA-256 as at the first fetch, NOT as published"
PUBLISHED_SHA1 = "SHA-1 as published"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchedFile:
    """One file. `how`: `CAME` or `WAS_THERE`; `checked`: which checksum it was held to, "" where none was known."""

    path: Path
    size: int
    sha256: str
    how: str
    checked: str

    @property
    def is_verified(self) -> bool:
        """Whether a checksum of the published file was known, and is its own."""
        return self.checked not in ("", PINNED)

    @property
    def text(self) -> str:
        """One line."""
        if self.checked:
            return f"{self.path}: {self.how}, {self.size:,} bytes, {self.checked}"
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
    Weights of which no checksum is known are warned of and pinned: their SHA-256 goes into `name.weights.sha256`, and
    what comes later into this folder, or from it, is held to it.
    Raises `ModelError` for an unknown name, `StorageError` for a place that does not answer or a file that is there
    with another content, `ChecksumError` or `DarknetFormatError` for files that are not the published ones; no file
    stays that was refused.
    """
    options = options or FetchOptions()
    model, folder = published_model(name), output_path(out)
    check_writable(folder)
    targets = {part: folder / f"{model.name}.{part}" for part in PARTS}
    wanted = {part: getattr(model, part) for part in PARTS}
    checked = dict.fromkeys(PARTS, PUBLISHED)
    wanted["weights"], checked["weights"] = _held(wanted["weights"], targets["weights"], options)
    # A refusal comes before anything slow
    there = {part: _there(targets[part], wanted[part], checked[part]) for part in PARTS}
    found = {}
    for part in ("cfg", "names", "weights"):
        found[part] = there[part] or _brought(wanted[part], targets[part], options, checked[part])
        if part == "names":
            check_class_count(Cfg.read(targets["cfg"]), read_names(targets["names"]), names_file=targets["names"])
    _check_fits(found["weights"], targets["cfg"])
    if not found["weights"].checked:
        pin = write_pin(targets["weights"], found["weights"].sha256)
        logger.warning(
            "%s: NOT VERIFIED: no checksum of the published file is known, so nobody can say that this is it; later "
            "fetches are held to its SHA-256 by %s. Where you have the checksum from elsewhere: --sha256",
            targets["weights"], pin,
        )  # fmt: skip
    return FetchedModel(model, tuple(found[part] for part in PARTS))


def _held(wanted: PublishedFile, target: Path, options: FetchOptions) -> tuple[PublishedFile, str]:
    """The weights with the checksum that they are held to, and how that is known."""
    if wanted.sha256:
        if options.sha256 not in ("", wanted.sha256):
            raise OptionsError(f"sha256: the published file has {wanted.sha256}, found {options.sha256}; leave it out")
        return wanted, PUBLISHED
    if options.sha256:
        return dataclasses.replace(wanted, sha256=options.sha256), GIVEN
    if wanted.sha1:
        return wanted, PUBLISHED_SHA1
    places: list[AnyPath] = [target, *([join(options.from_folder, target.name)] if options.from_folder else [])]
    pinned = next((sha256 for place in places if (sha256 := pinned_sha256(place))), "")
    return dataclasses.replace(wanted, sha256=pinned), PINNED if pinned else ""


def _there(target: Path, wanted: PublishedFile, checked: str) -> FetchedFile | None:
    """What lies at the target, where it is what is wanted; None where nothing is."""
    if not target.exists():
        return None
    size, sha256 = target.stat().st_size, sha256_of_file(target)
    if size != wanted.size or (wanted.sha256 and sha256 != wanted.sha256):
        raise StorageError(
            f"{target}: is there with another content ({size:,} bytes, SHA-256 {sha256}); expected "
            f"{wanted.size:,} bytes{f' ({checked})' if wanted.sha256 else ''}; move it away, or give another folder"
        )
    check_sha1(target, wanted.sha1 if checked == PUBLISHED_SHA1 else "")
    return FetchedFile(target, size, sha256, WAS_THERE, checked)


def _brought(wanted: PublishedFile, target: Path, options: FetchOptions, checked: str) -> FetchedFile:
    """The file, new at the target; nothing stays of one that is refused."""
    try:
        came = _came(wanted, target, options, checked)
    except ChecksumError as error:
        if checked != PINNED:
            raise
        why = (
            "that is what came at first, by the .sha256 file beside it; where the published file has changed, remove it"
        )
        raise ChecksumError(f"{error}; {why}") from error
    try:
        check_sha1(target, wanted.sha1 if checked == PUBLISHED_SHA1 else "")
    except ChecksumError:
        target.unlink()
        raise
    return came


def _came(wanted: PublishedFile, target: Path, options: FetchOptions, checked: str) -> FetchedFile:
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
        return FetchedFile(target, wanted.size, sha256_of_file(target), CAME, checked)
    address = f"{options.mirror.rstrip('/')}/{wanted.file_name}" if options.mirror else wanted.address
    try:
        came = download(address, target, size=wanted.size, sha256=wanted.sha256)
    except ChecksumError:
        raise
    except StorageError as error:
        if options.mirror:
            raise
        raise StorageError(f"{error} (--mirror ADDRESS, --from FOLDER)") from error
    return FetchedFile(target, came.size, came.sha256, CAME, checked)


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
