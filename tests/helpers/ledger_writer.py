"""A process that writes into a ledger beside others; apart from the tests, whose imports it would pay for each time."""

from records import made_up_record

from traffic_yolo.registry.ledger import LedgerEntry, add_entry


def write_some(ledger: str, writer: int, count: int) -> None:
    """Adds `count` records, whose versions count from 0, under the writer's name."""
    for index in range(count):
        add_entry(ledger, LedgerEntry.of_record(f"writer {writer}", str(index), made_up_record()))
