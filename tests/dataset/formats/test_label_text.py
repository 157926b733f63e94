"""Byte order marks, line ends, code pages, back slashes: the same labels, however a tool writes its text."""

from pathlib import Path

import pytest
from small_shares import jpeg

from traffic_yolo.dataset.alike_classes import alike_classes
from traffic_yolo.dataset.formats.label_text import LabelText
from traffic_yolo.dataset.formats.xml_stream import xml_elements
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.errors import LabelError, OptionsError

LINES = {"labels/0.txt": "0 0.5 0.5 0.25 0.5\n", "labels/1.txt": "1 0.5 0.5 0.5 0.5\n"}
KITTI = " 0 0 -10 10 20 30 40 -1 -1 -1 -1000 -1000 -1000 -10\n"
FORMS = ("yolo", "darknet", "kitti")
SPELLINGS = {
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "windows lines": lambda text: text.replace("\n", "\r\n").encode(),
    "old mac's lines": lambda text: text.replace("\n", "\r").encode(),
    "all of it": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
}


def texts_of(form: str, names: tuple[str, str], slash: str = "/") -> dict[str, str]:
    """The text files of a set of two pictures, a box each."""
    if form == "kitti":
        return {f"label_2/{number}.txt": name + KITTI for number, name in enumerate(names)}
    listed = f".{slash}images{slash}0.jpg\nimages{slash}1.jpg\n"
    if form == "yolo":
        return {**LINES, "train.txt": listed, "data.yaml": f"train: train.txt\nnames:\n- {names[0]}\n- {names[1]}\n"}
    described = "classes = 2\ntrain = train.txt\nnames = obj.names\n"
    return {**LINES, "train.txt": listed, "obj.names": "\n".join(names) + "\n", "obj.data": described}


def opened(root: Path, texts: dict[str, bytes], form: str, encoding: str = "auto") -> Source:
    for name, data in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "images").mkdir(exist_ok=True)
    for number in range(2):
        (root / f"images/{number}.jpg").write_bytes(jpeg(number))
    return open_source(
        SourceChoice(str(root), source_format="kitti" if form == "kitti" else "yolo", label_encoding=encoding)
    )


def boxes(source: Source) -> list[tuple[str, tuple[float, ...]]]:
    return [(box.class_name, box.xywh) for frame in source.frames() for box in frame.annotations]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", FORMS)
def test_marks_and_line_ends_change_nothing(tmp_path: Path, form: str, spelling: str) -> None:
    texts = texts_of(form, ("CAR", "BUS"))
    plain = boxes(opened(tmp_path / "plain", {name: text.encode() for name, text in texts.items()}, form))
    spelt = opened(tmp_path / "spelt", {name: SPELLINGS[spelling](text) for name, text in texts.items()}, form)
    assert boxes(spelt) == plain
    assert [name for name, _ in plain] == ["CAR", "BUS"]


@pytest.mark.parametrize("form", ["yolo", "darknet"])
def test_back_slashes_separate_folders(tmp_path: Path, form: str) -> None:
    texts = texts_of(form, ("CAR", "BUS"), "\\")
    source = opened(tmp_path, {name: text.encode() for name, text in texts.items()}, form)
    assert [frame.scan for frame in source.frames()] == ["0", "1"]


@pytest.mark.parametrize(
    ("page", "names"), [("cp949", ("승용차", "버스")), ("gb18030", ("轿车", "小汽车"))], ids=["korean", "chinese"]
)
@pytest.mark.parametrize("form", FORMS)
def test_a_code_page_is_guessed_said_and_may_be_stated(
    tmp_path: Path, form: str, page: str, names: tuple[str, str]
) -> None:
    texts = {name: text.encode(page) for name, text in texts_of(form, names).items()}
    stated = opened(tmp_path, texts, form, page)
    assert sorted(name for name, _ in boxes(stated)) == sorted(names)
    assert not [note for note in stated.notes if "guess" in note]
    guessed = opened(tmp_path, texts, form)
    assert sorted(name for name, _ in boxes(guessed)) == sorted(names)
    (said,) = [note for note in guessed.notes if "a guess" in note]
    assert f"files not in UTF-8: read as {page}, a guess (the first: {tmp_path}/" in said


def test_files_of_two_pages_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("버스".encode("cp949"))
    (tmp_path / "b.txt").write_bytes("轿车".encode("gb18030"))
    text = LabelText()
    assert text.text_of(tmp_path / "a.txt") == "버스"
    with pytest.raises(
        LabelError, match=r"b\.txt: not UTF-8 text, and gb18030 by its letters, but .*a\.txt was read as"
    ):
        text.text_of(tmp_path / "b.txt")


def test_what_fits_no_page_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Fußgänger\n".encode("cp1252"))
    with pytest.raises(LabelError, match=r"a\.txt: not UTF-8 text \(byte 2\); --label-encoding says what it is"):
        LabelText().text_of(tmp_path / "a.txt")
    assert LabelText("cp1252").text_of(tmp_path / "a.txt") == "Fußgänger\n"
    with pytest.raises(LabelError, match=r"a\.txt: not cp949 text"):
        LabelText("cp949").text_of(tmp_path / "a.txt")


@pytest.mark.parametrize("encoding", ["klingon", "hex", ""])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    texts = {name: text.encode() for name, text in texts_of("yolo", ("CAR", "BUS")).items()}
    with pytest.raises(OptionsError, match="label_encoding: expected auto or an encoding"):
        opened(tmp_path, texts, "yolo", encoding)


@pytest.mark.parametrize(
    ("page", "name"), [("cp949", "승용차"), ("GBK", "轿车"), ("EUC-KR", "버스"), ("utf-16", "버스")]
)
def test_xml_is_read_in_the_page_that_it_declares(tmp_path: Path, page: str, name: str) -> None:
    corners = "<xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax>"
    text = f"<annotation><object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>"
    (tmp_path / "0.xml").write_bytes(f'<?xml version="1.0" encoding="{page}"?>{text}'.encode(page))
    (tmp_path / "0.jpg").write_bytes(jpeg(0))
    assert boxes(open_source(SourceChoice(str(tmp_path)))) == [(name, (10, 20, 30, 40))]


@pytest.mark.parametrize("page", ["hex", "klingon"])
def test_xml_of_no_known_page_is_refused(tmp_path: Path, page: str) -> None:
    (tmp_path / "0.xml").write_text(f'<?xml version="1.0" encoding="{page}"?><annotation/>')
    with pytest.raises(LabelError, match=rf"0\.xml: not well-formed XML: declares the encoding '{page}'"):
        list(xml_elements(tmp_path / "0.xml", ("annotation",)))


def test_names_that_differ_by_case_and_blanks_alone_are_told() -> None:
    told = list(alike_classes(("CAR", "Bus", "car", "Long Truck", "long_truck", "VAN")))
    assert [message.split("found ")[1].split(";")[0] for message in told] == [
        "'CAR' and 'car'",
        "'Long Truck' and 'long_truck'",
    ]
