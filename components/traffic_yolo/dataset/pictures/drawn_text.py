"""Texts on pictures that read on light and on dark ground: with a dark rim, or on a plate.

OpenCV draws a letter stroke by stroke, each smoothed, which is most of the time that a drawn picture takes. Labels are
made of few words, class names and scores, so each word is drawn once and kept.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
FONT = cv2.FONT_HERSHEY_PLAIN
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
LIGHT = 0.179  # luminance above which black letters have more contrast than white ones (WCAG 2.1)
KEPT_WORDS = 1024  # of each colour; some 20 MB with letters of 16 pixels


@dataclass(frozen=True)
class Lettering:
    """`scale`: of OpenCV's plain font, whose letters are 10 pixels high at 1; `line`, `rim`: of strokes, in pixels.

    A `rim` of 0 is none.
    """

    scale: float
    line: int
    rim: int

    def size_wh(self, text: str) -> tuple[int, int]:
        """Width and height of a text in pixels, without its rim."""
        return _size_wh(text, self.scale, self.line)


def write_on_plate(
    image_bgr: Picture, text: str, start_xy: tuple[int, int], colour_bgr: tuple[int, ...], lettering: Lettering
) -> None:
    """As `write_text`, in black or white on a plate of the colour, without a rim."""
    plain = Lettering(lettering.scale, lettering.line, 0)
    (width, height), (x, y) = plain.size_wh(text), start_xy
    around = max(2, round(2 * lettering.scale))
    below = max(around + round(2 * lettering.scale), math.ceil(3 * lettering.scale + lettering.line / 2) + 1)  # of g
    top, left = max(0, y - height - around), max(0, x - around)
    plate = image_bgr[top : max(0, y + below), left : max(0, x + width + around)]
    cv2.rectangle(plate, (0, 0), plate.shape[1::-1], colour_bgr, cv2.FILLED)  # numpy takes ten times as long
    # Nothing shines through a plate: its words are copied, where `write_text` blends them into the picture
    for word, word_x in _words(text, x, plain):
        _paste_opaque(plate, _word_on_plate(word, colour_bgr, plain), (word_x - left, y - top), plain)


def write_text(
    image_bgr: Picture, text: str, start_xy: tuple[int, int], colour_bgr: tuple[int, ...], lettering: Lettering
) -> None:
    """Writes on (H, W, 3) uint8 in place; `start_xy`: where the first letter stands, of which parts may lie outside."""
    x, y = start_xy
    for word, word_x in _words(text, x, lettering):
        _paste(image_bgr, _word(word, colour_bgr, lettering), (word_x, y), lettering)


def _words(text: str, x: int, lettering: Lettering) -> Iterator[tuple[str, int]]:
    """Each word of a text that begins at `x`, and where it begins."""
    position = 0
    for word in text.split(" "):
        before, _ = lettering.size_wh(text[:position])  # a line wider than what stands before
        yield word, x + before - lettering.line
        position += len(word) + 1


def _paste(image_bgr: Picture, word: tuple[Picture, Picture], start_xy: tuple[int, int], lettering: Lettering) -> None:
    kept, ink = word
    where = _meeting(image_bgr, kept, start_xy, lettering)
    if where is not None:
        window, part = where
        cv2.multiply(window, kept[part], dst=window, scale=1 / 255)
        cv2.add(window, ink[part], dst=window)


def _paste_opaque(plate: Picture, word: Picture, start_xy: tuple[int, int], lettering: Lettering) -> None:
    where = _meeting(plate, word, start_xy, lettering)
    if where is not None:
        window, part = where
        window[:] = word[part]


def _meeting(
    image_bgr: Picture, word: Picture, start_xy: tuple[int, int], lettering: Lettering
) -> tuple[Picture, tuple[slice, slice]] | None:
    """The part of a picture that a word covers, and the part of the word that does; None where they do not meet."""
    margin, ascent = _margins(lettering)
    left, top = start_xy[0] - margin, start_xy[1] - ascent
    (height, width), (word_height, word_width) = image_bgr.shape[:2], word.shape[:2]
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + word_width), min(height, top + word_height)
    if x1 >= x2 or y1 >= y2:
        return None
    return image_bgr[y1:y2, x1:x2], (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))


@lru_cache(maxsize=KEPT_WORDS)
def _word(word: str, colour_bgr: tuple[int, ...], lettering: Lettering) -> tuple[Picture, Picture]:
    """What of 255 is kept of the picture, and what is added to it; both (h, w, 3) uint8."""
    margin, ascent = _margins(lettering)
    width, _ = lettering.size_wh(word)
    rim, letters = np.zeros((2, ascent + _descent(lettering) + margin, width + 2 * margin), np.uint8)
    masks = ((rim, lettering.rim, cv2.LINE_8), (letters, lettering.line, cv2.LINE_AA))
    for mask, thickness, kind in masks if lettering.rim else masks[1:]:
        cv2.putText(mask, word, (margin, ascent), FONT, lettering.scale, 255, thickness, kind)
    kept = 255 - np.maximum(rim, letters)
    ink = (letters[..., None] * np.array(colour_bgr, np.uint16) + 127) // 255
    return np.repeat(kept[..., None], 3, axis=2), ink.astype(np.uint8)


@lru_cache(maxsize=KEPT_WORDS)
def _word_on_plate(word: str, colour_bgr: tuple[int, ...], lettering: Lettering) -> Picture:
    """A word in black or white as it looks on a plate of the colour; (h, w, 3) uint8."""
    ink_colour = BLACK if _luminance(colour_bgr) > LIGHT else WHITE
    kept, ink = _word(word, ink_colour, lettering)
    plate = np.empty_like(kept)
    plate[:] = colour_bgr
    return np.asarray(cv2.add(cv2.multiply(plate, kept, scale=1 / 255), ink), np.uint8)


@lru_cache(maxsize=4 * KEPT_WORDS)
def _size_wh(text: str, scale: float, line: int) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(text, FONT, scale, line)
    return width, height


def _luminance(colour_bgr: tuple[int, ...]) -> float:
    """Relative, in [0, 1] (WCAG 2.1)."""
    shares = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour_bgr]
    return sum(share * weight for share, weight in zip(shares, (0.0722, 0.7152, 0.2126), strict=True))


@lru_cache(maxsize=64)
def _margins(lettering: Lettering) -> tuple[int, int]:
    """(pixels beside a text, pixels above its base line) in what is kept of it."""
    margin = lettering.rim + 1
    return margin, lettering.size_wh("Ag")[1] + _descent(lettering) + margin


def _descent(lettering: Lettering) -> int:
    """Pixels below the base line, of g and of brackets, with the rim."""
    return cv2.getTextSize("Ag", FONT, lettering.scale, lettering.rim)[1] + lettering.rim
