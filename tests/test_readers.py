"""Every reader against inputs that are damaged by chance, the same ones every time; `make fuzz` goes on for longer."""

import random
from pathlib import Path

import pytest
from examples import SLOW
from reader_samples import READERS, examine

INPUTS = 400 if SLOW else 20


@pytest.mark.many(14)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_input_is_read_or_refused_in_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    sample = READERS[name]
    path = sample.make(tmp_path)
    good = path.read_bytes()
    assert examine(sample, tmp_path, path, good) == ""
    rng = random.Random(name)
    for _ in range(INPUTS):
        examine(sample, tmp_path, path, sample.mutate(good, rng))
