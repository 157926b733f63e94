"""Boxes are exact: the geometry's bounds are the bounds of the pixels that an object changes."""

import numpy as np
import pytest

from traffic_yolo.atm.camera import Camera
from traffic_yolo.atm.layouts import load_layout
from traffic_yolo.atm.synthetic import people
from traffic_yolo.atm.synthetic.light import LIGHTS, make_light
from traffic_yolo.atm.synthetic.mesh import Mesh, MeshBuilder
from traffic_yolo.atm.synthetic.painter import Pose, lay, paint, view
from traffic_yolo.atm.synthetic.traffic import MESHES

CAMERA = Camera((960, 540), 1080.0, 1080.0, 480.0, 275.0, -0.05, 0.005, 9.0, 11.0, 0.0)
CLASSES = [*MESHES, "PEDESTRIAN"]


def mesh_of(class_name: str, rng: np.random.Generator) -> Mesh:
    return people.pedestrian(rng)[int(rng.integers(4))] if class_name == "PEDESTRIAN" else MESHES[class_name](rng)


@pytest.mark.many(2)
@pytest.mark.parametrize("class_name", CLASSES)
def test_the_box_is_the_bounds_of_the_changed_pixels(class_name: str) -> None:
    rng = np.random.default_rng(CLASSES.index(class_name))
    light = make_light("overcast", rng)
    for _ in range(12):
        mesh = mesh_of(class_name, rng)
        pose = Pose(rng.uniform(-5, 5), rng.uniform(24, 60), rng.uniform(0, 2 * np.pi))
        seen = view(mesh, pose, CAMERA)
        assert seen is not None
        patch = paint(seen, CAMERA, light)
        assert patch is not None
        background = np.full((540, 960, 3), (255, 0, 255), np.uint8)
        picture = background.copy()
        lay(picture, patch)
        # A pixel counts where the object covers a third of it or more: its bounds are then right to half a pixel.
        covered = np.abs(picture.astype(int) - background).max(axis=2) > 64
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        np.testing.assert_allclose(found, seen.clipped_box((960, 540)), atol=1.3)


@pytest.mark.parametrize("class_name", CLASSES)
def test_sizes_are_near_the_nominal_ones(class_name: str) -> None:
    nominal = load_layout("atm-2024").nominal_sizes_m[class_name]
    rng = np.random.default_rng(0)
    sizes = np.array([mesh_of(class_name, rng).size for _ in range(20)])
    assert (sizes[:, 0] < nominal[0] * 1.35 + 0.6).all()  # a pedestrian's stride is longer than 0.5 m
    assert (sizes[:, 0] > nominal[0] * 0.7).all()
    np.testing.assert_allclose(sizes[:, 1], nominal[1], atol=0.36)
    assert (sizes[:, 2] > 1.3).all()
    assert (sizes[:, 2] < 4).all()


def test_a_box_of_known_size_lands_where_the_pinhole_puts_it() -> None:
    level = Camera((960, 540), 1000.0, 1000.0, 480.0, 270.0, 0.0, 0.0, 9.0, 0.0, 0.0)
    builder = MeshBuilder()
    builder.box((-1.0, 1.0), (-1.5, 1.5), (8.0, 10.0), (200, 200, 200))
    seen = view(builder.build(), Pose(2.0, 51.0, np.pi / 2), level)  # its near face is at 50 m, 0.5 m to 3.5 m right
    assert seen is not None
    np.testing.assert_allclose(seen.box_xyxy, [480 + 500 / 52, 270 - 20, 480 + 3500 / 50, 270 + 20])


def test_what_is_behind_the_camera_or_beside_the_picture_is_not_seen() -> None:
    mesh = mesh_of("CAR", np.random.default_rng(0))
    assert view(mesh, Pose(0, -20, 0), CAMERA) is None
    assert view(mesh, Pose(60, 40, 0), CAMERA) is None


@pytest.mark.parametrize("condition", LIGHTS)
def test_every_light_leaves_an_object_visible_on_the_road(condition: str) -> None:
    rng = np.random.default_rng(4)
    light = make_light(condition, rng)
    seen = view(mesh_of("BUS", rng), Pose(0, 35, -np.pi / 2), CAMERA)
    assert seen is not None
    patch = paint(seen, CAMERA, light)
    assert patch is not None
    solid = patch.bgra[patch.bgra[..., 3] == 255][:, :3].astype(float)
    assert solid.std() > 12
