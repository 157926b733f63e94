"""The readers of YAML and JSON: ordinary documents as everybody reads them, and an end to what grows or lies."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.limits import Limits, in_force
from traffic_yolo.storage import json_value, parse_json, parse_yaml, read_json, read_yaml

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12) | st.sampled_from(["<<", "yes", "1", "~"])
PLAIN = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN | TEXTS | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.integers(0, 99), inner, max_size=4),
    max_leaves=12,
)
BOMB = (
    "x: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True))
    + "names: *h\n"
)


@given(VALUES)
def test_yaml_that_anyone_dumps_is_read_as_safe_load_reads_it(value: Any) -> None:
    for flow in (False, True):
        text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
        assert parse_yaml(text, where="t") == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {y: 0, <<: [{z: 1, y: 9}, *b]}",
        "- 0x1f\n- 1:30\n- .5\n- ~\n- 2026-01-02 03:04:05\n- yes\n- '1'\n- !!int '3'\n- !!str 3\n- ! 12\n- 1_000",
        "a: |\n  x\n\n  y\nb: >\n  folded\n  text\n? c\n: d",
        "[&a 1, *a, *a]",
        "\ufeffa: 1",
    ],
)
def test_what_people_write_by_hand_is_read_as_safe_load_reads_it(text: str) -> None:
    assert parse_yaml(text, where="t") == yaml.safe_load(text)


@given(st.recursive(PLAIN | TEXTS, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXTS, v, max_size=4)))
def test_json_that_anyone_dumps_is_read_as_json_reads_it(value: Any) -> None:
    for ascii_only in (False, True):
        text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
        assert json_value(text) == value
        assert json_value(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "line 6: more than 1,000,000 values, counted wherever an alias repeats them"),
        ("a: 1\nb: 2026-13-45", "line 2: '2026-13-45' is no timestamp"),
        ("9" * 5000, "line 1: more than 100 digits"),
        ("[" * 3000, "line 1: more than 100 levels"),
        ("a: [1, 2", "line 2 column 1: not YAML"),
        ("a: .nan", "'.nan' is not finite"),
        ("a: -.inf", "not finite"),
        ("a: 1e999", None),  # without a dot, YAML's floats are texts
        ("a: 1.0e+999", "not finite"),
        ("a: 1\na: 2", "line 2: the key 'a' stands there twice"),
        ("1: a\ntrue: b", "the key True stands there twice"),
        ("&a [*a]", "an alias that contains itself"),
        ("[*a]", "undefined alias"),
        ("? [1]\n: 2", "[1] cannot be a key"),
        ("a: !!python/object:os.system x", "constructor for the tag"),
        ("a: 1\n---\nb: 2", "one YAML document; found 2"),
        ("a: {<<: 3}", "expected a mapping, or a list of them, under '<<'; found 3"),
        ("a: 0b", None),
        ("a: !!int x", "'x' is no int"),
        ("a: \x00", "not YAML"),
        (f"a: {'x' * 1_000_001}", "more than 1,000,000 characters"),
    ],
)
def test_yaml_that_grows_lies_or_is_none_is_one_line(text: str, words: str | None) -> None:
    if words is None:
        assert isinstance(parse_yaml(text, where="map m.yaml", error=LabelError), dict)
        return
    with pytest.raises(LabelError) as caught:
        parse_yaml(text, where="map m.yaml", error=LabelError)
    message = str(caught.value)
    assert words in message
    assert message.startswith("map m.yaml")
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "more than 100 levels"),
        ("[" * 3000 + "]" * 3000, "more than 100 levels"),
        ("9" * 5000, "more than 100 digits"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ("[1e999]", "'1e999' is beyond"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        (r'["\ud800"]', "half a character"),
        (r'["\udc00\ud800"]', "half a character"),
        ('["' + "x" * 1_000_001 + '"]', "more than 1,000,000 characters"),
        ('{"a":\n 1,}', "line 2 column 4: not valid JSON"),
    ],
)
def test_json_that_grows_lies_or_is_none_is_one_line(text: str, words: str) -> None:
    with pytest.raises(LabelError) as caught:
        parse_json(text, where="set s.json", error=LabelError)
    message = str(caught.value)
    assert words in message
    assert message.startswith("set s.json")
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize("text", ['"' + "[" * 500 + '"', '["' + "9" * 500 + '"]', r'["\ud83d\ude00", "\\ud800"]'])
def test_what_stands_in_a_text_is_no_structure(text: str) -> None:
    assert json_value(text) == json.loads(text)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


EDGES: list[tuple[str, Callable[[int], str], Callable[[str], Any]]] = [
    ("document_depth", nested, json_value),
    ("document_depth", lambda n: '{"a":' * n + "1" + "}" * n, json_value),
    ("document_depth", nested, lambda text: parse_yaml(text, where="t")),
    ("document_depth", lambda n: f"a: &a {nested(n - 2)}\nb: [*a]", lambda text: parse_yaml(text, where="t")),
    ("number_digits", lambda n: "[" + "7" * n + "]", json_value),
    ("number_digits", lambda n: "-" + "7" * n, lambda text: parse_yaml(text, where="t")),
    ("number_digits", lambda n: "7." + "1" * (n - 1), lambda text: parse_yaml(text, where="t")),
    ("text_characters", lambda n: '["", "' + "x" * n + '", ""]', json_value),
    ("text_characters", lambda n: '["' + "x" * (n - 2) + '\\""]', json_value),
    ("text_characters", lambda n: f"[a, {'x' * n}]", lambda text: parse_yaml(text, where="t")),
    ("json_values", lambda n: "[[], {}" + ', "a,b"' * (n - 3) + "]", json_value),
    ("yaml_values", lambda n: "[" + "a, " * (n - 1) + "]", lambda text: parse_yaml(text, where="t")),
    (
        "yaml_values",
        lambda n: "- &a [x]\n- [" + "*a, " * ((n - 4) // 2) + "]",
        lambda text: parse_yaml(text, where="t"),
    ),
]


@pytest.mark.parametrize(("limit", "text", "read"), EDGES, ids=lambda value: value if isinstance(value, str) else "")
def test_as_much_as_a_limit_says_is_read_and_one_more_is_not(
    limit: str, text: Callable[[int], str], read: Callable[[str], Any]
) -> None:
    with in_force(replace(Limits(), **{limit: 12})):
        read(text(12))
        with pytest.raises(ValueError if read is json_value else StorageError, match=f"limit {limit}"):
            read(text(13 if "*a" not in text(12) or limit != "yaml_values" else 14))


def test_a_file_longer_than_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1, 2]")
    with in_force(replace(Limits(), document_bytes=6)):
        assert read_yaml(tmp_path / "a", what="a") == read_json(tmp_path / "a", what="a") == [1, 2]
    with in_force(replace(Limits(), document_bytes=5)):
        for read in (read_yaml, read_json):
            with pytest.raises(StorageError, match="limit document_bytes"):
                read(tmp_path / "a", what="a")


def test_a_raised_depth_that_python_cannot_take_is_still_our_error() -> None:
    with in_force(replace(Limits(), document_depth=5_000)), pytest.raises(StorageError, match="nested too deeply"):
        parse_json(nested(4_000), where="t")


def test_files_that_are_missing_or_no_text_name_themselves(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"map cannot be read: .*none: No such file"):
        read_yaml(tmp_path / "none", what="map", error=LabelError)
    (tmp_path / "b").write_bytes(b"a: \xff")
    with pytest.raises(LabelError, match=r"map .*b: not UTF-8 text \(byte 3\)"):
        read_yaml(tmp_path / "b", what="map", error=LabelError)
    with pytest.raises(LabelError, match=r"map is not UTF-8 text: .*b byte 3"):
        read_json(tmp_path / "b", what="map", error=LabelError)


SCRIPT = """
import resource, sys
from pathlib import Path
from traffic_yolo.atm.calibration import read_calibration
from traffic_yolo.atm.layouts import load_layout
from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.data_set import _read_classes
from traffic_yolo.dataset.formats.mapping import read_mapping
from traffic_yolo.dataset.formats.yolo_set import read_data_yaml
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.dataset.splits.pins import read_pins
from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.snapshot.snapshot import read_snapshot
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.katib.spec.document import parse_object

