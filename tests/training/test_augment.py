"""Augmentation: boxes stay on the objects they belong to."""

import numpy as np
import pytest

from traffic_yolo.training.augment import (
    GREY,
    Augmentation,
    Picture,
    View,
    augmented,
    boxes_in_view,
    change_colours,
    draw,
    jittered_view,
    keep_visible,
    whole_view,
)

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def picture_of(*rectangles: tuple[tuple[int, int, int, int], tuple[int, int, int]]) -> Picture:
    """A 320 x 200 picture with filled rectangles (left, top, right, bottom), class_id = number of the rectangle."""
    image = np.full((200, 320, 3), 120, np.uint8)
    for (left, top, right, bottom), colour in rectangles:
        image[top:bottom, left:right] = colour
    boxes = np.array([box for box, _ in rectangles], np.float32).reshape(-1, 4)
    return Picture(image, boxes, np.arange(len(boxes)), np.zeros(len(boxes), bool))


def bounds_of(image: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Left, top, right, bottom of the pixels that are nearer to the colour than to the background."""
    channel = int(np.argmax(colour))
    others = [k for k in range(3) if k != channel]
    ys, xs = np.nonzero(image[..., channel].astype(int) - image[..., others].max(axis=-1) > 100)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


COLOURED = picture_of(((40, 30, 100, 90), RED), ((180, 20, 230, 140), GREEN), ((60, 120, 160, 180), BLUE))


def test_picture_without_augmentation_is_what_inference_sees() -> None:
    from traffic_yolo.darknet.resize import stretch

    source = np.random.default_rng(0).integers(0, 256, (97, 143, 3)).astype(np.uint8)
    found = augmented(
        [Picture(source, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))],
        (64, 96),
        Augmentation(),
        letterbox=False,
        rng=np.random.default_rng(0),
    )
    difference = np.abs(found.image.transpose(2, 0, 1) / 255 - stretch(source, (64, 96)))
    assert difference.max() < 0.5 / 255 + 1e-5  # a byte's rounding


@pytest.mark.parametrize("seed", range(12))
def test_boxes_stay_on_their_objects(seed: int) -> None:
    augmentation = Augmentation(jitter=0.2, resize=1.3, flip=0.5)
    found = augmented([COLOURED], (256, 160), augmentation, letterbox=False, rng=np.random.default_rng(seed))
    assert len(found.boxes_xyxy) >= 2
    for box, class_id in zip(found.boxes_xyxy, found.class_ids, strict=True):
        assert np.abs(box - bounds_of(found.image, (RED, GREEN, BLUE)[class_id])).max() < 2


@pytest.mark.parametrize("seed", range(8))
def test_boxes_of_a_mosaic_stay_on_their_objects(seed: int) -> None:
    """Each of the four pictures has one object of its own colour; the fourth has none."""
    empty = picture_of()
    sources = [picture_of(((40, 30, 180, 150), colour)) for colour in (RED, GREEN, BLUE)]
    sources = [
        Picture(source.image, source.boxes_xyxy, np.array([number]), source.ignore)
        for number, source in enumerate(sources)
    ]
    augmentation = Augmentation(jitter=0.1, flip=0.5, mosaic=1.0)
    rng = np.random.default_rng(seed)
    found = augmented([*sources, empty], (256, 160), augmentation, letterbox=False, rng=rng)
    assert len(found.boxes_xyxy) > 0
    for box, class_id in zip(found.boxes_xyxy, found.class_ids, strict=True):
        assert np.abs(box - bounds_of(found.image, (RED, GREEN, BLUE)[class_id])).max() < 2


def test_mirror_turns_picture_and_boxes() -> None:
    found = [
        augmented([COLOURED], (320, 200), Augmentation(flip=flip), letterbox=False, rng=np.random.default_rng(1))
        for flip in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(found[1].image, found[0].image[:, ::-1])
    np.testing.assert_allclose(found[1].boxes_xyxy[0], [320 - 100, 30, 320 - 40, 90], atol=1e-3)


def test_letterbox_keeps_the_aspect_on_grey() -> None:
    found = augmented([COLOURED], (320, 320), Augmentation(), letterbox=True, rng=np.random.default_rng(0))
    assert (found.image[:58] == GREY).all()
    assert (found.image[-58:] == GREY).all()
    np.testing.assert_allclose(found.boxes_xyxy[0], [40, 30 + 60, 100, 90 + 60], atol=0.01)


def test_whole_view_of_a_letterbox_has_the_networks_aspect() -> None:
    view = whole_view((200, 320), (320, 320), letterbox=True)
    assert view == View(0.0, -60.0, 320.0, 320.0)


def test_jitter_stays_in_its_range_and_reaches_it() -> None:
    rng = np.random.default_rng(0)
    whole = View(0, 0, 100, 100)
    views = [jittered_view(whole, Augmentation(jitter=0.2), rng) for _ in range(300)]
    lefts = np.array([view.left for view in views])
    rights = np.array([view.left + view.width for view in views])
    assert (np.abs(lefts) <= 20).all()
    assert (np.abs(rights - 100) <= 20).all()
    assert lefts.min() < -18
    assert rights.max() > 118


def test_resize_scales_about_the_centre() -> None:
    rng = np.random.default_rng(0)
    views = [jittered_view(View(0, 0, 100, 50), Augmentation(resize=1.5), rng) for _ in range(200)]
    widths = np.array([view.width for view in views])
    assert widths.min() == pytest.approx(100 / 1.5, abs=2)
    assert widths.max() == pytest.approx(150, abs=2)
    assert [view.left + view.width / 2 for view in views] == pytest.approx([50] * 200)
    assert [view.height / view.width for view in views] == pytest.approx([0.5] * 200)


def test_slivers_are_ignored_and_what_is_gone_is_dropped() -> None:
    boxes = np.array([[10, 10, 30, 30], [-70, 10, 20, 30], [-50, 10, -10, 30], [98, 10, 120, 30]], np.float32)
    source = Picture(np.zeros((50, 99, 3), np.uint8), boxes, np.arange(4), np.array([False] * 4))
    found = keep_visible(source, (0, 0, 99, 50))
    assert found.class_ids.tolist() == [0, 1, 3]  # class 2 lies outside
    assert found.ignore.tolist() == [False, True, True]  # 20 of 90 columns left; 1 of 22
    np.testing.assert_array_equal(found.boxes_xyxy[1], [0, 10, 20, 30])


def test_boxes_thinner_than_a_pixel_are_dropped() -> None:
    source = Picture(
        np.zeros((50, 99, 3), np.uint8),
        np.array([[5, 5, 5.5, 30]], np.float32),
        np.zeros(1, np.int64),
        np.zeros(1, bool),
    )
    assert len(keep_visible(source, (0, 0, 99, 50)).boxes_xyxy) == 0


def test_ignored_boxes_stay_ignored() -> None:
    source = Picture(COLOURED.image, COLOURED.boxes_xyxy, COLOURED.class_ids, np.array([True, False, False]))
    found = augmented([source], (320, 200), Augmentation(), letterbox=False, rng=np.random.default_rng(0))
    assert found.ignore.tolist() == [True, False, False]


def test_drawing_a_part_shows_that_part_of_the_view() -> None:
    view = View(10, 20, 200, 150, mirrored=True)
    whole, part = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80, 3), np.uint8)
    draw(whole, COLOURED, view, (0, 0, 80, 60), (0, 0))
    found = draw(part, COLOURED, view, (30, 10, 70, 50), (5, 15))
    assert np.abs(part[10:50, 30:70].astype(int) - whole[15:55, 5:45]).max() <= 1
    assert (part[:10] == 0).all()
    expected = boxes_in_view(COLOURED.boxes_xyxy, view, (80, 60)) + np.array([25, -5, 25, -5])
    np.testing.assert_allclose(found.boxes_xyxy[0], np.clip(expected, [30, 10] * 2, [70, 50] * 2)[0], atol=1e-4)


def test_colours_keep_greys_grey_and_move_hue_and_brightness() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2], image[2:] = (200, 40, 40), (100, 100, 100)
    augmentation = Augmentation(hue=0.1, saturation=1.5, exposure=1.5)
    change_colours(image, (0, 0, 4, 4), augmentation, np.random.default_rng(3))
    assert np.ptp(image[3, 0].astype(int)) == 0
    assert 100 / 1.5 - 1 <= image[3, 0, 0] <= 151
    assert image[0, 0].tolist() != [200, 40, 40]


def test_colours_without_ranges_are_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    found = image.copy()
    change_colours(found, (0, 0, 8, 8), Augmentation(), np.random.default_rng(0))
    np.testing.assert_array_equal(found, image)


def test_same_seed_gives_the_same_sample() -> None:
    augmentation = Augmentation(jitter=0.2, resize=1.3, flip=0.5, hue=0.1, saturation=1.5, exposure=1.5, mosaic=0.5)
    found = [
        augmented([COLOURED] * 4, (128, 96), augmentation, letterbox=False, rng=np.random.default_rng([7, 1]))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(found[0].image, found[1].image)
    np.testing.assert_array_equal(found[0].boxes_xyxy, found[1].boxes_xyxy)
