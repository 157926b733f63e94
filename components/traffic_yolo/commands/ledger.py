"""`traffic-yolo ledger`."""

from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_json, print_result
from traffic_yolo.commands.location_types import KEEP, READ, WRITE
from traffic_yolo.errors import OptionsError

WHERE = "A path, file://, nas:// or s3://bucket/prefix."
FORMATS = ["markdown", "html", "csv"]


@click.group()
def command() -> None:
    """Keep and compare evaluation records: append-only, on a share or in object storage."""


@command.command()
@click.option("--ledger", default="", type=KEEP, help=f"Where the ledger lies. {WHERE}")
@click.option("--zoo", default="", type=KEEP, help="Folder of a model zoo, whose ledger is meant.")
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--model-name", required=True, help="What the table calls the model.")
@click.option("--version", default="", help="What tells this version from others; the weights' hash by default.")
@json_option
def add(ledger: str, zoo: str, evaluation: str, model_name: str, version: str, as_json: bool) -> None:
    """Add the record of an evaluation. The same record is kept once."""
    from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
    from traffic_yolo.registry.ledger import LedgerEntry, add_entry
    from traffic_yolo.storage import is_s3, join, local_path

    record = EvaluationRecord.read(join(evaluation, RECORD_NAME))
    version = version or str(record.protocol["weights_sha256"])[:12]
    at_hand = evaluation if is_s3(evaluation) else str(local_path(evaluation).absolute())
    entry = LedgerEntry.of_record(model_name, version, record, evaluation=at_hand)
    name, is_new = add_entry(_location(ledger, zoo), entry)
    text = f"{name} {'added' if is_new else 'is there already'}"
    print_result(text, {"record": name, "is_new": is_new}, as_json=as_json)


@command.command()
@click.option("--ledger", default="", type=KEEP, help=f"Where the ledger lies. {WHERE}")
@click.option("--zoo", default="", type=KEEP, help="Folder of a model zoo, whose ledger is meant.")
@click.option("--as", "form", type=click.Choice(FORMATS), default="markdown", show_default=True)
@click.option("--sort", default="ap", show_default=True, help="Column that the rows of a group are sorted by.")
@click.option("--strict", is_flag=True, help="Fail where an object of the ledger is no record.")
@click.option("--compare", type=READ, help="Data set folder: paired differences of evaluations at hand.")
@click.option("--out", type=WRITE, help="File to write instead of printing.")
@json_option
def table(
    ledger: str, zoo: str, form: str, sort: str, strict: bool, compare: str | None, out: Path | None, as_json: bool
) -> None:
    """Print every record, grouped by what makes them comparable; with --zoo, also what is in use."""
    from traffic_yolo.registry.ledger_table import LedgerTable
    from traffic_yolo.storage import write_text

    location = _location(ledger, zoo)
    found = LedgerTable.read(zoo, strict=strict) if zoo else LedgerTable.of_ledger(location, strict=strict)
    found = found.sorted_by(sort)
    if compare is not None:
        found = found.compared(compare)
    text = {"markdown": found.markdown, "html": found.html, "csv": found.csv}[form]()
    if out is not None:
        write_text(out, text)
    if as_json:
        print_json({**found.values(), "out": out})
    elif out is None:
        click.echo(text)


@command.command()
@click.option("--ledger", default="", type=KEEP, help=f"Where the ledger lies. {WHERE}")
@click.option("--zoo", default="", type=KEEP, help="Folder of a model zoo, whose ledger is meant.")
@click.argument("name")
@json_option
def show(ledger: str, zoo: str, name: str, as_json: bool) -> None:
    """Print the record whose object name, version, or beginning of either is NAME, as JSON in any case."""
    import json

    from traffic_yolo.registry.ledger import read_ledger
    from traffic_yolo.storage import json_value

    entries, _ = read_ledger(_location(ledger, zoo))
    found = [e for e in entries if e.object_name.startswith(name) or e.digest.startswith(name) or e.version == name]
    if len(found) != 1:
        known = ", ".join(f"{entry.digest} ({entry.name} {entry.version})" for entry in found or entries)
        raise OptionsError(f"{name!r} names {len(found)} records, expected one; known: {known or 'none'}")
    record = json_value(found[0].to_bytes())
    print_result(json.dumps(record, indent=1, ensure_ascii=False), {"record": record}, as_json=as_json)


def _location(ledger: str, zoo: str) -> str:
    if bool(ledger) == bool(zoo):
        raise OptionsError("give either --ledger or --zoo")
    if ledger:
        return ledger
    from traffic_yolo.registry.ledger import ledger_of_zoo

    return ledger_of_zoo(zoo)