resource.setrlimit(resource.RLIMIT_AS, (int(Path("/proc/self/statm").read_text().split()[0]) * 4096 + (300 << 20),) * 2)
readers = [read_calibration, load_layout, ClassMap.read, _read_classes, read_mapping, read_data_yaml, read_pins,
           lambda path: policy_at(str(path)), lambda path: policy_at("{a: " + path.read_text() + "}"),
           TrainingOptions.read, read_snapshot]
for path in sorted(Path(sys.argv[1]).iterdir()):
    for reader in readers:
        try:
            reader(path)
        except TrafficYoloError as error:
            message = str(error)
            assert len(message) < 500 and chr(10) not in message, (path, message[:2000])
        else:
            raise AssertionError((path, reader))
    document, problems = parse_object(path.read_text())
    assert document is None and all(len(problem.message) < 500 for problem in problems), path
print("all refused")
"""


def test_every_reader_of_a_small_file_refuses_what_would_fill_memory_in_a_line(tmp_path: Path) -> None:
    """In one process with 300 MiB to spare: eleven readers of six files, of which some took 5.5 GB."""
    texts = {
        "bomb": BOMB,
        "list": "[" + BOMB.partition("\n")[0].partition(": ")[2] + "]" + " " * 300,
        "date": "2026-13-45",
        "digits": "9" * 5000,
        "nest": "[" * 3000,
        "deep": "[" * 100_000,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "all refused\n", done.stderr[-3000:]
