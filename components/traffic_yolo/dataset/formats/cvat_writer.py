"""Writes CVAT XML 1.1 of an image task, so that labels can be corrected by hand in CVAT and read back.

What CVAT has no place for (who drew a box, its confidence, ignore, iscrowd) goes into attributes of the box. CVAT takes
attributes that a task's labels declare: `labels.json` holds the declaration, to paste when the task is made.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

from traffic_yolo.dataset.formats.fields import (
    CONFIDENCE,
    IGNORE,
    IS_CROWD,
    LABEL_SOURCE,
    attribute_text,
    survives_as_text,
)
from traffic_yolo.dataset.records import LABEL_SOURCES, Annotation, Frame
from traffic_yolo.errors import LabelError

RESERVED = (LABEL_SOURCE, CONFIDENCE, IGNORE, IS_CROWD)
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# CVAT's words for the reserved attributes: input type, values
DECLARED = {
    LABEL_SOURCE: ("select", list(LABEL_SOURCES)),
    CONFIDENCE: ("text", [""]),
    IGNORE: ("checkbox", ["false"]),
    IS_CROWD: ("checkbox", ["false"]),
}


class CvatWriter:
    """Writes `annotations.xml` and `labels.json` into a folder; see `base.LabelWriter`. Make it with `cvat_writer`."""

    picture_folder = "images"
    says_frames = False

    def __init__(self, folder: Path, classes: Sequence[str], body: IO[str]) -> None:
        self._folder = folder
        self._classes = tuple(classes)
        self._body = body
        self._attributes: dict[str, None] = dict.fromkeys(RESERVED)
        self._count = 0

    def add(self, frame: Frame) -> list[Annotation | None]:
        """One image. Attributes that would not come back the same are left out; corners go to 1/10,000 pixel."""
        name, read = _quoted(frame.file_name), []
        self._body.write(f'  <image id="{self._count}" name={name} width="{frame.width}" height="{frame.height}">\n')
        self._count += 1
        for annotation in frame.annotations:
            kept = {key: value for key, value in annotation.attributes.items() if _comes_back(key, value)}
            self._attributes |= dict.fromkeys(kept)
            self._body.write(_box(annotation, kept))
            occluded = {"occluded": True} if annotation.attributes.get("occluded") else {}
            read.append(replace(annotation, area=None, attributes={**kept, **occluded}))
        self._body.write("  </image>\n")
        return list(read)

    def complete(self) -> None:
        """Puts the file together behind its head, and writes the declaration of the labels."""
        self._body.flush()
        self._body.seek(0)
        with (self._folder / "annotations.xml").open("w", encoding="utf-8", newline="\n") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            file.write(f"  <meta>\n    <task>\n      <size>{self._count}</size>\n      <mode>annotation</mode>\n")
            file.write("      <labels>\n")
            for name in self._classes:
                file.write(f"        <label><name>{_escaped(name)}</name><type>rectangle</type></label>\n")
            file.write("      </labels>\n    </task>\n  </meta>\n")
            shutil.copyfileobj(self._body, file, 1 << 20)
            file.write("</annotations>\n")
        declared = [_declaration(name) for name in self._attributes]
        labels = [{"name": name, "type": "rectangle", "attributes": declared} for name in self._classes]
        (self._folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def cvat_writer(folder: Path, classes: Sequence[str]) -> Iterator[CvatWriter]:
    """A writer into `folder`; a temporary file in it is gone after the block."""
    path = folder / ".images.xml"
    with path.open("w+", encoding="utf-8", newline="\n") as body:
        try:
            yield CvatWriter(folder, classes, body)
        finally:
            path.unlink()


def _box(annotation: Annotation, attributes: dict[str, Any]) -> str:
    x, y, width, height = annotation.xywh
    corners = zip(("xtl", "ytl", "xbr", "ybr"), (x, y, x + width, y + height), strict=True)
    places = " ".join(f'{name}="{_short(value)}"' for name, value in corners)
    occluded = int(bool(annotation.attributes.get("occluded")))
    source = "manual" if annotation.label_source == "human" else "auto"
    head = (
        f'    <box label={_quoted(annotation.class_name)} source="{source}" occluded="{occluded}" {places} z_order="0">'
    )
    texts = {name: attribute_text(value) for name, value in attributes.items()}
    if annotation.label_source != "human":
        texts[LABEL_SOURCE] = annotation.label_source
    if annotation.confidence is not None:
        texts[CONFIDENCE] = repr(float(annotation.confidence))
    texts |= {IGNORE: "true"} if annotation.ignore else {}
    texts |= {IS_CROWD: "true"} if annotation.is_crowd else {}
    inner = "".join(
        f"      <attribute name={_quoted(name)}>{_escaped(text)}</attribute>\n" for name, text in texts.items()
    )
    return f"{head}\n{inner}    </box>\n"


def _comes_back(name: str, value: Any) -> bool:
    if name in (*RESERVED, "occluded", "") or NOT_XML.search(name) or not survives_as_text({name: value}):
        return False
    return not (isinstance(value, str) and ("\r" in value or NOT_XML.search(value)))


def _declaration(name: str) -> dict[str, Any]:
    kind, values = DECLARED.get(name, ("text", [""]))
    return {"name": name, "mutable": True, "input_type": kind, "default_value": values[0], "values": values}


def _quoted(text: str) -> str:
    _check(text)
    return quoteattr(text)


def _escaped(text: str) -> str:
    _check(text)
    return escape(text)


def _check(text: str) -> None:
    if NOT_XML.search(text):
        raise LabelError(f"{text!r} has a character that XML cannot hold; rename it")


def _short(value: float) -> str:
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
