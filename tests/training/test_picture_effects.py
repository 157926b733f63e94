"""Blur, noise and mixup of training pictures against numpy, and how often each comes."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from traffic_yolo.training.augment import Augmentation, Picture, augmented
from traffic_yolo.training.picture_effects import add_noise, blurred

SHARP, BACKGROUND, WHOLE = 0, 1, 2
LEVELS = 1.5  # OpenCV's weights of bytes have 8 bits
LARGE = np.array([[8, 8, 40, 40]], np.float32)  # a side of 32 allows a kernel of 4 pixels
NOTHING = np.zeros((0, 4), np.float32)
NONE_PICTURE = (np.zeros(0, np.int64), np.zeros(0, bool))


def noisy(seed: int = 0) -> NDArray[np.uint8]:
    """(56, 72, 3) of every level, where a blur is seen everywhere."""
    return np.random.default_rng(seed).integers(0, 256, (56, 72, 3)).astype(np.uint8)


def seed_of(first: int, choices: int) -> int:
    """A seed whose generator first draws this one of so many choices."""
    return next(seed for seed in itertools.count() if np.random.default_rng(seed).integers(0, choices) == first)


def gaussian(image: NDArray[np.uint8], kernel: int) -> NDArray[np.float64]:
    """(H, W, 3): by the definition, with OpenCV's deviation for a kernel and mirrored borders.

    Of up to 7 pixels OpenCV has kernels of its own.
    """
    deviation = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    weights = np.exp(-((np.arange(kernel) - kernel // 2) ** 2) / (2 * deviation**2))
    weights = np.array({3: [1, 2, 1], 5: [1, 4, 6, 4, 1], 7: [2, 7, 14, 18, 14, 7, 2]}.get(kernel, weights))
    weights = weights / weights.sum()
    reach = kernel // 2
    padded = np.pad(image.astype(float), [(reach, reach), (reach, reach), (0, 0)], mode="reflect")
    height, width = image.shape[:2]
    rows = sum(w * padded[k : k + height] for k, w in enumerate(weights))
    return np.asarray(sum(w * rows[:, k : k + width] for k, w in enumerate(weights)))


def blurred_by(kind: int, blur: int, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.uint8]:
    image = noisy()
    blurred(image, boxes_xyxy, blur, np.random.default_rng(seed_of(kind, 3)))
    return image


def test_a_third_of_the_pictures_stays_sharp_a_third_is_blurred_outside_the_boxes_a_third_wholly() -> None:
    box = np.s_[8:40, 8:40]
    kinds = []
    for seed in range(600):
        image = noisy()
        blurred(image, LARGE, 4, np.random.default_rng(seed))
        is_sharp = (image == noisy()).all(axis=2)
        kinds.append(SHARP if is_sharp.all() else BACKGROUND if is_sharp[box].all() else WHOLE)
    np.testing.assert_allclose(np.bincount(kinds) / 600, 1 / 3, atol=0.06)


@pytest.mark.parametrize(("blur", "kernel"), [(2, 3), (3, 3), (4, 5), (5, 5)])
def test_a_wholly_blurred_picture_has_the_kernel_that_was_asked_for(blur: int, kernel: int) -> None:
    large = np.array([[0, 0, 56, 56]], np.float32)
    np.testing.assert_allclose(blurred_by(WHOLE, blur, large), gaussian(noisy(), kernel), atol=LEVELS)


@pytest.mark.parametrize("blur", [1, 6])
def test_a_background_is_blurred_by_seventeen_pixels_and_boxes_are_left_out(blur: int) -> None:
    boxes = np.array([[8, 8, 40, 40], [50.9, -5, 90, 12.9]], np.float32)  # one reaches out of the picture
    found, sharp = blurred_by(BACKGROUND, blur, boxes), noisy()
    in_box = np.zeros(sharp.shape[:2], bool)
    in_box[8:40, 8:40] = True
    in_box[0:12, 50:72] = True
    np.testing.assert_array_equal(found[in_box], sharp[in_box])
    np.testing.assert_allclose(found[~in_box], gaussian(sharp, 17)[~in_box], atol=LEVELS)


def test_a_blur_of_one_pixel_is_one_of_the_background_in_both_other_thirds() -> None:
    np.testing.assert_array_equal(blurred_by(WHOLE, 1, LARGE), blurred_by(BACKGROUND, 1, LARGE))
    np.testing.assert_array_equal(blurred_by(SHARP, 1, LARGE), noisy())


@pytest.mark.parametrize(
    ("side", "kernel"),
    [(48, 7), (47, 5), (31, 3), (16, 3), (15, 17), (8, 17), (7, None)],
    ids=lambda value: str(value),
)
def test_the_smallest_box_bounds_the_blur_by_an_eighth_of_its_shorter_side(side: int, kernel: int | None) -> None:
    """A blur of 7: 48 / 8 = 6 is a kernel of 7, 47 / 8 = 5; below 2 pixels only the background, below 1 nothing."""
    boxes = np.array([[4, 0, 60, 56], [4, 4, 4 + side, 56]], np.float32)
    found, sharp = blurred_by(WHOLE, 7, boxes), noisy()
    expected = sharp.astype(float) if kernel is None else gaussian(sharp, kernel)
    if kernel == 17:
        expected[:, 4:60] = sharp[:, 4:60]
    np.testing.assert_allclose(found, expected, atol=LEVELS)


def test_a_picture_without_boxes_is_all_background_or_sharp() -> None:
    np.testing.assert_allclose(blurred_by(BACKGROUND, 5, NOTHING), gaussian(noisy(), 17), atol=LEVELS)
    np.testing.assert_array_equal(blurred_by(WHOLE, 5, NOTHING), noisy())


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize(("deviation", "drawn"), [(1, 1), (20, 20), (127, 127), (200, 127)])
def test_noise_is_normal_and_what_would_darken_is_nothing(deviation: int, drawn: int) -> None:
    """Darknet keeps it in unsigned bytes; so does what is above white end there."""
    seed = seed_of(1, 2)
    rng = np.random.default_rng(seed)
    rng.integers(0, 2)
    noise = np.rint(rng.standard_normal((56, 72, 3), np.float32) * np.float32(drawn)).clip(0, 255)
    found = noisy()
    add_noise(found, deviation, np.random.default_rng(seed))
    np.testing.assert_array_equal(found, np.minimum(noisy() + noise, 255))
    assert (noise > 0).any()


def test_half_of_the_pictures_have_noise_of_the_deviation_asked_for() -> None:
    """The mean of a normal deviate cut at 0 is its deviation over the root of 2 pi."""
    rng = np.random.default_rng(0)
    brightened = []
    for _ in range(400):
        image = np.full((24, 24, 3), 60, np.uint8)
        add_noise(image, 20, rng)
        brightened.append(float(image.mean()) - 60)
    changed = np.array(brightened) != 0
    assert changed.mean() == pytest.approx(0.5, abs=0.08)
    assert np.array(brightened)[changed].mean() == pytest.approx(20 / np.sqrt(2 * np.pi), abs=0.1)


# ---------------------------------------------------------------- mixup, and effects within a training picture


def picture(seed: int, class_id: int, boxes_xyxy: NDArray[np.float32] = LARGE) -> Picture:
    count = len(boxes_xyxy)
    return Picture(noisy(seed), boxes_xyxy, np.full(count, class_id), np.zeros(count, bool))


def test_mixup_is_the_mean_of_two_pictures_with_the_boxes_of_both() -> None:
    """At the source's own size without any change: 72 x 56 to 72 x 56. A half rounds to the even number."""
    second = picture(2, 1, np.array([[30, 20, 60, 50], [0, 0, 10, 10]], np.float32))
    found = augmented(
        [picture(1, 0), second], (72, 56), Augmentation(mixup=1.0), letterbox=False, rng=np.random.default_rng(0)
    )
    np.testing.assert_array_equal(found.image, np.rint((noisy(1) + noisy(2).astype(float)) / 2))
    assert found.boxes_xyxy.tolist() == [[8, 8, 40, 40], [30, 20, 60, 50], [0, 0, 10, 10]]
    assert found.class_ids.tolist() == [0, 1, 1]


