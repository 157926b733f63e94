"""The page about Katib lists the rules that there are."""

from pathlib import Path

from traffic_yolo.katib.check.check import rules_values


def test_the_page_lists_every_rule_as_the_code_has_it(repository: Path) -> None:
    _, _, section = (repository / "docs" / "katib-rules.md").read_text().partition("# `katib check`: the rules")
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    expected = []
    for rule in rules_values():
        text = rule["text"].replace("|", r"\|")
        expected.append(f"| `{rule['rule']}` | {rule['severity']} | {rule['origin']} | {text} |")
    assert rows == expected
