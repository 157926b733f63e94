"""Keys of a cfg in training: each is in the table, and refused ones are refused by name."""

from pathlib import Path

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.sections.runtimes import COMMON_KEYS, NET_KEYS
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.cfg_keys import (
    CONVOLUTIONAL,
    EVERY_LAYER,
    NET,
    PASSED_OVER,
    REFUSED,
    SECTIONS,
    YOLO,
    check_keys,
    rule_of,
)


@pytest.mark.parametrize(
    ("table", "read"),
    [
        (NET, NET_KEYS),
        (EVERY_LAYER, COMMON_KEYS),
        (CONVOLUTIONAL, SECTION_TYPES["convolutional"].keys),
        (YOLO, SECTION_TYPES["yolo"].keys),
    ],
    ids=["net", "every layer", "convolutional", "yolo"],
)
def test_every_key_that_darknet_reads_has_a_rule_and_no_other(table: dict[str, object], read: frozenset[str]) -> None:
    assert set(table) == set(read)


def test_keys_of_published_cfgs_are_known_or_passed_over_by_darknet_too(reference: Path) -> None:
    passed_over = {
        (section.name, key)
        for path in (reference / "cfg").glob("*.cfg")
        for cfg in [Cfg.read(path)]
        for section in (cfg.net, *cfg.layers)
        for key in section.keys()  # noqa: SIM118
        if (rule := rule_of(section.name, key)) is not None and rule.what == PASSED_OVER
    }
    assert passed_over == {("net", "max_epochs"), ("yolo", "uc_normalizer"), ("yolo", "beta1")}


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        (
            "net",
            "time_steps=20",
            r"\[net\]: time_steps=20 cannot be obeyed in training: training on sequences of frames",
        ),
        ("net", "try_fix_nan=1", "try_fix_nan=1 cannot be obeyed in training: a loss that is no number"),
        ("net", "contrastive=1", "contrastive and unsupervised training are not supported; remove it"),
        ("convolutional", "grad_centr=1", "grad_centr=1 cannot be obeyed"),
        ("convolutional", "batch_normalize=2", "batch_normalize=2 cannot be obeyed .* write batch_normalize=1"),
        ("convolutional", "clip=1", "clip=1 cannot be obeyed"),
        ("yolo", "embedding_layer=3", "embedding_layer=3 cannot be obeyed"),
    ],
)
def test_keys_that_cannot_be_obeyed_are_refused_by_name(section: str, line: str, message: str) -> None:
    text = "".join(f"[{name}]\n{line if name == section else ''}\n" for name in ("net", "convolutional", "yolo"))
    with pytest.raises(TrainingError, match=message):
        check_keys(Cfg.parse(text))


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (section, key)
        for section, table in {**SECTIONS, "every layer": EVERY_LAYER}.items()
        for key, rule in table.items()
        if rule.what == REFUSED
    ],
)
def test_every_key_that_the_table_refuses_is_refused_with_what_to_do(section: str, key: str) -> None:
    place = "convolutional" if section == "every layer" else section
    rule = rule_of(place, key)
    assert rule is not None
    text = "".join(f"[{name}]\n{f'{key}=7' if name == place else ''}\n" for name in ("net", "convolutional", "yolo"))
    with pytest.raises(TrainingError) as caught:
        check_keys(Cfg.parse(text, file="my.cfg"))
    line = {"net": 2, "convolutional": 4, "yolo": 6}[place]
    assert str(caught.value) == f"my.cfg line {line} [{place}]: {key}=7 cannot be obeyed in training: {rule.note}"
    check_keys(Cfg.parse(text.replace("=7", f"={rule.harmless:g}")))


def test_refused_keys_with_darknets_own_default_are_harmless() -> None:
    check_keys(Cfg.parse("[net]\ntime_steps=1\ntrack=0\n[convolutional]\nclip=0\n"))


def markdown_table() -> str:
    """The tables as docs/training.md shows them: section, key, what becomes of it."""
    lines = ["| section | keys | what becomes of them |", "| --- | --- | --- |"]
    for section, rules in {**SECTIONS, "every layer": EVERY_LAYER}.items():
        by_rule: dict[tuple[str, str], list[str]] = {}
        for key, rule in rules.items():
            by_rule.setdefault((rule.what, rule.note), []).append(key)
        name = section if section == "every layer" else f"[{section}]"
        for (what, note), keys in by_rule.items():
            shown = " ".join(f"`{key}`" for key in keys)
            lines.append(f"| {name} | {shown} | {what}{f': {note}' if note else ''} |")
    return "\n".join(lines) + "\n"


def test_the_page_on_training_has_the_table_of_the_code(repository: Path) -> None:
    page = (repository / "docs" / "training.md").read_text(encoding="utf-8")
    shown = page.split("<!-- keys -->\n")[1].split("<!-- /keys -->")[0]
    assert shown == markdown_table(), f"put this between the marks:\n{markdown_table()}"
