"""What one quick look at a picture tells: a perceptual hash, brightness, contrast; from one decode at an eighth."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.decode import check_pixels, decode_picture, jpeg_grey_eighth, stated_size
from traffic_yolo.dataset.pictures.headers import JPEG_SIGNATURE
from traffic_yolo.errors import DatasetError, PictureError

HASH_BITS = 64
HASH_WH = (9, 8)  # cells of the difference hash; neighbours in a row are compared: 8 bits a row
# Without OpenCV's turn by the EXIF tag: labels count in the stored picture's pixels
EIGHTH = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
WHOLE = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
FLAT_BELOW = 2.0  # standard deviation of the hash's cells, of 255, below which noise alone decides its bits


@dataclass(frozen=True, slots=True)
class PictureLook:
    """`hash` has 64 bits: pictures that look alike differ in few. `brightness` and `contrast` in [0, 255].

    `contrast` is the standard deviation over the hash's 72 cells. A picture that `is_flat` (fog, a covered lens, a
    black night) looks like every other flat one, so its hash tells nothing.
    """

    hash: int
    brightness: float
    contrast: float

    @property
    def is_flat(self) -> bool:
        """Whether the hash is not to be trusted."""
        return self.contrast < FLAT_BELOW


def look_at(data: bytes, *, what: str = "picture") -> PictureLook:
    """Looks at the bytes of a JPEG or PNG.

    Raises `DatasetError`, naming the picture by `what`, where it does not decode, or a JPEG does so with damage.

    The hash is a difference hash: grey, 9 x 8 cells averaged over their area, one bit for each pair of neighbours in a
    row, set where the right one is lighter. JPEG's own scaling spares the inverse transform; the entropy decoding, most
    of the time of a picture rich in detail, remains.
    """
    grey = decode_grey(data, what=what)
    cells = cv2.resize(grey.astype(np.float32), HASH_WH, interpolation=cv2.INTER_AREA)  # (8, 9)
    (_, contrast), (brightness, *_) = (float(each[0, 0]) for each in cv2.meanStdDev(cells)), cv2.mean(grey)
    return PictureLook(difference_hash(cells), brightness, contrast)


def look_once(data: bytes) -> PictureLook | None:
    """`look_at`, None for what does not decode. The last answer is kept for whoever asks next for the same bytes."""
    return look_or_why_not(data)[0]


@lru_cache(maxsize=1)
def look_or_why_not(data: bytes) -> tuple[PictureLook | None, str]:
    """(`look_at`, ""), or (None, why it does not decode: one line that names no picture)."""
    try:
        return look_at(data), ""
    except DatasetError as error:
        return None, str(error).removeprefix("picture: ")


def decode_grey(data: bytes, *, what: str = "picture") -> NDArray[np.uint8]:
    """(h, w) grey pixels at an eighth of the size, or whole where an eighth would be smaller than the hash."""
    size = stated_size(data)
    grey: NDArray[np.uint8] | None
    if size is not None and data.startswith(JPEG_SIGNATURE):
        check_pixels(*size, what=what)
        try:
            grey = jpeg_grey_eighth(data, size, what=what)
        except PictureError as error:
            raise DatasetError(str(error)) from error
    else:
        grey = decode_picture(data, EIGHTH, what=what)
    if grey is not None and (grey.shape[1] < HASH_WH[0] or grey.shape[0] < HASH_WH[1]):
        grey = decode_picture(data, WHOLE, what=what)
    if grey is None:
        raise DatasetError(f"{what}: picture does not decode ({len(data)} bytes); copy it again or remove it")
    return grey


def difference_hash(cells: NDArray[np.floating]) -> int:
    """64 bits of cells (8, 9), row by row from the most significant: set where the right neighbour is lighter."""
    bits = cells[:, 1:] > cells[:, :-1]  # (8, 8)
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def hash_distance(a: int, b: int) -> int:
    """How many of the bits of two hashes differ."""
    return (a ^ b).bit_count()
