"""Every flag and argument of every command that says where something lies: read, written, or refused in one line."""

import itertools
import re
from pathlib import Path

import click
import pytest
from location_flags import EVERY, LOCATIONS, Flag

from traffic_yolo.cli import main
from traffic_yolo.storage import NAS_ROOT_VARIABLE

# Texts whose name or help speaks of places, and what they are instead
NO_LOCATION = {
    ("convert", "val_sites"): "sites of the data",
    ("convert", "test_sites"): "sites of the data",
    ("convert", "shard"): "K/N",
    **{
        (command, name): what
        for command in ("run", "retrain", "schedule create", "schedule emit-cronjob")
        for name, what in {
            "nas_claim": "the name of a claim",
            "s3_secret": "the name of a secret",
            "log_to": "words; the help names a variable that holds an address",
            "model_name": "a folder's name in the zoo, which publish checks",
        }.items()
    },
    **{
        (f"pipeline submit {name}", flag): what
        for name in ("compress", "convert", "evaluate", "finetune", "retrain", "shards", "trainjob", "tune")
        for flag, what in {"nas_claim": "the name of a claim", "s3_secret": "the name of a secret"}.items()
    },
    **{
        (f"pipeline submit {name}", "model_name"): "a folder's name in the zoo, which publish checks"
        for name in ("compress", "evaluate", "finetune", "retrain", "shards", "trainjob")
    },
    **{
        (f"pipeline submit {name}", "version"): "a version's name in the zoo, which its task checks"
        for name in ("compress", "evaluate")
    },
    ("compress run", "model_name"): "a folder's name in the zoo, which publish checks",
    ("compress run", "version"): "a version's name in the zoo, which its task checks",
    ("pipeline submit trainjob", "trainjob"): "a text, or a file's, that is read here where the file is",
    ("pipeline submit tune", "search_experiment"): "a text, or a file's, that is read here where the file is",
    ("train", "nas_claim"): "the name of a claim",
    ("train", "s3_secret"): "the name of a secret",
    ("fetch", "mirror"): "an address, which it checks",
    ("import-model", "model_name"): "a folder's name in the zoo, which it checks",
    ("import-model", "version"): "a version's name in the zoo, which it checks",
    ("train", "log_to"): "words; the help names a variable that holds an address",
    ("trial fine-tuning", "log_to"): "words; the help names a variable that holds an address",
    ("trial compression", "log_to"): "words; the help names a variable that holds an address",
    ("storage fetch", "sha256"): "a checksum",
    ("storage verify", "sha256"): "a checksum",
    ("publish", "model_name"): "a folder's name in the zoo, which it checks",
    ("deepstream config", "sources"): "cameras and files of the GPU node, which deepstream-app opens",
    ("deepstream config", "kitti_folder"): "a folder of the GPU node",
    ("deepstream config", "parser_library"): "a library of the GPU node",
    ("deepstream run", "parser_library"): "a library of the image",
    ("deepstream run", "deepstream_app"): "a program, looked for on the PATH",
}
# Commands whose steps run elsewhere alone, where the NAS has another root
ELSEWHERE = {("schedule", "create"), ("schedule", "emit-cronjob"), ("pipeline", "submit")}
HERE = [flag for flag in LOCATIONS if flag.command[:2] not in ELSEWHERE or flag.use != "pipeline"]
SMELLS = re.compile(r"\b(path|file|files|folder|folders|location|lies|nas|s3|share|zoo)\b|://|\.ya?ml|\.cfg|\.weights")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command ends with exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr().err.strip()
    assert caught.value.code == 2, printed
    assert printed.startswith("error: ")
    assert "\n" not in printed
    return printed


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(NAS_ROOT_VARIABLE, raising=False)


def test_the_walk_finds_nested_commands_and_arguments() -> None:
    found = {str(flag) for flag in LOCATIONS}
    assert {"convert --out", "check SOURCE", "trial fine-tuning --store", "darknet dump --out"} <= found
    assert len(found) > 120


def test_no_parameter_has_a_type_that_knows_no_scheme() -> None:
    assert [str(flag) for flag in EVERY if isinstance(flag.parameter.type, click.Path | click.File)] == []


def test_every_text_that_speaks_of_a_place_is_a_location_or_says_why_not() -> None:
    found = set()
    for flag in EVERY:
        words = f"{flag.parameter.name} {getattr(flag.parameter, 'help', '') or ''}".replace("_", " ").lower()
        if flag.parameter.type is click.STRING and SMELLS.search(words):
            found.add((" ".join(flag.command), str(flag.parameter.name)))
    assert found - set(NO_LOCATION) == set()
    stale = set(NO_LOCATION) - {(" ".join(flag.command), str(flag.parameter.name)) for flag in EVERY if not flag.use}
    assert stale == set()


@pytest.mark.many(80)
@pytest.mark.parametrize("flag", HERE, ids=str)
def test_nas_without_a_root_is_refused_by_name_and_nothing_is_made(
    flag: Flag, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(flag.arguments("nas://share/x"), capsys)
    assert line.startswith(f"error: {flag.name}: nas://share/x: set {NAS_ROOT_VARIABLE}")
    assert list(tmp_path.iterdir()) == []


NO_LOCATIONS = {
    "ftp://x": "unknown scheme 'ftp'",
    "s3://": "expected s3://bucket/key",
    "s3://B/x": "no name of a bucket",
    "nas:/x": "expected text with two slashes",
    "a\0b": "NUL byte",
}


# Every flag is given one of them, in turn; the first flag of each type all
FIRST_OF_TYPE = {(flag.use, flag.parameter.type.name): flag for flag in reversed(LOCATIONS)}.values()


@pytest.mark.many(100)
@pytest.mark.parametrize(
    ("flag", "values"),
    [(flag, [value]) for flag, value in zip(LOCATIONS, itertools.cycle(NO_LOCATIONS), strict=False)]
    + [(flag, list(NO_LOCATIONS)) for flag in FIRST_OF_TYPE],
    ids=lambda value: str(value) if isinstance(value, Flag) else f"{len(value)}",
)
def test_what_is_no_location_is_refused_by_name_and_nothing_is_made(
    flag: Flag, values: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        line = refused(flag.arguments(value), capsys)
        assert line.startswith(f"error: {flag.name}: ")
        assert NO_LOCATIONS[value] in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", [flag for flag in LOCATIONS if flag.use == "write"], ids=str)
def test_output_into_object_storage_says_what_to_do_instead(
    flag: Flag, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(flag.arguments("s3://bucket/x"), capsys)
    assert line.startswith(f"error: {flag.name}: s3://bucket/x: no output can be written into object storage; write to")
    assert "traffic-yolo storage sync" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.many(40)
@pytest.mark.parametrize("flag", [flag for flag in LOCATIONS if flag.parameter.required], ids=str)
def test_empty_location_that_is_needed_is_refused(flag: Flag, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{flag.name}: the location is empty" in refused(flag.arguments(""), capsys)
