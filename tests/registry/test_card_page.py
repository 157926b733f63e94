"""The card as a page: the decision, the numbers at the deployed thresholds, and every value of the card."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from judged_runs import publish

from traffic_yolo.commands.zoo import command
from traffic_yolo.page_origin import About
from traffic_yolo.registry.card_page import card_html
from traffic_yolo.registry.card_view import card_view
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.statement import Statement

MakeRun = Callable[..., dict[str, Path]]


def words(page: str) -> str:
    """The text of a page's body."""
    body = page.partition("<body>")[2].partition("<script>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture
def zoo(make_run: MakeRun, tmp_path: Path) -> Path:
    """A model with one version, used because its gates let it."""
    run = make_run()
    path = run["evaluation"] / "record.json"
    measured = {"ap": 0.41, "ap50": 0.52, "ap75": 0.4, "ar": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    row = {"class_name": "CAR", "num_truths": 1234, **measured}
    counts = {"true_positives": 1, "false_positives": 1, "false_negatives": 1}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"per_class": [row | counts]}))
    publish(**run, zoo=tmp_path / "zoo", name="m", rules=GateRules(by="ana"), statement=Statement(author="A <b>"))
    return tmp_path / "zoo"


def test_show_writes_the_card_as_a_page(zoo: Path, tmp_path: Path) -> None:
    out = tmp_path / "card.html"
    done = CliRunner().invoke(command, ["show", "--zoo", str(zoo), "m", "--html", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.endswith(f"page {out}\n")
    page = out.read_text()
    said = words(page)
    version = open_home(zoo, "m").versions()[0]
    assert f"<h1>Model card of m {version}</h1>" in page
    assert "Its gates let it into use (published by ana, " in said
    assert "0.75 F1 0.8 precision 0.7 recall 0.35 confidence threshold 0.5 IoU threshold" in said  # of the point
    assert "On the split test, at the thresholds that are deployed." in said
    assert "A &lt;b&gt;" in page
    assert "1,234" in said
    assert "Not stated: weights licence, data licence, intended use, limitations." in said


def test_every_value_of_the_card_stands_in_the_page(zoo: Path) -> None:
    home = open_home(zoo, "m")
    view = card_view(home, home.versions()[0])
    said = words(card_html("m", view, About()))
    assert all(digest in said for digest in view["sha256"].values())
    assert all(sentence in said for sentence in view["limits"])
    for name in ("publication", "evaluation", "operating_point", "parity", "lineage", "options"):
        assert view[name]
        assert name.replace("_", " ").capitalize() in said


def test_counts_by_split_become_columns_and_a_number_by_force_is_a_warning(zoo: Path) -> None:
    home = open_home(zoo, "m")
    view = card_view(home, home.versions()[0])
    view["operating_point"]["per_class"] = [{"class_name": "CAR", "val": {"f1": 0.25}, "test": {"f1": 0.125}}]
    view["publication"] |= {"forced": True, "reason": "a trial"}
    page = card_html("m", view, About())
    assert re.search(r"<th[^>]*>class name</th><th[^>]*>val F1</th><th[^>]*>test F1</th>", page)
    assert "Precision, recall and F1 at confidence 0.35 and NMS IoU 0.5." in words(page)
    assert re.search(r'<p class="callout warning">It was brought into use by force, [^<]*a trial\)', page)


@pytest.mark.parametrize("gone", [("publication", "statement", "lineage", "limits", "data"), ("evaluation", "network")])
def test_the_card_of_an_older_program_is_a_page_too(zoo: Path, gone: tuple[str, ...]) -> None:
    home = open_home(zoo, "m")
    view = {name: value for name, value in card_view(home, home.versions()[0]).items() if name not in gone}
    page = card_html("m", view, About())
    assert ("Nothing is recorded of how it was decided" in page) == ("publication" in gone)
