"""Detection: Darknet's own boxes on real pictures, COCO AP with real weights, refusals."""

import ctypes
import dataclasses
import functools
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from traffic_yolo.boxes import cxcywh_to_xyxy
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.pytorch import PyTorchRuntime
from traffic_yolo.detection.detect import Detector, detect, read_rgb
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.matching import match

SMALL_CFG = """
[net]
width=64
height=64
channels=3

[convolutional]
filters=8
size=3
stride=32
pad=1
activation=leaky
batch_normalize=1

[convolutional]
filters=14
size=1
stride=1
pad=0
activation=linear

[yolo]
mask=0,1
anchors=10,14, 23,27
classes=2
num=2
"""


SLOW = pytest.mark.skipif(
    os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="164 pictures once more: TRAFFIC_YOLO_SLOW=1 runs it"
)


@dataclass(frozen=True)
class FakePicture:
    image_id: int
    path: Path
    width: int
    height: int


def protocol(network_hw: tuple[int, int], resize: str = "stretch", floor: float = 0.001) -> Protocol:
    return Protocol("c" * 64, "w" * 64, network_hw, resize, "f" * 64 + "/test", confidence_floor=floor)


@pytest.fixture
def small_network() -> Network:
    from traffic_yolo.darknet.cfg import Cfg

    return Network.from_cfg(Cfg.parse(SMALL_CFG), seed=1)


def pictures_in(folder: Path, sizes_wh: list[tuple[int, int]]) -> list[FakePicture]:
    rng = np.random.default_rng(0)
    pictures = []
    for number, (width, height) in enumerate(sizes_wh, start=1):
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        pictures.append(FakePicture(number, path, width, height))
    return pictures


@pytest.mark.many(1)
@pytest.mark.reference
@pytest.mark.parametrize(("picture", "letter"), [("dog", False), ("person", False), ("dog", True)])
def test_boxes_of_real_weights_are_those_of_darknet(reference: Path, picture: str, letter: bool) -> None:
    network = Network.from_cfg(reference / "weights" / "yolo-fastest-1.1.cfg")
    network.load_weights(reference / "weights" / "yolo-fastest-1.1.weights")
    path = reference / "images" / f"{picture}.jpg"
    height, width = cv2.imread(str(path)).shape[:2]
    with np.load(reference / "golden" / "real" / f"yolo-fastest-1.1-{picture}{'-letter' * letter}.npz") as golden:
        boxes, scores = golden["det_t0.005_pix_box"], golden["det_t0.005_pix_prob"]
    names = tuple((reference / "weights" / "coco.names").read_text().split("\n")[:80])
    raw = detect(
        network,
        [FakePicture(1, path, width, height)],
        classes=names,
        protocol=protocol((320, 320), "letterbox" if letter else "stretch", 0.005),
    )
    expected = scores.max(axis=1) > 0  # Darknet keeps boxes whose objectness alone is above the threshold
    # OpenCV decodes JPEG a shade differently from Darknet's stb_image: a box at the threshold may come or go.
    strong = scores.max(axis=1) > 0.02
    assert abs(len(raw.objectness) - expected.sum()) <= 3
    by_score = np.argsort(-raw.class_scores_of(slice(None)).max(axis=1), kind="stable")[: strong.sum()]
    order = np.argsort(-scores.max(axis=1), kind="stable")[: strong.sum()]
    found = raw.boxes_xyxy[by_score]
    for row, box in zip(order, cxcywh_to_xyxy(boxes[order, :4]), strict=True):
        nearest = np.abs(found - box).max(axis=1).argmin()
        np.testing.assert_allclose(found[nearest], box, atol=1.0)
        np.testing.assert_allclose(raw.class_scores_of(slice(None))[by_score[nearest]], scores[row], atol=0.02)


@pytest.fixture(scope="module")
def real_truth(reference: Path) -> GroundTruth:
    path = reference / "coco" / "instances_val.json"
    return read_ground_truth(path, [category["name"] for category in json.loads(path.read_text())["categories"]])


@pytest.fixture(scope="module")
def real_raw(reference: Path, real_truth: GroundTruth) -> Callable[[str], RawDetections]:
    """Raw detections of COCO-trained weights on the reference pictures, by resize rule."""
    network = Network.from_cfg(reference / "weights" / "yolo-fastest-1.1.cfg")
    network.load_weights(reference / "weights" / "yolo-fastest-1.1.weights")
    folder = reference / "coco" / "images" / "val2017"
    pictures = [
        FakePicture(image["id"], folder / image["file_name"], image["width"], image["height"])
        for image in json.loads((reference / "coco" / "instances_val.json").read_text())["images"]
    ]

    @functools.cache
    def found(resize: str) -> RawDetections:
        return detect(network, pictures, classes=real_truth.classes, protocol=protocol((320, 320), resize))

    return found