@pytest.mark.many(1)
@pytest.mark.parametrize(("mosaic", "mixup"), [(0.0, 0.5), (0.5, 0.25), (0.3, 0.7), (0.0, 0.0)])
def test_pictures_are_made_of_four_of_two_or_of_one_in_the_shares_asked_for(mosaic: float, mixup: float) -> None:
    rng = np.random.default_rng(0)
    asked: list[int] = []

    def source(number: int) -> Picture:
        asked.append(number)
        return picture(number, number, NOTHING)

    made_of = []
    for _ in range(1200):
        asked.clear()
        augmented(source, (32, 32), Augmentation(mosaic=mosaic, mixup=mixup), letterbox=False, rng=rng)
        assert asked == list(range(len(asked)))
        made_of.append(len(asked))
    shares = np.bincount(made_of, minlength=5)[[4, 2, 1]] / 1200
    np.testing.assert_allclose(shares, [mosaic, mixup, 1 - mosaic - mixup], atol=0.04)


def test_each_picture_of_a_mixup_has_its_own_blur_and_noise() -> None:
    """Both are black: where the mean is above 0 one of them has noise."""
    black = Picture(np.zeros((56, 72, 3), np.uint8), NOTHING, *NONE_PICTURE)
    augmentation = Augmentation(mixup=1.0, gaussian_noise=100)
    levels = [
        float(
            augmented(
                [black] * 2, (72, 56), augmentation, letterbox=False, rng=np.random.default_rng(seed)
            ).image.mean()
        )
        for seed in range(200)
    ]
    one = 100 / np.sqrt(2 * np.pi) / 2
    kinds = np.rint(np.array(levels) / one)  # how many of the two
    np.testing.assert_allclose(np.bincount(kinds.astype(int)) / 200, [0.25, 0.5, 0.25], atol=0.08)


