"""The Experiments of the Katib project: each gets the verdict that Katib itself gives. Needs a checkout of it."""

import os
from pathlib import Path

import pytest

from traffic_yolo.katib.check.check import check_file

CHECKOUT_VARIABLE = "TRAFFIC_YOLO_KATIB"
FOLDERS = ("examples/v1beta1", "test/e2e/v1beta1/testdata")
FEWEST = 30  # of the files that there are: a checkout without them proves nothing
# Those that Katib refuses: its webhook the first three, and its own services the last. All others it takes
REFUSED = {
    "simple-pbt.yaml": ["max-failed-above-max"],
    "pipeline-run.yaml": ["placeholder-missing"],
    "invalid-experiment.yaml": ["algorithm-unknown"],
    "darts-gpu.yaml": ["nas-operation"],  # "Missing ParameterConfigs in Operation" of a skip_connection
}


def example_files(checkout: Path) -> list[Path]:
    found = [path for folder in FOLDERS for path in sorted((checkout / folder).rglob("*.yaml"))]
    return [path for path in found if "kind: Experiment" in path.read_text(encoding="utf-8").splitlines()]


def test_every_example_gets_katibs_verdict(tmp_path: Path) -> None:
    place = os.environ.get(CHECKOUT_VARIABLE)
    if not place:
        pytest.skip(f"{CHECKOUT_VARIABLE} names no checkout of the Katib project")
    files = example_files(Path(place))
    assert len(files) >= FEWEST
    verdicts = {}
    for path in files:
        documents = [text for text in path.read_text(encoding="utf-8").split("\n---\n") if "kind: Experiment" in text]
        file = tmp_path / path.name
        file.write_text(documents[0], encoding="utf-8")
        verdicts[path.name] = [found.rule for found in check_file(file).findings if found.severity == "error"]
    assert {name: rules for name, rules in verdicts.items() if rules} == REFUSED