AS_VALID = NmsOptions(0.001, 0.6, "greedynms", max_detections=10_000)  # what `darknet detector valid` does


@pytest.mark.long
@pytest.mark.reference
@pytest.mark.parametrize(
    ("resize", "name"),
    [("stretch", ""), pytest.param("letterbox", "-letterbox", marks=SLOW)],
)
def test_ap_of_real_weights_on_real_pictures_is_that_of_darknet(
    real_raw: Callable[[str], RawDetections], real_truth: GroundTruth, reference: Path, resize: str, name: str
) -> None:
    metrics = evaluate_coco(real_truth, non_maximum_suppression(real_raw(resize), AS_VALID))
    expected = json.loads(
        (reference / "golden" / "valid" / f"coco-val.yolo-fastest-1.1{name}.cocoeval.json").read_text()
    )
    assert metrics.ap == pytest.approx(expected[0], abs=1e-3)
    assert metrics.ap50 == pytest.approx(expected[1], abs=1e-3)


@pytest.mark.long
@pytest.mark.reference
def test_arrays_are_half_precision_only_where_no_metric_notices(
    real_raw: Callable[[str], RawDetections], real_truth: GroundTruth
) -> None:
    raw = real_raw("stretch")

    def numbers(changed: RawDetections) -> np.ndarray:
        twelve = evaluate_coco(real_truth, non_maximum_suppression(changed, AS_VALID)).twelve()
        point = match(non_maximum_suppression(changed, NmsOptions(0.25, 0.45)), real_truth)
        return np.array([*twelve.values(), *np.bincount(point.outcomes + 1, minlength=3)], np.float64)

    as_is = numbers(raw)
    halved = {
        name: np.abs(
            numbers(dataclasses.replace(raw, **{name: getattr(raw, name).astype(np.float16).astype(np.float32)}))
            - as_is
        ).max()
        for name in ("boxes_xyxy", "scores")
    }
    assert halved["boxes_xyxy"] > 1e-6
    assert halved["scores"] > 1e-6
    # Not even without objectness would anything change: a score has it in it already.
    nothing = dataclasses.replace(raw, objectness=np.zeros_like(raw.objectness))
    np.testing.assert_array_equal(numbers(nothing), as_is)
    assert (raw.scores.dtype, raw.boxes_xyxy.dtype, raw.objectness.dtype) == (np.float32, np.float32, np.float16)


@pytest.mark.long
@pytest.mark.reference
def test_threads_do_not_move_a_bit(real_raw: Callable[[str], RawDetections], reference: Path) -> None:
    kept = torch.get_num_threads()
    network = Network.from_cfg(reference / "weights" / "yolo-fastest-1.1.cfg")
    network.load_weights(reference / "weights" / "yolo-fastest-1.1.weights")
    path = reference / "images" / "dog.jpg"
    height, width = cv2.imread(str(path)).shape[:2]
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            shown = [FakePicture(1, path, width, height)]
            classes = real_raw("stretch").classes
            found.append(detect(network, shown, classes=classes, protocol=protocol((320, 320))))
    finally:
        torch.set_num_threads(kept)
    for name in ("boxes_xyxy", "score_offsets", "score_class_ids", "scores"):
        np.testing.assert_array_equal(*(getattr(each, name) for each in found))


