"""Light and weather: what each condition does to colours, shadows, lamps and the sensor."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.synthetic.mesh import Material

FloatArray = NDArray[np.float64]
HOURS = {"day": 11, "overcast": 14, "dusk": 19, "rain": 16, "night": 22}  # of the recording's time in its file name


@dataclass(frozen=True)
class Light:
    """One condition. Light is BGR, 1.0 = a white surface comes out white; colours are BGR, 0 to 255."""

    condition: str  # day, overcast, dusk, rain or night
    sun_direction: FloatArray  # (3,) unit vector towards the sun, world axes
    sun: FloatArray  # (3,) light on a surface that faces the sun
    ambient: FloatArray  # (3,) light from everywhere, full on a surface that looks up
    sky_top: FloatArray  # (3,) colour
    sky_horizon: FloatArray  # (3,) colour; distant things fade into it
    visibility_m: float  # distance at which 63 % of a thing's own colour is gone
    shadow: float  # how dark a cast shadow is, 0 to 1; 0 = no sun
    lights_on: bool
    street_lamps: float  # strength of the lamp posts' light, 0 = off
    wetness: float  # 0 dry to 1 mirror
    rain: float  # 0 none to 1 heavy
    noise: float  # standard deviation of the sensor's noise, grey levels
    blur_px: float  # of the lens, at 960 pixels width

    def shade(
        self, colours: FloatArray, normals: FloatArray, materials: NDArray[np.int64], glow: float = 0.0
    ) -> FloatArray:
        """(F, 3) colours of faces in this light; `normals` (F, 3) in the world, `glow` = lamp light around them."""
        facing = np.clip(normals @ self.sun_direction, 0, None)[:, None]  # (F, 1)
        upward = (0.78 + 0.22 * normals[:, 2])[:, None]
        light = self.ambient * upward + self.sun * facing + glow * np.array([0.62, 0.82, 1.0]) * (0.75 + 0.25 * upward)
        shaded = colours * light
        mirror = np.clip(0.16 + 0.34 * normals[:, 2:], 0.08, 0.5)
        glass = (materials == Material.GLASS) | ((materials == Material.WINDOW) & (not self.lights_on))
        sky = (self.sky_top * 0.4 + self.sky_horizon * 0.6) * (0.75 + 0.25 * self.ambient)
        shaded = np.where(glass[:, None], shaded * (1 - mirror) + sky * mirror, shaded)
        if self.lights_on:
            shaded[materials == Material.HEADLIGHT] = (225, 248, 255)
            shaded[materials == Material.TAILLIGHT] = (48, 44, 238)
            lit = materials == Material.WINDOW
            shaded[lit] = np.maximum(shaded[lit], colours[lit] * 0.3 + np.array([74, 104, 116]))
        return np.asarray(np.clip(shaded, 0, 255))

    def fade(self, distance_m: FloatArray | float) -> FloatArray:
        """Share of `sky_horizon` in the colour of things at a distance, 0 to 1."""
        return np.asarray(1 - np.exp(-np.asarray(distance_m, float) / self.visibility_m))


def _bgr(blue: float, green: float, red: float) -> FloatArray:
    return np.array([blue, green, red])


UP = np.array([0.0, 0.0, 1.0])
LIGHTS = {
    light.condition: light
    for light in (
        Light("day", UP, sun=_bgr(0.48, 0.54, 0.58), ambient=_bgr(0.76, 0.71, 0.68), sky_top=_bgr(222, 168, 112),
              sky_horizon=_bgr(235, 222, 206), visibility_m=520, shadow=0.52, lights_on=False, street_lamps=0,
              wetness=0, rain=0, noise=2.2, blur_px=0.45),
        Light("overcast", UP, sun=_bgr(0.08, 0.08, 0.08), ambient=_bgr(0.94, 0.92, 0.9), sky_top=_bgr(206, 200, 192),
              sky_horizon=_bgr(226, 222, 216), visibility_m=340, shadow=0, lights_on=False, street_lamps=0, wetness=0,
              rain=0, noise=2.6, blur_px=0.5),
        Light("dusk", UP, sun=_bgr(0.16, 0.28, 0.44), ambient=_bgr(0.52, 0.44, 0.42), sky_top=_bgr(150, 104, 82),
              sky_horizon=_bgr(132, 164, 216), visibility_m=380, shadow=0.3, lights_on=True, street_lamps=0.12,
              wetness=0, rain=0, noise=4.0, blur_px=0.55),
        Light("rain", UP, sun=_bgr(0.04, 0.04, 0.04), ambient=_bgr(0.78, 0.74, 0.71), sky_top=_bgr(172, 166, 160),
              sky_horizon=_bgr(188, 184, 178), visibility_m=150, shadow=0, lights_on=True, street_lamps=0, wetness=0.6,
              rain=1, noise=3.2, blur_px=0.75),
        Light("night", UP, sun=_bgr(0.03, 0.025, 0.02), ambient=_bgr(0.37, 0.32, 0.29), sky_top=_bgr(38, 26, 20),
              sky_horizon=_bgr(56, 48, 46), visibility_m=420, shadow=0, lights_on=True, street_lamps=0.5, wetness=0,
              rain=0, noise=6.0, blur_px=0.6),
    )
}  # fmt: skip
SUN_ELEVATION_DEG = {"day": (32.0, 62.0), "dusk": (22.0, 30.0)}  # elsewhere clouds or the horizon hide it


def make_light(condition: str, rng: np.random.Generator) -> Light:
    """A light of one of `LIGHTS`, with the sun somewhere else and a little brighter or darker each time."""
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.radians(rng.uniform(*SUN_ELEVATION_DEG.get(condition, (60.0, 60.0))))
    sun_direction = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    light, gain = LIGHTS[condition], rng.uniform(0.92, 1.08)
    return replace(light, sun_direction=sun_direction, sun=light.sun * gain, ambient=light.ambient * gain)
