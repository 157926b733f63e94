"""`traffic-yolo fetch`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of, values_of
from traffic_yolo.commands.json_result import json_option, print_json, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.errors import OptionsError
from traffic_yolo.pretrained.fetch_options import FetchOptions


@click.command()
@click.argument("name", required=False, default="")
@click.option("--out", type=WRITE, help="Folder for NAME.cfg, NAME.weights and NAME.names.")
@options_of(FetchOptions)
@json_option
def command(name: str, out: Path | None, as_json: bool, **flags: Any) -> None:
    """Bring a published Darknet model here, held to its checksum; without NAME, list them."""
    if not name:
        from traffic_yolo.published_weights import published_models

        models = published_models().values()
        if as_json:
            print_json({"models": [_listed(each) for each in models]})
            return
        for each in models:
            checked = "" if each.weights.sha256 or each.weights.sha1 else "  no checksum known: cannot be verified"
            click.echo(f"{each.name:<28} {each.weights.size / 1e6:6.1f} MB  {each.source}{checked}")
        return
    if out is None:
        raise OptionsError("--out: expected a folder for the files, found nothing")
    from traffic_yolo.published_weights import published_model

    published_model(name)  # a typo is told before PyTorch is loaded
    from traffic_yolo.pretrained.fetch import fetch_model

    fetched = fetch_model(name, out, values_of(FetchOptions, flags))
    files = [
        {
            "path": each.path,
            "bytes": each.size,
            "sha256": each.sha256,
            "how": each.how,
            "verified": each.is_verified,
            "checked": each.checked,
        }
        for each in fetched.files
    ]
    text = f"{fetched.text}\nsee it at work: traffic-yolo predict {fetched.weights_path} PICTURES --out seen"
    print_result(text, {"model": _listed(fetched.model), "files": files}, as_json=as_json)


def _listed(model: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(model)
