"""An inference in shards: the bytes of one run whatever the cut, and nothing lost on the way without a word."""

import shutil
from pathlib import Path

import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.inference_options import InferenceOptions, on_gpus
from traffic_yolo.detection.protocol import read_detections
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.detection.shards import detect_shard, merge_planned, plan_detection
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.model_folder import ModelFolder

SPLITS = ("test", "val")
CPU = InferenceOptions()


@pytest.fixture(scope="module")
def cut(untrained_model: Path, small_data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Shard's name -> its file, of an inference cut in two."""
    folder = tmp_path_factory.mktemp("cut")
    names = plan_detection(untrained_model, small_data_set, SPLITS, 2, CPU)
    found = {name: folder / f"{number}.npz" for number, name in enumerate(names)}
    for name, path in found.items():
        detect_shard(untrained_model, small_data_set, name, path)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_plan_covers_every_picture_of_every_split_once(untrained_model: Path, small_data_set: Path, count: int) -> None:
    names = plan_detection(untrained_model, small_data_set, SPLITS, count, CPU)
    parts = min(count, 3)  # a split has three pictures
    assert names == [f"{split} {part}/{parts}" for split in SPLITS for part in range(1, parts + 1)]


def test_merged_shards_are_one_run_byte_for_byte(
    untrained_model: Path, small_data_set: Path, cut: dict[str, Path], tmp_path: Path
) -> None:
    merge_planned(list(cut.values())[::-1], list(cut), tmp_path / "merged")
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == [
        "detections_test.npz",
        "detections_val.npz",
    ]
    model, data = ModelFolder.open(untrained_model), DataSet.open(small_data_set)
    for split in SPLITS:
        detect_split(model, data, split).save(tmp_path / f"{split}.npz")
        assert (tmp_path / "merged" / f"detections_{split}.npz").read_bytes() == (
            tmp_path / f"{split}.npz"
        ).read_bytes()


def test_shard_that_is_missing_damaged_or_foreign_is_named(cut: dict[str, Path], tmp_path: Path) -> None:
    names, paths = list(cut), list(cut.values())
    out = tmp_path / "merged"
    with pytest.raises(EvaluationError, match=r"shard test 2/2 is missing \(3 of 4 are there\)"):
        merge_planned([paths[0], *paths[2:]], names, out)
    with pytest.raises(EvaluationError, match=r"shard val 1/2 is missing \(2 of 4"):
        merge_planned(paths[:2], names, out)  # a whole split
    with pytest.raises(EvaluationError, match="are both shard test 1/2"):
        merge_planned([paths[0], shutil.copy(paths[0], tmp_path / "copy.npz"), *paths[1:]], names, out)
    with pytest.raises(EvaluationError, match="shard val 1/2 is none of those planned"):
        merge_planned(paths, names[:2], out)
    data = bytearray(paths[1].read_bytes())
    for place in (len(data) // 2, len(data) - 20):
        data[place] ^= 1
    (tmp_path / "damaged.npz").write_bytes(data)
    with pytest.raises(EvaluationError, match=r"damaged\.npz: not a raw-detections file, or a damaged one"):
        merge_planned([paths[0], tmp_path / "damaged.npz", *paths[2:]], names, out)
    assert not out.exists()


def test_shard_or_part_of_a_split_is_never_taken_for_the_split(
    untrained_model: Path, small_data_set: Path, cut: dict[str, Path], tmp_path: Path
) -> None:
    """A picture without boxes counts in AP as one with none right: one that is missing must not look like it."""
    model, data = ModelFolder.open(untrained_model), DataSet.open(small_data_set)
    shutil.copy(cut["test 1/2"], tmp_path / "detections_test.npz")
    with pytest.raises(EvaluationError, match=r"shard 1/2 of the split, not all of it"):
        read_detections(tmp_path, model, data, "test")
    part = RawDetections.load(cut["test 1/2"])
    RawDetections.concatenate([part]).save(tmp_path / "detections_test.npz")
    with pytest.raises(EvaluationError, match=rf"detections on {len(part)} pictures, split test has 3"):
        read_detections(tmp_path, model, data, "test")


def test_split_without_pictures_has_a_shard_without(
    untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    from traffic_yolo.dataset.convert import convert
    from traffic_yolo.dataset.options import ConvertOptions

    convert(ConvertOptions(str(small_data_set), splits="test", policy='{leak_check: "off"}'), tmp_path / "data")
    names = plan_detection(untrained_model, tmp_path / "data", SPLITS, 1, CPU)
    assert names == ["test 1/1", "val 1/1"]
    assert len(detect_shard(untrained_model, tmp_path / "data", "val 1/1", tmp_path / "val.npz")) == 0
    with pytest.raises(EvaluationError, match="split 'val' has no pictures to detect on; only test has any"):
        plan_detection(untrained_model, tmp_path / "data", ("val",), 1, CPU)


@pytest.mark.parametrize(
    ("count", "inference", "message"),
    [
        (0, CPU, "shards: expected a whole number from 1 to 10000, found 0"),
        (10_001, CPU, "found 10001"),
        (1, InferenceOptions(runtime="auto"), "runtime auto could choose differently for each shard"),
        (1, InferenceOptions(processes=2), "shard and processes exclude each other"),
    ],
)
def test_what_cannot_be_cut_is_refused_before_anything_is_read(
    count: int, inference: InferenceOptions, message: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionsError, match=message):
        plan_detection(tmp_path / "none", tmp_path / "none", SPLITS, count, inference)


@pytest.mark.parametrize("name", ["", "test", "1/2", "test 3/2"])
def test_a_name_that_no_plan_gives_is_refused(name: str, untrained_model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="shard: expected"):
        detect_shard(untrained_model, untrained_model, name, tmp_path / "out.npz")


def test_gpus_that_are_asked_for_are_used_or_refused() -> None:
    assert on_gpus(CPU, 0) == CPU
    assert on_gpus(CPU, 1).device == "cuda"
    for options in (
        InferenceOptions(device="cpu"),
        InferenceOptions(runtime="openvino"),
        InferenceOptions(processes=2),
    ):
        with pytest.raises(OptionsError, match="gpus asks for 1, but device .* compute on CPUs"):
            on_gpus(options, 1)
