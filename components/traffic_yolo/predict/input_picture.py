"""One picture on its way through a network: its name, size and pixels, whatever it came from."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.decode import check_pixels, decode_rgb, stated_size
from traffic_yolo.errors import PictureError


@dataclass
class InputPicture:
    """A picture of `width` x `height` pixels: the bytes of a JPEG, PNG or BMP in `data`, or pixels already.

    `image_id`: its number, from 1. `name`: its path in what is written, without a suffix. `path`: the file that it is
    of; `source`: the same as text, or a stream's address. `frame`: the number of a video's frame, from 0, or of a
    recording's scan; None for a picture file. `time_s`: where the frame is in its video.
    """

    image_id: int
    name: str
    path: Path
    width: int
    height: int
    data: bytes = b""
    frame: int | None = None
    time_s: float | None = None
    pixels: NDArray[np.uint8] | None = None
    source: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.source = self.source or str(self.path)

    @classmethod
    def of_bytes(cls, data: bytes, *, image_id: int, name: str, path: Path, frame: int | None = None) -> "InputPicture":
        """A picture whose header says its size; `PictureError` where it is no JPEG, PNG or BMP."""
        size = stated_size(data)
        if size is None:
            what = _named(path, frame)
            raise PictureError(f"{what}: expected a JPEG, PNG or BMP, found something else, or its beginning only")
        return cls(image_id, name, path, *size, data=data, frame=frame)

    @classmethod
    def of_file(cls, path: Path, *, image_id: int, name: str) -> "InputPicture":
        """A picture file; `PictureError` where it cannot be read."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PictureError(f"picture cannot be read: {path}: {error.strerror}", reason="unreadable") from error
        return cls.of_bytes(data, image_id=image_id, name=name, path=path)

    @classmethod
    def of_pixels(
        cls,
        pixels: NDArray[np.uint8],
        *,
        image_id: int,
        name: str,
        path: Path,
        frame: int | None = None,
        time_s: float | None = None,
        source: str = "",
    ) -> "InputPicture":
        """A picture of (H, W, 3) uint8 RGB, which may be `bgr[..., ::-1]`: then it is never copied."""
        height, width = pixels.shape[:2]
        check_pixels(width, height, what=_named(source or path, frame))
        return cls(image_id, name, path, width, height, frame=frame, time_s=time_s, pixels=pixels, source=source)

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as stored, decoded once: an EXIF orientation is not applied, as in `detect`.

        Grey, CMYK, 16 bits and alpha become RGB as `detect` makes them RGB (alpha is dropped). Raises `PictureError`
        for a damaged picture, `DatasetError` for one of more pixels than the limit.
        """
        with self._lock:
            if self.pixels is None:
                what = _named(self.source, self.frame)
                try:
                    self.pixels = decode_rgb(self.data, what=what)
                except PictureError as error:
                    _, _, reason = str(error).partition("again (")
                    because = f": {reason.removesuffix(')')}" if reason else ""
                    raise PictureError(f"{what}: the picture is damaged and cannot be decoded{because}") from error
            return self.pixels

    def bgr(self) -> NDArray[np.uint8]:
        """The same (H, W, 3) uint8 BGR, as OpenCV has it: a video's frame as it was decoded, else a copy."""
        pixels = self.rgb()
        if pixels.strides[2] < 0:
            return pixels[..., ::-1]
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


def _named(path: Path | str, frame: int | None) -> str:
    return str(path) if frame is None else f"{path} frame {frame}"
