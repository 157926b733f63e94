"""Where files come from and how they are written: locations of every scheme, checksums, writes that leave no half file.

Knows no format. docs/storage.md says what is guaranteed, and which environment variables there are.
"""

from traffic_yolo.storage.atomic import (
    CHUNK_BYTES,
    atomic_file,
    sha256_of_file,
    write_bytes,
    write_json,
    write_text,
)
from traffic_yolo.storage.documents import json_value, parse_json, parse_yaml, read_json, read_yaml
from traffic_yolo.storage.folder_sync import SyncReport, known_checksums, sync
from traffic_yolo.storage.inputs import existing_folder, existing_path, input_path
from traffic_yolo.storage.locations import (
    NAS_ROOT_VARIABLE,
    AnyPath,
    check_location,
    check_scheme,
    is_s3,
    join,
    lies_below,
    local_path,
    output_path,
    shown,
)
from traffic_yolo.storage.operations import (
    check_writable,
    exists,
    fetch,
    list_files,
    put,
    put_if_unchanged,
    put_new,
    read,
    remove,
    stat,
    stream,
)
from traffic_yolo.storage.places import Listing, Skipped, StoredFile
from traffic_yolo.storage.verify import verify
from traffic_yolo.storage.whole_folder import atomic_folder, check_new_folder, private_folder, remove_abandoned

__all__ = [
    "CHUNK_BYTES",
    "NAS_ROOT_VARIABLE",
    "AnyPath",
    "Listing",
    "Skipped",
    "StoredFile",
    "SyncReport",
    "atomic_file",
    "atomic_folder",
    "check_location",
    "check_new_folder",
    "check_scheme",
    "check_writable",
    "existing_folder",
    "existing_path",
    "exists",
    "fetch",
    "input_path",
    "is_s3",
    "join",
    "json_value",
    "known_checksums",
    "lies_below",
    "list_files",
    "local_path",
    "output_path",
    "parse_json",
    "parse_yaml",
    "private_folder",
    "put",
    "put_if_unchanged",
    "put_new",
    "read",
    "read_json",
    "read_yaml",
    "remove",
    "remove_abandoned",
    "sha256_of_file",
    "shown",
    "stat",
    "stream",
    "sync",
    "verify",
    "write_bytes",
    "write_json",
    "write_text",
]
