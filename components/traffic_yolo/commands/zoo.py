"""`traffic-yolo zoo`: what a model zoo holds, which version is in use, and changes of that."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.json_result import json_option, print_json, print_result
from traffic_yolo.commands.location_types import KEEP, READ, WRITE
from traffic_yolo.errors import OptionsError

DAMAGED_EXIT_CODE = 1
KEEP_DAYS = 90
MOST_DAYS = 36_500


def zoo_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The flag that every command of the group has."""
    option = click.option("--zoo", required=True, type=KEEP, help="The model zoo: a path, file://, nas:// or s3://.")
    return option(function)


@click.group()
def command() -> None:
    """List, show, verify and fetch the versions of a model zoo, and choose which one is in use.

    VERSION is a version's name or its number; where it may be left out, the one in use is meant.
    """


@command.command("list")
@zoo_option
@click.argument("name", required=False, default="")
@json_option
def list_command(zoo: str, name: str, as_json: bool) -> None:
    """List the versions of all models, or of model NAME: what is in use, and what was in use before.

    Bare pairs of cfg and weights, which people keep by hand, stand below with the files that belong together.
    """
    from traffic_yolo.registry.bare_zoo import bare_pairs, pairs_text
    from traffic_yolo.registry.zoo_list import list_text, list_zoo

    pairs = [pair for pair in bare_pairs(zoo) if name in ("", pair.name)]
    found = [] if name and pairs else list_zoo(zoo, name)
    if as_json:
        print_json({"versions": [version.as_dict() for version in found], "pairs": [pair.as_dict() for pair in pairs]})
        return
    if found or not pairs:
        click.echo(list_text(found))
    if pairs:
        click.echo(pairs_text(pairs))


@command.command()
@zoo_option
@click.argument("name")
@click.argument("version", required=False, default="")
@click.option("--html", "html_path", type=WRITE, help="Also write the card as a page to this file.")
@json_option
def show(zoo: str, name: str, version: str, html_path: Path | None, as_json: bool) -> None:
    """Print the card of a version, after verifying its bundle, with what is stated and what was decided about it."""
    from traffic_yolo.registry.card_page import write_card
    from traffic_yolo.registry.card_view import card_view, view_markdown
    from traffic_yolo.registry.known_home import known_home
    from traffic_yolo.registry.model_home import chosen_version

    home = known_home(zoo, name)
    chosen = chosen_version(home, version)
    view = card_view(home, chosen)
    text = view_markdown(f"{name} {chosen}", view).rstrip("\n")
    print_result(text, view, as_json=as_json)
    if html_path is not None:
        write_card(html_path, zoo, name, chosen)
        click.echo(f"page {html_path}", err=as_json)


@command.command()
@zoo_option
@click.argument("name", required=False, default="")
@click.argument("version", required=False, default="")
@json_option
def verify(zoo: str, name: str, version: str, as_json: bool) -> None:
    """Hold one version, those of one model, or the whole zoo to their checksums: exit code 1 where one is damaged."""
    from traffic_yolo.registry.zoo_list import verify_version, verify_zoo

    findings = []
    for finding in [verify_version(zoo, name, version)] if version else verify_zoo(zoo, name):
        click.echo(finding.text, err=as_json)
        findings.append(finding)
    damaged = sum(bool(finding.problem) for finding in findings)
    if as_json:
        print_json({"damaged": damaged, "findings": [dataclasses.asdict(finding) for finding in findings]})
    if damaged:
        raise SystemExit(DAMAGED_EXIT_CODE)


@command.command()
@zoo_option
@click.argument("recording", type=READ)
@click.option("--all", "with_others", is_flag=True, help="List the versions too that saw nothing of it.")
@json_option
def saw(zoo: str, recording: str, with_others: bool, as_json: bool) -> None:
    """List the versions that have seen pictures of RECORDING, to answer a request for erasure (docs/privacy.md).

    RECORDING is an ATM recording, a picture, or a folder of these, such as images/<recording> of a data set where the
    recording itself is gone. Pictures are known by their content, so that it does not matter how they are called now.
    """
    from traffic_yolo.dataset.content_hashes import content_hashes
    from traffic_yolo.registry.seen import saw_text, who_saw

    pictures = content_hashes(recording)
    sights = who_saw(zoo, pictures)
    if as_json:
        shown = [each.as_dict() for each in sights if with_others or each.is_concerned]
        print_json({"recording": recording, "pictures": len(pictures), "versions": shown})
        return
    click.echo(saw_text(sights, len(pictures), recording, with_others=with_others))


@command.command("set-current")
@zoo_option
@click.argument("name")
@click.argument("version")
@json_option
def set_current_command(zoo: str, name: str, version: str, as_json: bool) -> None:
    """Make VERSION of model NAME the one in use, after verifying it."""
    from traffic_yolo.registry.zoo import set_current

    bundle = set_current(zoo, name, version)
    print_result(f"{name}: in use (current): {bundle}", {"model": name, "in_use": bundle}, as_json=as_json)


@command.command()
@zoo_option
@click.argument("name")
@json_option
def rollback(zoo: str, name: str, as_json: bool) -> None:
    """Make the version of model NAME current that was in use before; twice goes back two versions."""
    from traffic_yolo.registry.zoo import roll_back

    given_up, bundle = roll_back(zoo, name)
    values = {"model": name, "given_up": given_up, "in_use": bundle}
    print_result(f"{name}: rolled back from {given_up}; in use (current): {bundle}", values, as_json=as_json)


@command.command()
@zoo_option
@click.argument("name")
@click.argument("version", required=False, default="")
@click.option("--out", required=True, type=WRITE, help="Folder to make, which appears whole and verified.")
@json_option
def fetch(zoo: str, name: str, version: str, out: Path, as_json: bool) -> None:
    """Copy the bundle of a version to a folder, to deploy it from there."""
    from traffic_yolo.registry.zoo_fetch import fetch_version

    chosen, folder = fetch_version(zoo, name, version, out)
    values = {"model": name, "version": chosen, "out": folder}
    print_result(f"{name} {chosen}: {folder}", values, as_json=as_json)


@command.command()
@zoo_option
@click.argument("name", required=False, default="")
@click.option(
    "--keep-newest", "keep", default=1, show_default=True, help="How many of the newest versions of each model stay."
)
@click.option(
    "--keep-days",
    "--days",
    "keep_days",
    default=KEEP_DAYS,
    show_default=True,
    help="Days for which a record, a decision or a use keeps its version.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def gc(zoo: str, name: str, keep: int, keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Take away old versions that nothing needs, and say why each of the others stays (docs/zoo.md)."""
    if keep < 1:
        expected = "expected at least 1 version"
        raise OptionsError(f"--keep-newest: {expected}, found {keep}; take a model's folder away by hand")
    if not 0 <= keep_days <= MOST_DAYS:
        raise OptionsError(f"--keep-days: expected 0 to {MOST_DAYS} days, found {keep_days}")
    from datetime import UTC, datetime

    from traffic_yolo.registry.zoo_collection import collect, fates

    step = fates if dry_run else collect
    gone = []
    for fate in step(zoo, name, keep=keep, keep_days=keep_days, now=datetime.now(UTC)):
        click.echo(fate.text, err=as_json)
        gone += [] if fate.stays else [fate.size]
    verb = "would go" if dry_run else "went"
    values = {"gone": len(gone), "bytes": sum(gone), "dry_run": dry_run}
    print_result(f"{len(gone)} versions, {sum(gone) / 1e6:.1f} MB {verb}", values, as_json=as_json)
