"""The last steps of a picture: rain in front of the lens, blur, vignette, gain, noise, and JPEG."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.synthetic.light import Light

Picture = NDArray[np.uint8]
SPARE_PX = 96  # noise and rain are drawn once, larger than the picture, and shifted for each frame
RAIN_STREAKS = 900  # in heavy rain, at 960 x 540


class Sensor:
    """A sensor in one light. Each exposure takes new shifts and gain from the generator it was made with."""

    def __init__(self, image_wh: tuple[int, int], light: Light, rng: np.random.Generator) -> None:
        self._light = light
        self._rng = rng
        width, height = image_wh
        rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        vignette = 255 * (1 - 0.13 * (rows**2 + columns**2))
        self._vignette = cv2.merge([vignette.astype(np.uint8)] * 3)
        # Half of the noise is common to the channels, as demosaicing leaves it.
        shape = (height + SPARE_PX, width + SPARE_PX)
        grey = rng.standard_normal((*shape, 1), dtype=np.float32)
        coloured = rng.standard_normal((*shape, 3), dtype=np.float32)
        self._noise = np.round(light.noise * (0.8 * grey + 0.6 * coloured)).astype(np.int16)
        self._rain = self._draw_rain(shape) if light.rain else None

    def expose(self, picture: Picture) -> Picture:
        """The picture (H, W, 3) as the sensor gives it; a new array."""
        height, width = picture.shape[:2]
        if self._rain is not None:
            streaks = self._shifted(self._rain, height, width)
            picture = cv2.add(picture, cv2.merge([streaks] * 3))
        blur = self._light.blur_px * width / 960 * self._rng.uniform(0.85, 1.2)
        picture = cv2.GaussianBlur(picture, (0, 0), max(blur, 0.2))
        picture = cv2.multiply(picture, self._vignette, scale=self._rng.uniform(0.96, 1.04) / 255)
        noise = self._shifted(self._noise, height, width)
        return cast(Picture, cv2.add(picture, noise, dtype=cv2.CV_8U))

    def _shifted(self, larger: NDArray[np.generic], height: int, width: int) -> NDArray[np.generic]:
        top, left = self._rng.integers(0, SPARE_PX, 2)
        return larger[top : top + height, left : left + width]

    def _draw_rain(self, shape: tuple[int, int]) -> Picture:
        height, width = shape
        streaks = np.zeros(shape, np.uint8)
        scale = width / (960 + SPARE_PX)
        lean = self._rng.uniform(-0.3, 0.3)
        for _ in range(int(RAIN_STREAKS * self._light.rain)):
            x, y = self._rng.uniform(0, width), self._rng.uniform(0, height)
            length = self._rng.uniform(8, 30) * scale
            end = (int(x + lean * length), int(y + length))
            cv2.line(streaks, (int(x), int(y)), end, int(self._rng.uniform(16, 52)), 1, cv2.LINE_AA)
        return cast(Picture, cv2.GaussianBlur(streaks, (0, 0), 0.7))


def encode_jpeg(picture: Picture, quality: int) -> bytes:
    """JPEG bytes of a picture (H, W, 3) BGR."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "OpenCV encodes every uint8 picture"
    return bytes(data.tobytes())
