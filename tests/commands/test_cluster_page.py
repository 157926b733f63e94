"""docs/cluster.md goes from nothing to a schedule, and every file that it names is there (commands: tests/docs)."""

import re
from pathlib import Path

from traffic_yolo.container_images import image

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
LINES = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
OURS = [line for line in LINES if line.startswith("traffic-yolo ") and "--version" not in line]
# A reader's copy of the example, and what is made on the way
COPIES = {"pipelines/kustomize/team-vision": "pipelines/kustomize/example"}
MADE = {"pipelines/kustomize/example/credentials.env"}


def test_page_goes_through_all_of_it() -> None:
    assert [line.split()[1] for line in OURS] == ["run", "schedule", "zoo", "zoo", "katib"]


def test_every_file_that_is_named_is_there() -> None:
    words = {word for line in LINES for word in re.findall(r"(?:pipelines|katib|docker|docs)/[\w./-]+", line)}
    assert words
    for word in words:
        for copied, original in COPIES.items():
            word = word.replace(copied, original)
        assert word in MADE or (REPOSITORY / word).exists(), word


def test_names_of_images_are_printed_by_the_module_that_has_them() -> None:
    assert {"cpu", "cuda"} == set(re.findall(r"traffic_yolo\.container_images train (\w+)", TEXT))
    assert f"train:<version>-{image('train').rpartition('-')[2]}" in TEXT
