"""Cfg: reading as Darknet reads, editing in place, writing back byte for byte, refusing what is no cfg."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import DarknetFormatError, StorageError

TEXT = "; start\n[net]\nwidth = 64\r\n h ei ght=32\n\n#classes=7\n[conv]\nfilters = 21 # was 255\nsize=3\nsize=1"


def test_sections_have_long_names_lines_and_keys_without_blanks():
    cfg = Cfg.parse(TEXT, file="a.cfg")
    assert (cfg.net.name, cfg.net.line, cfg.net.keys()) == ("net", 2, ["width", "height"])
    assert [(section.name, section.line) for section in cfg.layers] == [("convolutional", 7)]
    assert cfg.net.get_int("height", 0) == 32
    assert not cfg.net.has("classes")


def test_first_of_a_repeated_key_counts_as_in_darknet():
    assert Cfg.parse(TEXT).layers[0].get_int("size", 0) == 3


def test_numbers_end_at_a_comment_and_strings_do_not():
    section = Cfg.parse("[net]\nlayers=-1, 72### P3\nscale=.5#x\nactivation=leaky#x\n").net
    assert section.get_ints("layers") == (-1, 72)
    assert section.get_float("scale", 0) == 0.5
    assert section.get_str("activation", "") == "leaky#x"


def test_missing_keys_give_the_default():
    net = Cfg.parse("[net]\n").net
    assert (net.get_str("a", "x"), net.get_int("a", 3), net.get_float("a", 0.5)) == ("x", 3, 0.5)
    assert (net.get_ints("a", (1,)), net.get_floats("a")) == ((1,), ())


@pytest.mark.parametrize(
    ("value", "read", "is_misread"),
    [
        ("12", 12, False),
        ("-7", -7, False),
        ("+3", 3, False),
        ("2000.", 2000, False),
        ("2147483647", 2147483647, False),
        ("007", 7, False),
        ("1e0", 1, False),
        ("2e3", 2, True),
        ("1E4", 1, True),
        ("1000.5", 1000, True),
        ("-1.5", -1, True),
    ],
)
def test_whole_numbers_are_read_as_atoi_reads_them(value, read, is_misread):
    net = Cfg.parse(f"[net]\nx={value}#1.5\n").net
    assert net.get_int("x", 0) == read
    assert net.get_ints("x") == (read,)
    assert net.misread_ints("x") == ((value, read) if is_misread else None)


def test_a_last_comma_is_taken_where_it_is_asked_for_alone():
    net = Cfg.parse("[net]\nx=1,2.5,\ny=,\nz=1,,\n").net
    assert net.get_floats("x", last_comma=True) == (1, 2.5)
    for key, options in (("x", {}), ("y", {"last_comma": True}), ("z", {"last_comma": True})):
        with pytest.raises(DarknetFormatError, match=f"{key}: expected numbers separated by commas"):
            net.get_floats(key, **options)


@pytest.mark.parametrize(
    "value", [".5", "abc", "1e999", "2147483648", "3x", "1e", "0x10", "1_000", "9" * 5000, "nan", "inf", "٣", "1,2"]
)
def test_other_whole_numbers_are_refused_with_file_line_section_key_and_value(value):
    cfg = Cfg.parse(f"[net]\na=1\nx = {value}\n", file="dir/my.cfg")
    message = r"^dir/my\.cfg line 3 \[net\]: x: expected a whole number, found '"
    with pytest.raises(DarknetFormatError, match=message) as info:
        cfg.net.get_int("x", 0)
    assert len(str(info.value)) < 150


@pytest.mark.parametrize("value", ["abc", "1e999", "nan", "inf", "1..2", "--1", "1e", "."])
def test_other_numbers_are_refused(value):
    with pytest.raises(DarknetFormatError, match=r"x: expected a number, found"):
        Cfg.parse(f"[net]\nx={value}\n").net.get_float("x", 0)


@pytest.mark.parametrize("value", ["1,,2", "1,2,", ",", "1;2,x", "1,b"])
def test_lists_with_other_items_are_refused(value):
    section = Cfg.parse(f"[net]\nx={value}\n").net
    if value == "1;2,x":
        assert section.get_ints("x") == (1,)  # ';' starts a comment
        return
    with pytest.raises(DarknetFormatError, match="x: expected whole numbers separated by commas"):
        section.get_ints("x")


def test_numbers_out_of_range_name_the_limit():
    net = Cfg.parse("[net]\nx=5\n").net
    with pytest.raises(DarknetFormatError, match="x: expected at most 4, found '5'"):
        net.get_int("x", 0, at_most=4)
    with pytest.raises(DarknetFormatError, match="x: expected at least 6, found '5'"):
        net.get_float("x", 0, at_least=6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected \\[net\\] and layer sections, found none"),
        ("# only a comment\n", "expected \\[net\\] and layer sections, found none"),
        ("width=3\n[net]\n", "<cfg> line 1: expected \\[net\\] first, found 'width=3'"),
        ("\ufeff[net]\n", "line 1: expected \\[net\\] first"),
        ("[convolutional]\n", "line 1 \\[convolutional\\]: expected \\[net\\] or \\[network\\] as the first section"),
        ("[net]\n[conv\n", "<cfg> line 2: expected a section header such as \\[net\\], found '\\[conv'"),
        ("[net]\n\nwidth\n", "<cfg> line 3 \\[net\\]: expected key=value, found 'width'"),
        ("[net]\nwidth=\n", "<cfg> line 2 \\[net\\]: expected key=value, found 'width='"),
        ("[net]\n=5\n", "<cfg> line 2 \\[net\\]: expected key=value, found '=5'"),
    ],
)
def test_what_is_no_cfg_is_refused_with_its_line(text, message):
    with pytest.raises(DarknetFormatError, match=message):
        Cfg.parse(text)


def test_set_keeps_the_layout_of_a_line():
    cfg = Cfg.parse(TEXT)
    cfg.net.set("width", 128)
    cfg.net.set("height", 96)
    assert cfg.to_text() == TEXT.replace("width = 64\r\n", "width = 128\r\n").replace("=32", "=96")
    assert (cfg.net.get_int("width", 0), cfg.net.get_int("height", 0)) == (128, 96)


def test_set_adds_a_missing_key_after_the_last_entry_of_its_section():
    cfg = Cfg.parse("[net]\r\na=1\r\n\r\n# next\r\n[conv]\r\nb=2")
    cfg.net.set("c", 3)
    cfg.layers[0].set("d", "4,5")
    assert cfg.to_text() == "[net]\r\na=1\r\nc=3\r\n\r\n# next\r\n[conv]\r\nb=2\r\nd=4,5\r\n"
    assert cfg.layers[0].get_ints("d") == (4, 5)


def test_set_changes_the_line_that_counts_and_remove_takes_all():
    section = Cfg.parse("[net]\na=1\nb=0\na=2\n").net
    section.set("a", 9)
    assert (section.get_int("a", 0), section.to_text()) == (9, "[net]\na=9\nb=0\na=2\n")
    section.remove("a")
    section.remove("never there")
    assert (section.has("a"), section.to_text()) == (False, "[net]\nb=0\n")


@pytest.mark.parametrize(("key", "value"), [("a", "1\n2"), ("", "1"), ("a=b", "1"), ("a", " "), ("a\n", "1")])
def test_set_refuses_what_is_not_one_line(key, value):
    with pytest.raises(DarknetFormatError, match="cannot write"):
        Cfg.parse("[net]\n").net.set(key, value)


def test_copy_is_independent():
    cfg = Cfg.parse(TEXT, file="a.cfg")
    copy = cfg.copy()
    copy.layers[0].set("filters", 1)
    assert (cfg.to_text(), copy.file, copy.layers[0].get_int("filters", 0)) == (TEXT, "a.cfg", 1)


def test_files_are_written_back_byte_for_byte_whatever_the_encoding(tmp_path):
    data = "# größe\n[net]\nwidth=1\r\n".encode("latin-1") + b"# \xff\xfe end"
    (tmp_path / "a.cfg").write_bytes(data)
    cfg = Cfg.read(tmp_path / "a.cfg")
    cfg.write(tmp_path / "b.cfg")
    assert (tmp_path / "b.cfg").read_bytes() == data
    assert cfg.file == str(tmp_path / "a.cfg")


def test_a_binary_file_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "a.cfg").write_bytes(b"\0\0\0\0\2\0\0\0")
    with pytest.raises(DarknetFormatError, match=r"a\.cfg: expected a Darknet cfg, found binary data"):
        Cfg.read(tmp_path / "a.cfg")
    with pytest.raises(StorageError, match=r"cfg cannot be read: .*b\.cfg"):
        Cfg.read(tmp_path / "b.cfg")


@given(st.text())
def test_any_text_is_read_and_written_back_or_refused(text):
    try:
        cfg = Cfg.parse(text)
    except DarknetFormatError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert cfg.to_text() == text


LINES = st.sampled_from(["[net]", "[conv]", " [yolo] ", "#c", "", "a=1", "a = 2", "b=1,2", "c", "=", "\t;x", "b= 7 \r"])


@given(st.lists(LINES, max_size=12), st.sampled_from(["a", "b", "new"]), st.integers(-9, 9))
def test_what_was_set_is_found_after_writing_and_reading(lines, key, value):
    text = "\n".join(["[net]", *lines])
    try:
        cfg = Cfg.parse(text)
    except DarknetFormatError:
        return
    assert cfg.to_text() == text
    section = [cfg.net, *cfg.layers][-1]
    section.set(key, value)
    again = cfg.copy()
    assert [again.net, *again.layers][-1].get_int(key, 99) == value == section.get_int(key, 99)
    section.remove(key)
    assert key not in section.keys()  # noqa: SIM118


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "fuzz.cfg"
    file.write_bytes(data)
    try:
        cfg = Cfg.read(file)
    except DarknetFormatError:
        return
    cfg.write(file)
    assert file.read_bytes() == data
