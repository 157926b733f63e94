"""One flag means one thing: over every command, a flag of one name takes the same kind of value."""

from collections import defaultdict

import click
from location_flags import EVERY, Flag

# Flags of one name whose values differ though their meaning is one, and why
SAME_ALL_THE_SAME = {
    "--iou-threshold": "darknet dump tries several",
    "--kind": "darknet dump tries several",
    "--layout": "atm inspect tries several",
    "--zoo": "storage gc spares the data of several",
    "--precision": "training knows float16 too",
    "--class-seeds": "darknet classes takes one at a time as well",
    "--class-thresholds": "predict takes several in one text",
    "--resize": "deepstream config takes the cfg's own by default",
    "--renames": "darknet classes takes one at a time as well",
    "--runtime": "of a training's validation, which may leave it to the default",
}


def kind_of(flag: Flag) -> tuple[object, ...]:
    parameter = flag.parameter
    assert isinstance(parameter, click.Option)
    if flag.use:
        taken: object = "location"
    elif isinstance(parameter.type, click.Choice):
        taken = tuple(parameter.type.choices)
    else:
        taken = parameter.type.name
    return (taken, parameter.is_flag, parameter.multiple)


def test_a_flag_takes_one_kind_of_value_in_every_command() -> None:
    kinds: dict[str, dict[tuple[object, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for flag in EVERY:
        if isinstance(flag.parameter, click.Option):
            for name in flag.parameter.opts:
                kinds[name][kind_of(flag)].append(" ".join(flag.command))
    clashes = {name: dict(found) for name, found in kinds.items() if len(found) > 1}
    assert set(clashes) - set(SAME_ALL_THE_SAME) == set(), clashes
    assert set(SAME_ALL_THE_SAME) - set(clashes) == set()


def test_json_prints_the_result_and_json_file_keeps_it() -> None:
    for flag in EVERY:
        if flag.name == "--json":
            assert flag.parameter.is_flag, flag  # type: ignore[attr-defined]
        if flag.name == "--json-file":
            assert flag.use == "write", flag
