"""Each class's table of refused keys is what its reader refuses, and its table of keys has all that its reader reads."""

from pathlib import Path

import pytest
from small_cfgs import SMALL_CFGS
from spying_section import spy_on

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.refused_keys import IN_EVERY_SECTION
from traffic_yolo.darknet.sections.runtimes import COMMON_KEYS
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.errors import DarknetFormatError

CASES = [
    (name, key, refused)
    for name, section_type in SECTION_TYPES.items()
    for key, refused in {**IN_EVERY_SECTION, **section_type.refused_keys}.items()
]
IDS = [f"{name}-{key}" for name, key, _ in CASES]


def holder(name: str) -> tuple[Cfg, int]:
    """A small network with such a section, and its layer index."""
    for text in SMALL_CFGS.values():
        cfg = Cfg.parse(text, file="small.cfg")
        for index, section in enumerate(cfg.layers):
            if section.name == name:
                return cfg, index
    raise AssertionError(f"no small network has [{name}]")


@pytest.mark.parametrize(("name", "key", "refused"), CASES, ids=IDS)
def test_a_refused_key_is_refused_with_its_reason_and_taken_with_darknets_default(name, key, refused):
    cfg, index = holder(name)
    section = cfg.layers[index]
    if refused.beside:
        section.set(refused.beside, 1)
    other = "some.tree" if refused.allowed == "" else int(refused.allowed) + 1
    section.set(key, other)
    with pytest.raises(DarknetFormatError) as caught:
        read_sections(cfg)
    found = str(caught.value)
    assert found.startswith("small.cfg line ")
    assert found.endswith(f" [{name}]: {key}={other} is not supported: {refused.reason}")
    assert len(refused.reason.split()) > 3
    if refused.allowed != "":
        section.set(key, refused.allowed)
        read_sections(cfg)


def test_a_key_refused_beside_another_is_taken_without_that():
    cfg, index = holder("maxpool")
    cfg.layers[index].set("antialiasing", 1)
    cfg.layers[index].set("stride", 1)
    section = cfg.layers[index]
    assert read_sections(Cfg.parse("[net]\nwidth=8\nheight=8\nchannels=3\n" + section.to_text()))[0].antialiasing == 1


@pytest.mark.parametrize("name", SECTION_TYPES)
def test_every_refused_key_is_one_that_darknet_reads_there(name):
    section_type = SECTION_TYPES[name]
    assert set(section_type.refused_keys) <= section_type.keys
    assert set(IN_EVERY_SECTION) <= COMMON_KEYS


def asked_keys(cfg: Cfg) -> list[tuple[str, set[str]]]:
    """Per layer its type and the keys that its reader asked for."""
    spies = spy_on(cfg)
    read_sections(cfg)
    return [(spy.name, spy.asked) for spy in spies]


def test_every_key_that_our_readers_read_is_in_their_tables():
    """Else lint would call a key unknown that changes the network."""
    met = set()
    for text in SMALL_CFGS.values():
        for name, asked in asked_keys(Cfg.parse(text)):
            met.add(name)
            assert asked <= SECTION_TYPES[name].keys | COMMON_KEYS, name
            assert set(IN_EVERY_SECTION) <= asked, name
    assert met == set(SECTION_TYPES)


@pytest.mark.long
def test_every_key_read_of_the_published_cfgs_is_in_the_tables(reference):
    for file in sorted(Path(reference).glob("cfg/*.cfg")):
        try:
            for name, asked in asked_keys(Cfg.read(file)):
                assert asked <= SECTION_TYPES[name].keys | COMMON_KEYS, (file.name, name)
        except DarknetFormatError:
            continue  # the refused ones have a test of their own
