"""A data set by reference: a small folder that says where the data set lies, and which content it must have.

Steps of a pipeline hand on such a folder where the data set lies on the share already: a terabyte of pictures is then
read where it is, and not copied through object storage for every task. `DataSet.open` follows it, by `store.opening`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.store.recipe import Recipe
from traffic_yolo.errors import DatasetError
from traffic_yolo.messages import shown
from traffic_yolo.storage import (
    AnyPath,
    existing_path,
    input_path,
    is_s3,
    output_path,
    read_json,
    sha256_of_file,
    write_json,
)
from traffic_yolo.storage import shown as shown_location

REFERENCE_NAME = "reference.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StoredContent:
    """What a reference into a store says besides: which manifest lies beside it, and how the data set is made again.

    The store is `recipe.options.data_store`. Data sets of one content are one folder there, whatever they were made of;
    the manifest beside the reference is this conversion's own, and what readers go by.
    """

    manifest_sha256: str
    recipe: Recipe

    def check_manifest(self, path: Path) -> None:
        """Raises `DatasetError` unless a file is the manifest that was written with the reference."""
        if not path.is_file():
            raise DatasetError(f"{path} is missing; hand on the whole folder that convert wrote")
        if (found := sha256_of_file(path)) != self.manifest_sha256:
            raise DatasetError(
                f"{path} is not the manifest that convert wrote: {REFERENCE_NAME} states SHA-256 "
                f"{self.manifest_sha256:.12}…, found {found:.12}…; run convert anew"
            )


@dataclass(frozen=True)
class DatasetReference:
    """Where a data set lies (`location`: an absolute path, nas:// or s3://), and its `fingerprint`.

    `stored`: of one in a store.
    """

    location: str
    fingerprint: str
    stored: StoredContent | None = None

    @classmethod
    def to(cls, location: AnyPath, fingerprint: str) -> "DatasetReference":
        """The reference to a data set at a location of this machine, a relative path made absolute."""
        text = str(location)
        return cls(text if "://" in text else str(Path(text).resolve()), fingerprint)

    def write(self, folder: AnyPath) -> None:
        """Writes the reference into an existing folder, atomically."""
        content: dict[str, Any] = {"location": self.location, "fingerprint": self.fingerprint}
        if self.stored is not None:
            recipe = self.stored.recipe.as_dict()
            content["stored"] = {"manifest_sha256": self.stored.manifest_sha256, "recipe": recipe}
        write_json(output_path(folder) / REFERENCE_NAME, {"schema_version": SCHEMA_VERSION, **content})

    @classmethod
    def of(cls, folder: Path) -> "DatasetReference | None":
        """The reference in a folder; None where it holds none. Raises `DatasetError` for one that cannot be read."""
        path = folder / REFERENCE_NAME
        if not path.is_file():
            return None
        content = read_json(path, what="reference to a data set", error=DatasetError)
        keys = {"schema_version", "location", "fingerprint"}
        found = set(content) - {"stored"} if isinstance(content, dict) else set()
        if found != keys or content["schema_version"] != SCHEMA_VERSION:
            raise DatasetError(f"{path}: not a reference of schema version {SCHEMA_VERSION}; import the data set again")
        location, fingerprint = content["location"], content["fingerprint"]
        if not (isinstance(location, str) and location and isinstance(fingerprint, str) and fingerprint):
            raise DatasetError(f"{path}: expected a location and a fingerprint, found {shown(content)}")
        return cls(location, fingerprint, _stored(content["stored"], str(path)) if "stored" in content else None)

    def folder(self) -> Path:
        """The folder that is referred to; `DatasetError` where it is not there, or is a reference itself."""
        where = shown_location(self.location)
        # Of a prefix in object storage, its copy in the cache
        found = (input_path if is_s3(self.location) else existing_path)(self.location, what="data set")
        if (found / REFERENCE_NAME).is_file():
            raise DatasetError(f"{where}: a reference to a data set, where the data set itself was expected")
        return found

    def check(self, fingerprint: str) -> None:
        """Raises `DatasetError` unless what lies there now has the content that it had."""
        if fingerprint != self.fingerprint:
            raise DatasetError(
                f"{shown_location(self.location)}: holds another data set than when the run began (fingerprint "
                f"{fingerprint:.12}…, expected {self.fingerprint:.12}…); start the run again"
            )


def _stored(content: Any, where: str) -> StoredContent:
    is_one = isinstance(content, dict) and set(content) == {"manifest_sha256", "recipe"}
    if not is_one or not isinstance(content["manifest_sha256"], str):
        raise DatasetError(f"{where}: stored: expected manifest_sha256 and recipe, found {shown(content)}")
    recipe = Recipe.of_dict(content["recipe"], where=f"{where}: recipe")
    if not recipe.options.data_store:
        raise DatasetError(f"{where}: recipe: expected a data_store, found none; run convert anew")
    return StoredContent(content["manifest_sha256"], recipe)
