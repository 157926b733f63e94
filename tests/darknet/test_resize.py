"""Resizing by Darknet's rule, against a slow float32 loop and against Darknet's own input tensors."""

import cv2
import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.resize import letterbox, letterbox_hw, network_boxes_to_picture, stretch

ONE = np.float32(1)


def slow_line(line, new_size, *, copies_last):
    """One row or column of floats (W, 3) -> (new_size, 3), value by value in float32."""
    size = len(line)
    scale = np.float32(size - 1) / np.float32(new_size - 1) if new_size > 1 else np.float32(0)
    result = []
    for position in range(new_size):
        is_last = position == new_size - 1
        if size == 1 or (is_last and (copies_last or new_size == 1)):
            result.append(line[-1])
            continue
        source = np.float32(position) * scale
        first = int(source)
        share = source - np.float32(first)
        value = (ONE - share) * line[min(first, size - 1)]
        result.append(value if is_last else value + share * line[min(first + 1, size - 1)])
    return np.array(result, np.float32)


def slow_stretch(image, resolution_wh):
    width, height = resolution_wh
    values = (image / 255.0).astype(np.float32)
    rows = np.stack([slow_line(row, width, copies_last=True) for row in values])
    return np.stack([slow_line(rows[:, column], height, copies_last=False) for column in range(width)]).transpose(
        2, 1, 0
    )


@examples(40)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 24), st.integers(1, 24), st.integers(0, 99))
def test_stretch_is_the_slow_float32_loop_to_the_last_bit(height, width, new_height, new_width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    result = stretch(image, (new_width, new_height))
    assert (result.dtype, result.shape, result.flags.c_contiguous) == (np.float32, (3, new_height, new_width), True)
    np.testing.assert_array_equal(result, slow_stretch(image, (new_width, new_height)))
    as_decoded = np.ascontiguousarray(image[..., ::-1])  # blue first, as OpenCV decodes; a view turns it round
    np.testing.assert_array_equal(stretch(as_decoded[..., ::-1], (new_width, new_height)), result)


def test_the_same_size_only_scales_and_reorders():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(stretch(image, (3, 2)), (image / 255).astype(np.float32).transpose(2, 0, 1))


def test_corners_stay_corners():
    image = np.zeros((4, 5, 3), np.uint8)
    image[0, 0], image[-1, -1] = 255, 128
    result = stretch(image, (9, 7))
    assert result[0, 0, 0] == 1
    assert result[2, -1, -1] == np.float32(128 / 255)


@pytest.mark.parametrize(
    ("image_hw", "network_hw", "inside"),
    [
        ((540, 960), (416, 416), (234, 416)),
        ((576, 768), (320, 320), (240, 320)),
        ((537, 960), (416, 416), (232, 416)),  # 537 * 416 // 960 = 232.7 cut
        ((424, 640), (128, 160), (106, 160)),
        ((640, 424), (128, 160), (128, 84)),  # 424 * 128 // 640 = 84.8 cut
        ((1, 9000), (32, 32), (1, 32)),
        ((100, 100), (64, 64), (64, 64)),
    ],
)
def test_letterbox_size_is_the_cut_quotient(image_hw, network_hw, inside):
    assert letterbox_hw(image_hw, network_hw) == inside


def test_letterbox_pastes_the_stretched_picture_on_grey_at_the_cut_half():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    result = letterbox(image, (32, 31))  # inside: 24 x 32, 7 rows left: 3 above, 4 below
    np.testing.assert_array_equal(result[:, 3:27], stretch(image, (32, 24)))
    assert (result[:, :3] == 0.5).all()
    assert (result[:, 27:] == 0.5).all()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match=r"image: expected \(H, W, 3\) uint8, found"):
        stretch(image, (8, 8))


def test_boxes_of_a_stretched_picture_scale_with_it():
    boxes = network_boxes_to_picture(np.float32([[0.5, 0.25, 0.2, 0.5]]), (200, 100), (64, 32), False)
    np.testing.assert_allclose(boxes, [[40, 0, 60, 100]], rtol=1e-6)
    assert network_boxes_to_picture(np.zeros((0, 4)), (200, 100), (64, 32), False).shape == (0, 4)


def test_boxes_of_a_letterboxed_picture_leave_the_border():
    # 540 x 960 in 416 x 416: 234 rows inside, 91 above.
    centre_y = (91 + 117) / 416
    boxes = network_boxes_to_picture(np.float32([[0.5, centre_y, 0.25, 117 / 416]]), (540, 960), (416, 416), True)
    np.testing.assert_allclose(boxes, [[360, 135, 600, 405]], rtol=1e-5)


CASES = [
    ("real/yolo-fastest-1.1-dog", "dog", stretch),
    ("real/yolo-fastest-1.1-dog-letter", "dog", letterbox),
    ("real/yolo-fastest-1.1-person", "person", stretch),
    ("real/yolo-fastest-1.1-giraffe", "giraffe", stretch),
    ("random/yolov4-tiny-person-letter", "person", letterbox),
]


@pytest.mark.many(3)
@pytest.mark.parametrize(("golden", "picture", "resize"), CASES, ids=[case[0] for case in CASES])
def test_input_tensors_are_darknets_to_the_bit(reference, decode_as_darknet, golden, picture, resize):
    expected = np.load(reference / "golden" / f"{golden}.npz")["input"]
    _, height, width = expected.shape
    image = decode_as_darknet(reference / "images" / f"{picture}.jpg")
    np.testing.assert_array_equal(resize(image, (width, height)), expected)


@pytest.mark.many(1)
@pytest.mark.parametrize("picture", ["dog", "giraffe", "person"])
def test_opencv_decodes_a_picture_a_shade_otherwise_than_darknet(reference, decode_as_darknet, picture):
    path = reference / "images" / f"{picture}.jpg"
    ours = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    difference = np.abs(ours - decode_as_darknet(path))
    assert difference.max() <= 3
    assert difference.mean() < 0.12


@pytest.mark.parametrize(("image_h", "new_h", "is_black"), [(480, 240, True), (426, 213, True), (428, 214, False)])
def test_the_last_row_is_black_where_darknets_float32_falls_short_of_it(image_h, new_h, is_black):
    """Found against `detector valid` on letterboxed 640 x 480 pictures, whose scores it moves by up to 0.05."""
    image = np.full((image_h, 640, 3), 200, np.uint8)
    result = stretch(image, (320, new_h))
    assert (result[:, :-1] > 0.78).all()
    assert (result[:, -1] < 0.001).all() == is_black
