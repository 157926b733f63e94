"""The ground of a site: carriageway, lane markings, crossings, pavements and verges as colours of ground points."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TILE = 256
WHITE = np.array([214.0, 216.0, 218.0])
YELLOW = np.array([62.0, 168.0, 218.0])


@dataclass(frozen=True)
class Lane:
    """A lane: its middle, metres to the right of the road's axis, and the way its traffic goes."""

    offset_m: float
    direction: int  # 1 away from the camera, -1 towards it
    speed_m_s: float


@dataclass(frozen=True)
class Road:
    """A road along y whose axis is at x = `axis_x + slope * y + bend * y * y`."""

    axis_x: float
    slope: float
    bend: float
    lanes: tuple[Lane, ...]
    lane_width_m: float
    shoulder_m: float
    pavement_m: float  # width of the pavement for pedestrians on either side
    crossing_y: float | None  # middle of a zebra crossing
    side_street_y: float | None  # middle of a street that crosses this one
    side_street_half_m: float
    asphalt: FloatArray  # (3,) BGR
    pavement: FloatArray
    verge: FloatArray
    wear: float  # 0 new to 1 old
    texture_seed: int

    @property
    def half_width_m(self) -> float:
        """From the axis to the edge of the carriageway, shoulder included."""
        return len(self.lanes) * self.lane_width_m / 2 + self.shoulder_m

    def axis(self, y: FloatArray | float) -> FloatArray:
        """The x of the road's axis at y."""
        along = np.asarray(y, float)
        return np.asarray(self.axis_x + self.slope * along + self.bend * along * along)

    def heading(self, y: float, direction: int) -> float:
        """Angle of travel in the ground plane, radians from the x axis towards the y axis."""
        return float(np.arctan2(direction, direction * (self.slope + 2 * self.bend * y)))

    def boundaries(self) -> list[tuple[float, str]]:
        """Lines painted along the road: offset from the axis and kind ('edge', 'dashed', 'centre')."""
        half = len(self.lanes) * self.lane_width_m / 2
        lines = [(-half, "edge"), (half, "edge")]
        for left, right in zip(self.lanes, self.lanes[1:], strict=False):
            kind = "dashed" if left.direction == right.direction else "centre"
            lines.append(((left.offset_m + right.offset_m) / 2, kind))
        return lines

    def colours(self, x: FloatArray, y: FloatArray, distance: FloatArray, pixel_m: FloatArray) -> FloatArray:
        """(H, W, 3) BGR of the ground at x, y (H, W); `pixel_m` = size of a pixel there across the view."""
        noise = NoiseTiles(np.random.default_rng(self.texture_seed))
        across = x - self.axis(y)
        # A pixel covers far more ground along the view than across it.
        along_m = pixel_m * np.clip(distance / 9.0, 1, 40)
        fine = noise.sample(x, y, 0.12, pixel_m * 2)
        medium = noise.sample(x + 40, y, 1.1, along_m)
        coarse = noise.sample(x, y + 90, 6.0, along_m)
        verge = self.verge * (1 + 0.1 * fine + 0.08 * medium + 0.06 * coarse)[..., None]
        verge = verge + (np.clip(coarse, 0, None) * 9)[..., None] * np.array([0.2, 0.7, 1.0])  # dry patches
        ground = self._paved(verge, across, y, fine, medium, pixel_m, along_m)
        on_road = _cover(across, self.half_width_m, pixel_m)
        if self.side_street_y is not None:
            on_side = _cover(y - self.side_street_y, self.side_street_half_m, along_m)
            on_road = np.maximum(on_road, on_side)
        asphalt = self._asphalt(x, y, across, (fine, medium, coarse), noise, along_m)
        asphalt = self._markings(asphalt, across, y, medium, pixel_m, along_m)
        return np.asarray(ground * (1 - on_road[..., None]) + asphalt * on_road[..., None])

    def _paved(
        self, verge: FloatArray, across: FloatArray, y: FloatArray, fine: FloatArray, medium: FloatArray,
        pixel_m: FloatArray, along_m: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """The verge with the pavement and the kerb on it."""
        beyond = np.abs(across) - self.half_width_m
        slabs = self.pavement * (1 + 0.05 * fine + 0.06 * medium)[..., None]
        joint_u = np.minimum(beyond % 0.6, 0.6 - beyond % 0.6)
        joint_y = np.minimum(y % 0.6, 0.6 - y % 0.6)
        joints = np.maximum(_cover(joint_u, 0.02, pixel_m), _cover(joint_y, 0.02, along_m))
        slabs = slabs * (1 - 0.28 * joints)[..., None]
        on_pavement = _cover(beyond - self.pavement_m / 2, self.pavement_m / 2, pixel_m)[..., None]
        ground = verge * (1 - on_pavement) + slabs * on_pavement
        kerb = _cover(beyond - 0.12, 0.13, pixel_m)[..., None]
        gutter = _cover(beyond + 0.1, 0.08, pixel_m)[..., None]
        ground = ground * (1 - kerb) + np.array([176.0, 178.0, 180.0]) * (1 + 0.06 * fine)[..., None] * kerb
        return np.asarray(ground * (1 - 0.35 * gutter))

    def _asphalt(
        self, x: FloatArray, y: FloatArray, across: FloatArray, noises: tuple[FloatArray, FloatArray, FloatArray],
        tiles: "NoiseTiles", along_m: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """Asphalt with tyre tracks, oil down the lanes' middle, patches and cracks."""
        fine, medium, coarse = noises
        tone = 1 + 0.09 * fine + 0.015 * medium + 0.015 * coarse
        for lane in self.lanes:
            inside = np.abs(across - lane.offset_m)
            tone += self.wear * 0.06 * np.exp(-(((inside - 0.8) / 0.3) ** 2))
            tone -= self.wear * (0.08 + 0.02 * medium) * np.exp(-((inside / 0.35) ** 2))
        tone *= 0.9 + 0.1 * _cover(across, self.half_width_m - self.shoulder_m, along_m)  # shoulders are older
        rng = np.random.default_rng(self.texture_seed + 1)
        for _ in range(int(2 + 7 * self.wear)):
            lane = self.lanes[int(rng.integers(len(self.lanes)))]
            middle_y, half_y, half_x = rng.uniform(18, 90), rng.uniform(0.6, 5), rng.uniform(0.4, 1.5)
            inside = (np.abs(across - lane.offset_m - rng.uniform(-0.5, 0.5)) < half_x) & (
                np.abs(y - middle_y) < half_y
            )
            tone = np.where(inside, tone * rng.uniform(0.78, 0.93), tone)
        cracks = np.abs(tiles.sample(x + 11, y * 0.6 + 7, 2.6, along_m)) < 0.035 * self.wear
        tone = np.where(cracks & (along_m < 0.35), tone * 0.82, tone)
        return np.asarray(self.asphalt * tone[..., None])

    def _markings(
        self,
        asphalt: FloatArray,
        across: FloatArray,
        y: FloatArray,
        medium: FloatArray,
        pixel_m: FloatArray,
        along_m: FloatArray,
    ) -> FloatArray:
        """Asphalt with lines, zebra crossing and stop lines; worn paint lets the asphalt through."""
        worn = np.clip(0.93 - 0.35 * self.wear * np.clip(medium + 0.3, 0, 2), 0.15, 1)
        outside_junction = np.ones_like(y)
        if self.side_street_y is not None:
            outside_junction -= _cover(y - self.side_street_y, self.side_street_half_m + 1.0, along_m)
        if self.crossing_y is not None:
            outside_junction *= 1 - _cover(y - self.crossing_y, 3.2, along_m)
        for offset, kind in self.boundaries():
            if kind == "centre":
                both = np.maximum(
                    _cover(across - offset - 0.14, 0.06, pixel_m), _cover(across - offset + 0.14, 0.06, pixel_m)
                )
                paint, colour = both, YELLOW
            else:
                paint, colour = _cover(across - offset, 0.075, pixel_m), WHITE
            if kind == "dashed":
                paint = paint * _cover((y % 8.0) - 1.5, 1.5, along_m)
            cover = (paint * worn * outside_junction)[..., None]
            asphalt = asphalt * (1 - cover) + colour * cover
        if self.crossing_y is not None:
            half = len(self.lanes) * self.lane_width_m / 2
            bars = _cover((across % 0.9) - 0.45, 0.23, pixel_m) * _cover(y - self.crossing_y, 1.9, along_m)
            cover = (bars * _cover(across, half, pixel_m) * worn)[..., None]
            asphalt = asphalt * (1 - cover) + WHITE * cover
            for lane in self.lanes:
                stop = _cover(y - self.crossing_y + lane.direction * 3.0, 0.2, along_m)
                cover = (stop * _cover(across - lane.offset_m, self.lane_width_m / 2 - 0.15, pixel_m) * worn)[..., None]
                asphalt = asphalt * (1 - cover) + WHITE * cover
        return asphalt


class NoiseTiles:
    """Smooth repeating noise over the ground, mean 0 and deviation about 1, grains of two sizes."""

    def __init__(self, rng: np.random.Generator) -> None:
        tile = np.zeros((TILE, TILE), np.float32)
        for blur in (0.9, 2.5):
            raw = np.tile(rng.standard_normal((TILE, TILE)).astype(np.float32), (2, 2))
            middle = slice(TILE // 2, TILE // 2 + TILE)  # away from the edges: the tile repeats without a seam
            tile += blur * cv2.GaussianBlur(raw, (0, 0), blur)[middle, middle]
        self._tile = (tile - tile.mean()) / tile.std()

    def sample(self, x: FloatArray, y: FloatArray, cell_m: float, pixel_m: FloatArray) -> FloatArray:
        """(H, W) noise whose grains are about `cell_m` large; it fades where a pixel is larger than a grain."""
        map_x, map_y = (x / cell_m % TILE).astype(np.float32), (y / cell_m % TILE).astype(np.float32)
        values = cv2.remap(self._tile, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(values * np.clip(1.5 * cell_m / pixel_m, 0, 1), float)


def _cover(offset: FloatArray, half_width: float, pixel_m: FloatArray) -> FloatArray:
    """Share of a pixel that a stripe of `half_width` covers, the pixel's middle being `offset` from the stripe's."""
    low = np.maximum(offset - pixel_m / 2, -half_width)
    high = np.minimum(offset + pixel_m / 2, half_width)
    return np.asarray(np.clip(high - low, 0, None) / pixel_m)
