"""Fuzzes the weights reader on a small network, by atheris: `make fuzz`, or with libFuzzer's own options.

.venv/bin/python tests/fuzz/fuzz_weights.py FOLDER -max_total_time=600
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["traffic_yolo.darknet"]):
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.darknet.weights import WeightsHeader

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from darknet_fuzzing import examine_weights
from fuzz_options import libfuzzer_arguments
from small_cfgs import SMALL_CFGS

HEADERS = {"seen64": WeightsHeader(), "seen32": WeightsHeader(0, 1, 0, 9), "old": WeightsHeader(0, 1001, 0, 9)}


def seeds_of(cfg: Cfg) -> dict[str, bytes]:
    """Whole files with each header, a file cut after the first layer, one cut inside a layer, and a header alone."""
    network = Network(cfg)
    seeds = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.weights"
        for name, header in HEADERS.items():
            network.save_weights(path, header=header)
            seeds[name] = path.read_bytes()
    first = 20 + 4 * network.sections[0].num_weights
    return {**seeds, "cut": seeds["seen64"][:first], "inside": seeds["seen64"][: first + 8], "alone": seeds["old"][:20]}


def main() -> None:
    """Runs until the time in the arguments is over, or something is found."""
    cfg = Cfg.parse(SMALL_CFGS["odds-and-ends"], file="small.cfg")
    with tempfile.TemporaryDirectory() as folder:
        arguments = libfuzzer_arguments(sys.argv, seeds_of(cfg), ["\\x00\\x00\\xc0\\x7f", "\\x00\\x00\\x80\\xff"])
        atheris.Setup(arguments, lambda data: examine_weights(data, cfg, Path(folder)) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