def test_batches_do_not_change_what_is_found(small_network: Network, tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path, [(100, 60), (64, 64), (50, 90), (120, 40), (33, 35)])
    one = detect(
        small_network, pictures, classes=("a", "b"), protocol=protocol((64, 64)), options=InferenceOptions(batch=1)
    )
    all_at_once = detect(
        small_network, pictures, classes=("a", "b"), protocol=protocol((64, 64)), options=InferenceOptions(batch=4)
    )
    assert one.image_ids.tolist() == [1, 2, 3, 4, 5]
    assert one.image_hw.tolist() == [[60, 100], [64, 64], [90, 50], [40, 120], [35, 33]]
    np.testing.assert_array_equal(one.offsets, all_at_once.offsets)
    np.testing.assert_allclose(one.boxes_xyxy, all_at_once.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(one.class_scores_of(slice(None)), all_at_once.class_scores_of(slice(None)), atol=1e-6)


def test_batches_are_their_own_however_slowly_they_are_taken(small_network: Network, tmp_path: Path) -> None:
    """The memory of a batch's input is used again while later batches are read and computed by other threads."""
    pictures = pictures_in(tmp_path, [(64, 64)] * 13)
    detector = opened(small_network, batch=1)
    alone = [next(detector.run([picture])) for picture in pictures]
    taken = []
    for raw in opened(small_network, batch=1).run(iter(pictures)):
        time.sleep(0.02)  # all that can be read and computed meanwhile is
        taken.append(raw)
    assert len(taken) == len(pictures)
    for one, other in zip(alone, taken, strict=True):
        assert (one.image_ids == other.image_ids).all()
        assert (one.boxes_xyxy == other.boxes_xyxy).all()
        assert (one.scores == other.scores).all()


def test_a_picture_that_fails_late_is_raised_after_the_batches_before_it(
    small_network: Network, tmp_path: Path
) -> None:
    pictures = pictures_in(tmp_path, [(64, 64)] * 9)
    pictures[6].path.write_bytes(b"no picture")
    stream = opened(small_network, batch=2).run(iter(pictures))
    assert [len(next(stream).image_ids) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(DatasetError, match=pictures[6].path.name):
        next(stream)


def test_no_thread_is_left_where_the_caller_stops_early(small_network: Network, tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path, [(64, 64)] * 9)
    before = {thread.name for thread in threading.enumerate() if not thread.name.startswith("pictures")}
    stream = opened(small_network, batch=2).run(iter(pictures))
    next(stream)
    stream.close()
    assert {thread.name for thread in threading.enumerate() if not thread.name.startswith("pictures")} <= before


def test_the_network_s_thread_has_pytorch_s_number_of_threads(
    small_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = list((Path(torch.__file__).parent / "lib").glob("libgomp*"))
    if not libraries:
        pytest.skip("this PyTorch has no GNU OpenMP of its own")
    found = []

    def batch_of_none(self: PyTorchRuntime, batch: torch.Tensor) -> list[torch.Tensor]:
        found.append((threading.current_thread().name, ctypes.CDLL(str(libraries[0])).omp_get_max_threads()))
        return [torch.zeros(len(batch), 14, 2, 2)]

    monkeypatch.setattr(PyTorchRuntime, "_run_batch", batch_of_none)
    kept = torch.get_num_threads()
    torch.set_num_threads(3)  # what no thread begins with
    try:
        list(opened(small_network, batch=1).run(pictures_in(tmp_path, [(64, 64)] * 4)))
    finally:
        torch.set_num_threads(kept)
    assert [number for _, number in found] == [3] * 4
    assert all(name.startswith("network") for name, _ in found)


def opened(network: Network, *, batch: int) -> Detector:
    return Detector.open(
        network,
        classes=("a", "b"),
        protocol=protocol((64, 64)),
        options=InferenceOptions(batch=batch),
        num_pictures=9,
    )


def test_only_scores_above_the_floor_stay(small_network: Network, tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path, [(64, 64)])
    low = detect(small_network, pictures, classes=("a", "b"), protocol=protocol((64, 64), floor=0.0))
    assert low.boxes_xyxy.shape == (8, 4)  # 2 x 2 cells, 2 anchors
    floor = float(np.median(low.class_scores_of(slice(None))))
    high = detect(small_network, pictures, classes=("a", "b"), protocol=protocol((64, 64), floor=floor))
    expected = np.where(low.class_scores_of(slice(None)) > np.float32(floor), low.class_scores_of(slice(None)), 0)
    np.testing.assert_array_equal(high.class_scores_of(slice(None)), expected[expected.any(axis=1)])
    assert (high.class_scores_of(slice(None)).max(axis=1) > 0).all()


def test_the_network_that_was_given_stays_trainable(small_network: Network, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in small_network.state_dict().items()}
    detect(small_network, pictures_in(tmp_path, [(64, 64)]), classes=("a", "b"), protocol=protocol((64, 64)))
    assert not small_network.is_fused
    assert all(torch.equal(before[name], tensor) for name, tensor in small_network.state_dict().items())


def test_no_pictures_give_empty_detections(small_network: Network) -> None:
    raw = detect(small_network, [], classes=("a", "b"), protocol=protocol((64, 64)))
    assert len(raw) == 0
    assert raw.class_scores_of(slice(None)).shape == (0, 2)


def test_red_comes_first(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 4, 3), (0, 0, 255), np.uint8))
    assert read_rgb(FakePicture(1, tmp_path / "red.png", 4, 4))[0, 0].tolist() == [255, 0, 0]


def test_pictures_that_contradict_their_label_are_refused(tmp_path: Path) -> None:
    (picture,) = pictures_in(tmp_path, [(64, 48)])
    with pytest.raises(DatasetError, match=r"1\.jpg is 64 x 48 pixels, its label says 64 x 50"):
        read_rgb(dataclasses.replace(picture, height=50))
    with pytest.raises(DatasetError, match=r"picture not found: .*none\.jpg"):
        read_rgb(dataclasses.replace(picture, path=tmp_path / "none.jpg"))
    picture.path.write_bytes(b"no jpeg")
    with pytest.raises(DatasetError, match="picture cannot be decoded"):
        read_rgb(picture)


def test_class_names_that_do_not_fit_are_refused(small_network: Network) -> None:
    with pytest.raises(EvaluationError, match="3 class names for a network of 2 classes"):
        detect(small_network, [], classes=("a", "b", "c"), protocol=protocol((64, 64)))
