"""Pairs of class names as one text: `LONG_TRUCK=truck,BUS=bus`."""

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown


def read_class_pairs(text: str, *, option: str, form: str) -> dict[str, str]:
    """Left name -> right name; `form` says what they are, such as new=old. Raises `OptionsError` naming the option."""
    pairs: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        left, separator, right = (part.strip() for part in pair.partition("="))
        if not (left and separator and right) or left in pairs:
            first = form.partition("=")[0]
            raise OptionsError(f"{option}: expected {form} pairs, each {first} class once, found {shown(pair)}")
        pairs[left] = right
    return pairs
