"""`traffic-yolo doctor`."""

import click

from traffic_yolo.commands.json_result import json_option, print_result


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Say what is installed and what this machine has, in one page to paste into a bug report.

    Values of secrets are never shown. The exit code is 0, also where something is missing: `!` marks it.
    """
    from traffic_yolo.doctor.examination import examine, page, probes

    results = examine(probes())
    print_result(page(results), {"findings": [each.as_dict() for each in results]}, as_json=as_json)
