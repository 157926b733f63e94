"""What the entries of a COCO file may say: one check for labels that are read, for our data sets and for the truth.

A column function takes the values of one key in many entries, and is the definition of what is good there. So millions
of entries are checked at once, and the one that is at fault is named by the same rule.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from traffic_yolo.errors import DatasetError

SECTIONS = ("images", "annotations", "categories")
NUMBERS = frozenset({int, float})
LARGEST_WHOLE = 2**53  # of the whole numbers that a float holds
LARGEST_SIDE = 2**31 - 1  # pixels
NOTHING = type(None)
Column = NDArray[Any]


def box_column(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """(n, 4): lists of four finite numbers; None where one is anything else. Texts, true and null are no numbers."""
    if set(map(type, values)) - {list} or set(map(len, values)) - {4}:
        return None
    if set(map(type, itertools.chain.from_iterable(values))) - NUMBERS:
        return None
    try:
        boxes = np.fromiter(itertools.chain.from_iterable(values), np.float64, 4 * len(values)).reshape(-1, 4)
    except OverflowError:
        return None
    return boxes if np.isfinite(boxes).all() else None


def flag_column(values: Sequence[Any]) -> NDArray[np.bool_] | None:
    """(n,): 0, 1, true and false; null is false. None where one is anything else, such as the text "0"."""
    if set(map(type, values)) - {int, bool, float, NOTHING} or set(values) - {0, 1, None}:
        return None
    return np.array(values, dtype=np.bool_)


def number_column(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """(n,): finite numbers, NaN where there is null; None where one is anything else."""
    if set(map(type, values)) - {int, float, NOTHING}:
        return None
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    return numbers if np.isfinite(numbers).sum() + values.count(None) == len(values) else None


def area_column(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """(n,): numbers from 0, NaN where there is null; None where one is anything else."""
    areas = number_column(values)
    return None if areas is None or (areas < 0).any() else areas


def id_column(values: Sequence[Any]) -> NDArray[np.int64] | None:
    """(n,): whole numbers, 1.0 too; None where one is anything else."""
    types = set(map(type, values))
    if types - NUMBERS:
        return None
    if float in types and not all(abs(value) <= LARGEST_WHOLE and value == int(value) for value in values):
        return None
    try:
        return np.array(list(map(int, values)) if float in types else values, dtype=np.int64)
    except OverflowError:
        return None


def attributes_column(values: Sequence[Any]) -> Sequence[Any] | None:
    """(n,): objects or null; None where one is anything else, or holds what cannot be written again."""
    if set(map(type, values)) - {dict, NOTHING}:
        return None
    return values if not any(values) or is_writable(values) else None


def is_writable(value: Any) -> bool:
    """Whether a value of a JSON file can be written as JSON in UTF-8; half a surrogate pair or 2**64 cannot."""
    try:
        orjson.dumps(value)
    except (TypeError, RecursionError):  # orjson's own error is a TypeError
        return False
    return True


def side_of(value: Any) -> int | None:
    """A width or height in pixels, a whole number above 0 (1920.0 too); None for anything else."""
    good = type(value) in NUMBERS and 0 < value <= LARGEST_SIDE and value == int(value)
    return int(value) if good else None


# key -> what is good there, and its name. Keys that may be missing stand for null.
NEEDED: Mapping[str, tuple[Callable[[Sequence[Any]], Column | Sequence[Any] | None], str]] = {
    "id": (id_column, "a whole number"),
    "image_id": (id_column, "a whole number"),
    "category_id": (id_column, "a whole number"),
    "bbox": (box_column, "four numbers x, y, width, height"),
}
OPTIONAL: Mapping[str, tuple[Callable[[Sequence[Any]], Column | Sequence[Any] | None], str]] = {
    "area": (area_column, "a number from 0"),
    "iscrowd": (flag_column, "0, 1, true or false"),
    "ignore": (flag_column, "0, 1, true or false"),
    "attributes": (attributes_column, "an object"),
}


def why_broken(entry: Any, *, keys: Sequence[str] = (*NEEDED, *OPTIONAL)) -> str:
    """What is wrong with the values of an annotation under `keys`; "" for a good one."""
    if not isinstance(entry, dict):
        return f"expected an object; found {shown(entry)}"
    for key in keys:
        if key not in NEEDED:
            column, expected = OPTIONAL[key]
        elif key not in entry:
            return f"{key} is missing"
        else:
            column, expected = NEEDED[key]
        if column([entry.get(key)]) is None:
            if key == "bbox" and _four_numbers(entry[key]):
                return f"bbox must be finite; found {shown(entry[key])}"
            return f"{key}: expected {expected}; found {shown(entry.get(key))}"
    return ""


def why_no_image(image: Any, *, needed: Sequence[str] = ("id", "file_name", "width", "height")) -> str:
    """What is wrong with an entry of `images`, of which `needed` must be there; "" for a good one."""
    if not isinstance(image, dict):
        return f"an image must be an object; found {shown(image)}"
    where = f"image {shown(image.get('id'))}"
    for key in needed:
        if key not in image:
            return f"{where}: {key} is missing"
    name = image.get("file_name", "-")
    if not isinstance(name, str) or not name or not is_writable(name):
        return f"{where}: file_name: expected a text; found {shown(name)}"
    for key in ("width", "height"):
        if key in image and side_of(image[key]) is None:
            return f"{where}: {key}: expected a whole number above 0; found {shown(image[key])}"
    attributes = image.get("attributes")
    if attributes_column([attributes]) is None:
        return f"{where}: attributes: expected an object; found {shown(attributes)}"
    return ""


def why_no_category(category: Any) -> str:
    """What is wrong with an entry of `categories`; "" for a good one. Its id is not looked at."""
    if not isinstance(category, dict):
        return f"a category must be an object; found {shown(category)}"
    name = category.get("name")
    if "id" not in category or not isinstance(name, str) or not name or not is_writable(name):
        return f"a category needs a number as id, and a text as name; found {shown(category)}"
    return ""


@dataclass(frozen=True)
class CocoEntries:
    """The entries of a COCO file that was checked: M images, G annotations, in the file's order.

    `images`, `annotations` and `categories` are the file's own. `image_ids` (M,) int64, each once. Of the annotations:
    `pictures` (G,) int64, index into `images`; `category_ids` (G,) int64, each among the categories; `boxes_xywh`
    (G, 4) float64, finite, no side below 0; `areas` (G,) float64, NaN where the file has none; `is_crowd` and `ignore`
    (G,) bool.
    """

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    image_ids: NDArray[np.int64]
    pictures: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes_xywh: NDArray[np.float64]
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    ignore: NDArray[np.bool_]

    @classmethod
    def of(cls, content: Any, path: Path, *, image_keys: Sequence[str] = ("id",)) -> "CocoEntries":
        """Checks the content of the COCO file `path`, whose images must have `image_keys`.

        Raises `DatasetError` for the first entry that is not as it should be, naming it, the key, what was expected
        and what was found; for a doubled id; for an annotation of an image or category that the file does not list.
        """
        if not isinstance(content, dict):
            raise DatasetError(f"{path}: not a COCO instances file; expected an object, found {shown(content)}")
        for section in SECTIONS:
            if not isinstance(content.get(section), list):
                raise DatasetError(f"{path}: not a COCO instances file; expected a list under {section!r}")
        images, annotations, categories = (content[section] for section in SECTIONS)
        image_ids = _image_ids(images, path, image_keys)
        known = _category_ids(categories, path)
        columns = _annotation_columns(annotations, path)
        _refuse_double(columns["id"], f"{path}: annotation")
        pictures = _places(image_ids, columns["image_id"])
        in_file = np.isin(columns["category_id"], known)
        for bad, what, key in ((pictures < 0, "an image", "image_id"), (~in_file, "a category", "category_id")):
            if bad.any():
                index = int(np.flatnonzero(bad)[0])
                raise DatasetError(
                    f"{path}: {_named(annotations, index)}: {key}: expected the id of {what} in the file; "
                    f"found {shown(annotations[index][key])}"
                )
        negative = (columns["bbox"][:, 2:] < 0).any(axis=1)
        if negative.any():
            index = int(np.flatnonzero(negative)[0])
            box = shown(annotations[index]["bbox"])
            raise DatasetError(
                f"{path}: {_named(annotations, index)}: bbox: expected width and height from 0; found {box}"
            )
        return cls(
            images,
            annotations,
            categories,
            image_ids,
            pictures,
            columns["category_id"],
            columns["bbox"],
            columns["area"],
            columns["iscrowd"],
            columns["ignore"],
        )


def shown(value: Any) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _four_numbers(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and not set(map(type, box)) - NUMBERS


def _image_ids(images: Sequence[Any], path: Path, image_keys: Sequence[str]) -> NDArray[np.int64]:
    for index, image in enumerate(images):
        if reason := why_no_image(image, needed=image_keys):
            raise DatasetError(f"{path}: images[{index}]: {reason}")
    return _ids([image["id"] for image in images], f"{path}: image")


def _category_ids(categories: Sequence[Any], path: Path) -> NDArray[np.int64]:
    for index, category in enumerate(categories):
        if reason := why_no_category(category):
            raise DatasetError(f"{path}: categories[{index}]: {reason}")
    return _ids([category["id"] for category in categories], f"{path}: category")


def _ids(values: Sequence[Any], what: str) -> NDArray[np.int64]:
    ids = id_column(values)
    if ids is None:
        wrong = next(value for value in values if id_column([value]) is None)
        raise DatasetError(f"{what}: id: expected a whole number; found {shown(wrong)}")
    _refuse_double(ids, what)
    return ids


def _refuse_double(ids: NDArray[np.int64], what: str) -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DatasetError(f"{what} {int(unique[counts > 1][0])}: the id occurs twice; number them anew")


def _annotation_columns(annotations: Sequence[Any], path: Path) -> dict[str, Any]:
    """The checked columns by key."""
    if not set(map(type, annotations)) - {dict}:
        columns: dict[str, Any] = {}
        for key, (column, _) in {**NEEDED, **OPTIONAL}.items():
            columns[key] = column([entry.get(key) for entry in annotations])
            if columns[key] is None:
                break
        else:
            return columns
    index, reason = next((index, reason) for index, entry in enumerate(annotations) if (reason := why_broken(entry)))
    raise DatasetError(f"{path}: {_named(annotations, index)}: {reason}")


def _named(annotations: Sequence[Any], index: int) -> str:
    entry = annotations[index]
    return f"annotations[{index}]" + (
        f" (id {shown(entry['id'])})" if isinstance(entry, dict) and "id" in entry else ""
    )


def _places(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into `ids` (M,) of each wanted one (G,), -1 where it is not there."""
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(ids)
    rows = np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)
    return np.where(ids[order][rows] == wanted, order[rows], -1).astype(np.int64)