@pytest.mark.parametrize("bound", [True, False])
def test_each_part_of_a_mosaic_is_blurred_outside_its_own_boxes(bound: bool) -> None:
    """Chequerboards at their own size: 0 and 255 are sharp, and a blur makes them all nearly 127."""
    rows, columns = np.mgrid[:128, :160]
    board = np.repeat((((rows + columns) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    boxes = np.array([[0, 0, 70, 60], [100, 40, 160, 128]], np.float32)
    parts = [Picture(board, boxes, np.full(2, number), np.zeros(2, bool)) for number in range(4)]
    augmentation = Augmentation(mosaic=1.0, mosaic_bound=bound, blur=1)
    blurs = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rng.random()
        cut_x, cut_y = (int(size * rng.uniform(0.2, 0.8)) for size in (160, 128))
        found = augmented(parts, (160, 128), augmentation, letterbox=False, rng=np.random.default_rng(seed))
        sharp = np.isin(found.image, (0, 255)).all(axis=2)
        for number, region in enumerate(
            itertools.product((slice(0, cut_y), slice(cut_y, 128)), (slice(0, cut_x), slice(cut_x, 160)))
        ):
            in_box = np.zeros((128, 160), bool)
            for left, top, right, bottom in found.boxes_xyxy[found.class_ids == number].astype(int).tolist():
                in_box[top:bottom, left:right] = True
            assert sharp[region][in_box[region]].all()
            background = sharp[region][~in_box[region]]
            assert background.all() or not background.any()
            blurs += not background.all()
    assert blurs / 48 == pytest.approx(2 / 3, abs=0.2)
