"""What must hold for any bytes given as a cfg or as weights; run by the fuzzers and by the mutation tests alike.

Every function returns how far the bytes came. A refusal must be one line that names the file, and for what is wrong in
a section its line and section. Anything else that is raised is a finding.
"""

import re
from pathlib import Path

import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.lint import lint_cfg
from traffic_yolo.darknet.lint_targets import TARGETS
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.show import network_table
from traffic_yolo.darknet.surgery_partial import cut_backbone
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import DarknetFormatError, OptionsError

# What is run through the network: the rest of it is the same code with larger numbers.
MOST_WEIGHTS = 200_000
MOST_VALUES = 1 << 20  # of all layers' outputs together
MOST_OPERATIONS = 2e8

# Messages about the file as a whole; all others name line and section.
_WHOLE_FILE = ("expected [net]", "expected at most", "expected layer sections", "expected at least one [yolo]")
_WHERE = re.compile(r" line [1-9]\d* \[\w+\]: \S|: ")
_LONGEST_MESSAGE = 1200


def examine_cfg(data: bytes, folder: Path) -> str:
    """Reads the bytes as a cfg, and as far as they are one builds, runs, lints and shows the network."""
    path = folder / "any.cfg"
    path.write_bytes(data)
    try:
        cfg = Cfg.read(path)
    except DarknetFormatError as error:
        check_message(error, path)
        return "no cfg"
    assert cfg.to_text().encode("utf-8", "surrogateescape") == data, "the text is not written back as it was read"
    for target in TARGETS:
        report = lint_cfg(cfg, target)
        report.to_text()
        report.to_json()
    try:
        sections = read_sections(cfg)
    except DarknetFormatError as error:
        check_message(error, path)
        assert lint_cfg(cfg, "onnx").exit_code == 1, f"lint passes over what is refused: {error}"  # noqa: PT017
        return "refused"
    try:  # its column of what is frozen reads keys that the network has no need of
        table = network_table(cfg)
    except DarknetFormatError as error:
        check_message(error, path)
        return "not shown"
    table.to_text()
    table.to_json()
    if not small_enough(sections) or table.bflops * 1e9 > MOST_OPERATIONS:
        return "too large to run"
    try:
        network = Network(cfg).eval()
    except DarknetFormatError as error:
        check_message(error, path)
        return "no detector"
    run(network)
    return "ran"


def examine_weights(data: bytes, cfg: Cfg, folder: Path) -> str:
    """Reads the bytes as weights of the cfg: alone, into a network, and as a file to cut a backbone from."""
    path = folder / "any.weights"
    path.write_bytes(data)
    try:
        file = read_weights(path)
        assert file.size_bytes == len(data)
        network = Network.read(cfg, path)
    except DarknetFormatError as error:
        check_message(error, path)
        _examine_partial(cfg, path)
        return "refused"
    network.save_weights(folder / "again.weights")
    assert (folder / "again.weights").read_bytes() == data, "other bytes come out than went in"
    run(network.eval())
    _examine_partial(cfg, path)
    return "ran"


def _examine_partial(cfg: Cfg, path: Path) -> None:
    """A part of the weights is taken into a network that is otherwise left as it is, or refused."""
    network = Network(cfg)
    before = [tensor.clone() for tensor in network.state_dict().values()]
    try:
        network.load_weights(path, partial=True)
    except DarknetFormatError as error:
        check_message(error, path)
        after = network.state_dict().values()
        assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True)), "a refused file changed it"
    try:
        cut_backbone(cfg, path, 1, path.with_name("cut.weights"))
    except DarknetFormatError as error:
        check_message(error, path)
    except OptionsError as error:
        assert "layers:" in str(error)  # noqa: PT017


def run(network: Network) -> None:
    """Forward and decode on a picture; `layer_outputs` has the shapes that the sections state."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((1, network.input_channels, *network.input_hw), generator=generator)
    with torch.no_grad():
        outputs = network.layer_outputs(images)
        decode(network.heads, network(images), network.input_hw)
    for section, output in zip(network.sections, outputs, strict=True):
        assert tuple(output.shape[1:]) == tuple(section.output), section.section


def small_enough(sections: list[LayerSection]) -> bool:
    """Whether running these layers takes milliseconds."""
    values = sum(section.output.channels * section.output.height * section.output.width for section in sections)
    channels, height, width = sections[0].input
    return (
        values + channels * height * width <= MOST_VALUES
        and sum(section.num_weights + section.num_constants for section in sections) <= MOST_WEIGHTS
        and max((section.padding for section in sections if hasattr(section, "padding")), default=0) <= 64
    )


def check_message(error: DarknetFormatError, path: Path) -> None:
    """One printable line that begins with the file; line and section follow unless it is about the file as a whole."""
    text = str(error)
    assert text.startswith(str(path)), text
    assert text.isprintable(), ascii(text)
    assert len(text) <= _LONGEST_MESSAGE, text[:200]
    rest = text.removeprefix(str(path))
    assert _WHERE.match(rest) or re.match(r" line \d+: expected ", rest), text
    if path.suffix == ".cfg" and rest.startswith(": "):
        assert rest.removeprefix(": ").startswith(("expected",)), text
