"""Tables of numbers in a recording: the device's detections and the radar's tracks, by named columns."""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.hdf5_file import Hdf5DataSet, short
from traffic_yolo.atm.recording_limits import RecordingLimits
from traffic_yolo.errors import RecordingError


def read_table(
    data_set: Hdf5DataSet, columns: tuple[str, ...], limits: RecordingLimits
) -> dict[str, NDArray[np.float64]]:
    """Columns by name, each (N,) float64, of a plain table in this order of columns, or of records with these fields.

    Of records, other fields are not read. Raises `RecordingError` for columns that are missing or no numbers, and for
    more rows than the limits allow.
    """
    names = data_set.dtype.names
    rows = data_set.shape[0] if data_set.shape and not names else data_set.size
    if rows > limits.table_rows:
        expected = f"expected {limits.table_rows} at most (limit recording_table_rows)"
        raise RecordingError(f"{data_set.where}: {rows} rows; {expected}")
    if names:
        _check_fields(data_set, columns)
        records = data_set.read(fields=columns)
        return {name: records[name].astype(np.float64).reshape(-1) for name in columns}
    if data_set.size == 0:
        return {name: np.zeros(0) for name in columns}
    if len(data_set.shape) != 2 or data_set.shape[1] != len(columns) or data_set.dtype.kind not in "iuf":
        raise RecordingError(
            f"{data_set.where}: expected a table of numbers with {len(columns)} columns, found {data_set.described}"
        )
    values = data_set.read()
    return {name: values[:, index].astype(np.float64) for index, name in enumerate(columns)}


def _check_fields(data_set: Hdf5DataSet, columns: tuple[str, ...]) -> None:
    dtype = data_set.dtype
    names = dtype.names or ()
    missing = [name for name in columns if name not in names]
    if missing:
        found = ", ".join(short(name) for name in names[:40])
        raise RecordingError(f"{data_set.where}: no column {', '.join(missing)}; found {found}")
    for name in columns:
        if dtype[name].kind not in "iufb":
            found = "text or records" if dtype[name].kind in "SVO" else str(dtype[name])
            raise RecordingError(f"{data_set.where}: expected numbers in column {name}, found {found}")
