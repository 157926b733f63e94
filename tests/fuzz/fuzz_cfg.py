"""Fuzzes the cfg reader and all that follows from a cfg, by atheris: `make fuzz`, or with libFuzzer's own options.

.venv/bin/python tests/fuzz/fuzz_cfg.py FOLDER -max_total_time=600
"""

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["traffic_yolo.darknet"]):
    import traffic_yolo.darknet.lint  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from cfg_mutations import mutated
from darknet_fuzzing import examine_cfg
from fuzz_options import libfuzzer_arguments
from small_cfgs import SMALL_CFGS

WORDS = [
    *(f"[{name}]" for name in ("convolutional", "maxpool", "route", "shortcut", "yolo", "region", "Gaussian_yolo")),
    *("filters=", "size=", "stride=", "groups=", "layers=-1", "from=-2", "share_index=", "antialiasing=1"),
    *(
        "mask=",
        "anchors=",
        "classes=",
        "num=",
        "batch_normalize=1",
        "padding=",
        "dilation=",
        "2147483647",
        "-1",
        "1e38",
    ),
]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half the time what goes wrong in cfg files, else what libFuzzer does to bytes."""
    if seed % 2:
        return atheris.Mutate(data, max_size)
    text = data.decode("utf-8", "surrogateescape")
    return mutated(text, random.Random(seed)).encode("utf-8", "surrogateescape")[:max_size]


def main() -> None:
    """Runs until the time in the arguments is over, or something is found."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = {name: text.encode() for name, text in SMALL_CFGS.items()}
        arguments = libfuzzer_arguments(sys.argv, seeds, WORDS)
        atheris.Setup(arguments, lambda data: examine_cfg(data, Path(folder)) and None, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
