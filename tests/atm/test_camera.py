"""The camera against OpenCV's own projection, and its way back to the ground."""

import dataclasses

import cv2
import numpy as np
import pytest

from traffic_yolo.atm.camera import Camera

CAMERA = Camera((960, 540), 1100.0, 1098.0, 470.0, 281.0, -0.06, 0.008, 9.2, 10.5, -14.0)


def test_projection_agrees_with_opencv() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-20, 8, 200), rng.uniform(14, 90, 200), rng.uniform(0, 6, 200)])
    pixels, depth = CAMERA.project(points)
    rotation, _ = cv2.Rodrigues(CAMERA.axes)
    matrix = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    expected, _ = cv2.projectPoints(
        points, rotation, -CAMERA.axes @ CAMERA.position, matrix, np.array([CAMERA.k1, CAMERA.k2, 0, 0, 0])
    )
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-6)
    assert (depth > 10).all()


def test_ground_points_come_back_from_their_pixels() -> None:
    rng = np.random.default_rng(1)
    ground = np.column_stack([rng.uniform(-16, 2, 100), rng.uniform(20, 90, 100), np.zeros(100)])
    pixels, _ = CAMERA.project(ground)
    points, reach = CAMERA.ground_points(pixels)
    np.testing.assert_allclose(points, ground[:, :2], atol=1e-3)
    np.testing.assert_allclose(reach, np.linalg.norm(ground - CAMERA.position, axis=1), atol=1e-3)


def test_pitch_looks_down_and_yaw_to_the_right() -> None:
    level = Camera((960, 540), 1000, 1000, 480, 270, 0, 0, 9, 0, 0)
    ahead = np.array([[0.0, 50.0, 9.0]])
    assert level.project(ahead)[0][0] == pytest.approx([480, 270])
    down = Camera((960, 540), 1000, 1000, 480, 270, 0, 0, 9, 10, 0)
    assert down.project(ahead)[0][0, 1] < 200  # what was in the middle is now above it
    right = Camera((960, 540), 1000, 1000, 480, 270, 0, 0, 9, 0, 10)
    assert right.project(ahead)[0][0, 0] < 400


def test_the_sky_is_infinitely_far() -> None:
    _, reach = CAMERA.ground_points(np.array([[480.0, 5.0]]))
    assert np.isinf(reach).all()


FULL = Camera((1920, 1080), 2119, 2120, 925, 564, -0.32, 0.11, 9.0, 10, 4, 2.5, 3.0, 0.0008, -0.0006, -0.02)


def test_tangential_distortion_roll_and_a_third_radial_term_agree_with_opencv() -> None:
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(-12, 12, 200), rng.uniform(25, 120, 200), rng.uniform(0, 5, 200)])
    camera = dataclasses.replace(FULL, skew=0.0)  # OpenCV has no skew
    rotation, _ = cv2.Rodrigues(camera.axes)
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    bends = np.array([camera.k1, camera.k2, camera.p1, camera.p2, camera.k3])
    expected, _ = cv2.projectPoints(points, rotation, -camera.axes @ camera.position, matrix, bends)
    pixels, _ = camera.project(points)
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-6)
    leaning, _ = FULL.project(points)
    np.testing.assert_allclose(leaning[:, 1], pixels[:, 1], atol=1e-9)
    np.testing.assert_allclose(leaning[:, 0] - pixels[:, 0], FULL.skew * (pixels[:, 1] - FULL.cy) / FULL.fy, atol=1e-9)


def test_ground_points_come_back_through_every_distortion() -> None:
    rng = np.random.default_rng(3)
    ground = np.column_stack([rng.uniform(-10, 10, 100), rng.uniform(25, 110, 100), np.zeros(100)])
    pixels, _ = FULL.project(ground)
    points, _ = FULL.ground_points(pixels)
    np.testing.assert_allclose(points, ground[:, :2], atol=0.01)


def test_roll_turns_the_scene_against_the_camera() -> None:
    level = Camera((960, 540), 1000, 1000, 480, 270, 0, 0, 9, 0, 0)
    rolled = dataclasses.replace(level, roll_deg=10.0)
    to_the_right = np.array([[10.0, 50.0, 9.0]])
    assert level.project(to_the_right)[0][0, 1] == pytest.approx(270)
    assert rolled.project(to_the_right)[0][0, 1] < 270  # clockwise camera: what is on the right goes up
