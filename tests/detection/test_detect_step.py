"""The command `detect`: shards and processes give the bytes of one run; what cannot be merged is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from examples import slow

from traffic_yolo.detection.detect_options import DetectOptions, parse_shard
from traffic_yolo.detection.detect_step import detect_file
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.merge import merge_detections
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError


@pytest.fixture(scope="module")
def whole(untrained_model: Path, small_data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw detections of the training split, by one process."""
    out = tmp_path_factory.mktemp("detections") / "whole.npz"
    detect_file(untrained_model, small_data_set, "train", out)
    return out


def shards(model: Path, data_set: Path, folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{part}.npz" for part in range(1, count + 1)]
    for part, path in enumerate(paths, start=1):
        shard, inference = DetectOptions(shard=f"{part}/{count}"), InferenceOptions(batch=part)
        detect_file(model, data_set, "train", path, shard, inference)
    return paths


@pytest.mark.parametrize("count", [2, 5])
def test_merged_shards_are_the_single_run_byte_for_byte(
    untrained_model: Path, small_data_set: Path, whole: Path, tmp_path: Path, count: int
) -> None:
    parts = shards(untrained_model, small_data_set, tmp_path, count)
    assert len(RawDetections.load(whole)) == 3
    assert sum(len(RawDetections.load(part)) for part in parts) == 3
    merge_detections(parts[::-1], tmp_path / "merged.npz")
    assert (tmp_path / "merged.npz").read_bytes() == whole.read_bytes()


@slow
def test_processes_give_the_single_run_byte_for_byte(
    untrained_model: Path, small_data_set: Path, whole: Path, tmp_path: Path
) -> None:
    inference = InferenceOptions(processes=2)
    detect_file(untrained_model, small_data_set, "train", tmp_path / "out.npz", inference=inference)
    assert (tmp_path / "out.npz").read_bytes() == whole.read_bytes()


def test_onnxruntime_finds_the_same_and_says_so(
    untrained_model: Path, small_data_set: Path, whole: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    inference = InferenceOptions(runtime="onnxruntime")
    found = detect_file(untrained_model, small_data_set, "train", tmp_path / "onnx.npz", inference=inference)
    expected = RawDetections.load(whole)
    assert (found.protocol.runtime, expected.protocol.runtime) == ("onnxruntime", "pytorch")
    strong = [np.sort(each.scores)[-50:] for each in (found, expected)]
    np.testing.assert_allclose(*strong, atol=1e-4)
    with pytest.raises(EvaluationError, match="different protocols: runtime is pytorch and onnxruntime"):
        RawDetections.concatenate([expected, found])


def test_shards_that_do_not_make_a_whole_are_refused(
    untrained_model: Path, small_data_set: Path, whole: Path, tmp_path: Path
) -> None:
    first, second = shards(untrained_model, small_data_set, tmp_path, 2)
    out = tmp_path / "merged.npz"
    with pytest.raises(EvaluationError, match="shard 2 is missing; found 1/2"):
        merge_detections([first], out)
    (tmp_path / "copy.npz").write_bytes(first.read_bytes())
    with pytest.raises(EvaluationError, match="are both shard 1/2"):
        merge_detections([first, tmp_path / "copy.npz", second], out)
    with pytest.raises(EvaluationError, match=r"whole\.npz is no shard but a whole split"):
        merge_detections([whole], out)
    assert not out.exists()


def test_shards_of_different_cuts_or_classes_are_refused(whole: Path, tmp_path: Path) -> None:
    raw = RawDetections.load(whole)
    for name, shard in (("a", "1/2"), ("b", "2/3")):
        dataclasses.replace(raw, shard=shard).save(tmp_path / f"{name}.npz")
    with pytest.raises(EvaluationError, match="shards of different cuts: 1/2, 2/3"):
        merge_detections([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "out.npz")
    renamed = dataclasses.replace(raw, classes=tuple(f"x{name}" for name in raw.classes))
    with pytest.raises(EvaluationError, match="raw detections of different classes"):
        RawDetections.concatenate([raw, renamed])
    with pytest.raises(EvaluationError, match="nothing to merge"):
        RawDetections.concatenate([])
    with pytest.raises(EvaluationError, match="an image id occurs twice"):
        RawDetections.concatenate([raw, raw])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": "2"}, "shard: expected K/N such as 2/4, found '2'"),
        ({"shard": "3/2"}, "shard: expected K from 1 to N, found '3/2'"),
        ({"confidence_floor": 1.0}, "confidence_floor is 1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        DetectOptions(**options)  # type: ignore[arg-type]


def test_what_cannot_be_run_is_refused_before_any_work(
    untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    out, shard = tmp_path / "out.npz", DetectOptions(shard="1/2")
    with pytest.raises(OptionsError, match="runtime auto could choose differently for each shard"):
        detect_file(untrained_model, small_data_set, "train", out, shard, InferenceOptions(runtime="auto"))
    with pytest.raises(OptionsError, match="shard and processes exclude each other"):
        detect_file(untrained_model, small_data_set, "train", out, shard, InferenceOptions(processes=2))


def test_a_shard_is_counted_from_one() -> None:
    assert parse_shard("2/4") == (2, 4)
    assert parse_shard("") == (1, 1)
