"""A data set by reference: a small folder that says where the data set lies, and which content it must have.

Steps of a pipeline hand on such a folder where the data set lies on the share already: a terabyte of pictures is then
read where it is, and not copied through object storage for every task. `DataSet.open` follows it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from traffic_yolo.errors import DatasetError
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath, existing_path, input_path, is_s3, output_path, read_json, write_json
from traffic_yolo.storage import shown as shown_location

REFERENCE_NAME = "reference.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DatasetReference:
    """Where a data set lies (`location`: an absolute path, nas:// or s3://), and its `fingerprint`."""

    location: str
    fingerprint: str

    @classmethod
    def to(cls, location: AnyPath, fingerprint: str) -> "DatasetReference":
        """The reference to a data set at a location of this machine, a relative path made absolute."""
        text = str(location)
        return cls(text if "://" in text else str(Path(text).resolve()), fingerprint)

    def write(self, folder: AnyPath) -> None:
        """Writes the reference into an existing folder, atomically."""
        write_json(output_path(folder) / REFERENCE_NAME, {"schema_version": SCHEMA_VERSION, **asdict(self)})

    @classmethod
    def of(cls, folder: Path) -> "DatasetReference | None":
        """The reference in a folder; None where it holds none. Raises `DatasetError` for one that cannot be read."""
        path = folder / REFERENCE_NAME
        if not path.is_file():
            return None
        content = read_json(path, what="reference to a data set", error=DatasetError)
        keys = {"schema_version", "location", "fingerprint"}
        if not isinstance(content, dict) or set(content) != keys or content["schema_version"] != SCHEMA_VERSION:
            raise DatasetError(f"{path}: not a reference of schema version {SCHEMA_VERSION}; import the data set again")
        location, fingerprint = content["location"], content["fingerprint"]
        if not (isinstance(location, str) and location and isinstance(fingerprint, str) and fingerprint):
            raise DatasetError(f"{path}: expected a location and a fingerprint, found {shown(content)}")
        return cls(location, fingerprint)

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


def data_set_folder(location: AnyPath) -> Path:
    """The folder of the data set at a location: that itself, or the one that it refers to; none need be there."""
    folder = input_path(location, what="data set")
    reference = DatasetReference.of(folder)
    return folder if reference is None else reference.folder()
