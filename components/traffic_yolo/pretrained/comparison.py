"""An evaluation beside the records of a zoo's ledger that can be compared with it; nothing is written there."""

import dataclasses

from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
from traffic_yolo.registry.ledger import LedgerEntry
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.storage import AnyPath, input_path, shown

THIS_RUN = "this run"  # in the place of a version


def comparison_markdown(evaluation: AnyPath, zoo: AnyPath = "", *, name: str) -> str:
    """The row of an evaluation folder among the comparable ones of a zoo, best AP first; alone without a zoo.

    Raises `StorageError` for a zoo that is not there, and for a folder without a record.
    """
    record = EvaluationRecord.read(input_path(evaluation, what="evaluation") / RECORD_NAME)
    own = LedgerEntry.of_record(name, THIS_RUN, record)
    read = LedgerTable.read(zoo) if zoo else LedgerTable((), ())
    alike = [entry for entry in read.entries if entry.protocol_hash == own.protocol_hash]
    text = dataclasses.replace(read, entries=(own, *alike)).sorted_by(read.order).markdown()
    others = len(read.entries) - len(alike)
    if others:
        text += (
            f"\n{others} more of {shown(str(zoo))} were evaluated on other data or otherwise, and cannot be compared: "
            f"`traffic-yolo ledger table --zoo {shown(str(zoo))}` shows them.\n"
        )
    return text
