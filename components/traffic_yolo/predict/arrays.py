"""Pictures as Python programs have them: paths, arrays and PIL images."""

from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.errors import OptionsError
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.storage import existing_path


def picture_of(picture: Any, *, image_id: int, channels: str) -> InputPicture:
    """The picture that a caller handed over; `Model.__call__` says what may be. `channels`: of arrays, "bgr" or "rgb".

    Nothing is guessed: an array of another shape or type, or a PIL image of another mode, raises `OptionsError` with
    the call that makes it one.
    """
    if isinstance(picture, str | Path):
        path = existing_path(picture, what="picture")
        return InputPicture.of_file(path, image_id=image_id, name=path.stem)
    name = f"picture {image_id}"
    if hasattr(picture, "mode") and hasattr(picture, "convert"):  # PIL, which need not be installed
        if picture.mode not in ("RGB", "L"):
            raise OptionsError(
                f"{name}: expected a PIL image of mode RGB or L, found {picture.mode}; convert it as fits its content, "
                f"by .convert('RGB')"
            )
        picture, channels = np.asarray(picture.convert("RGB")), "rgb"
    if not isinstance(picture, np.ndarray):
        expected = "a path, an array (H, W, 3) uint8, a PIL image, or a list or iterator of these"
        raise OptionsError(f"{name}: expected {expected}; found {type(picture).__name__}")
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        shape = " x ".join(map(str, picture.shape))
        raise OptionsError(
            f"{name}: expected an array (H, W, 3) uint8, found {shape} {picture.dtype}; convert it first: cv2.cvtColor "
            f"for grey or alpha, a scale to 0 to 255 for other types"
        )
    pixels = np.ascontiguousarray(picture)  # six million bytes of a camera's frame are better not copied
    rgb = pixels if channels == "rgb" else pixels[..., ::-1]
    return InputPicture.of_pixels(rgb, image_id=image_id, name=name, path=Path(name))
