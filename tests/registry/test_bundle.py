"""The bundle: its content, its checksums, and the refusal of what does not belong together."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_yolo.deepstream import validate
from traffic_yolo.deepstream.config import deploy_config
from traffic_yolo.errors import EvaluationError, ModelError, StorageError
from traffic_yolo.registry import bundle as bundle_module
from traffic_yolo.registry.bundle import BUNDLE_FILES, SUMS_NAME, gather_bundle, verify_bundle
from traffic_yolo.tuning import tune

MakeRun = Callable[..., dict[str, Path]]


@pytest.fixture
def bundle(make_run: MakeRun, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    gather_bundle(**make_run()).write(folder)
    return folder


def test_names_of_other_steps_are_those_steps_names() -> None:
    assert bundle_module.CONFIG_NAMES == (deploy_config.CONFIG_NAME, deploy_config.DARKNET_CONFIG_NAME)
    assert bundle_module.PARITY_NAME == validate.PARITY_NAME
    assert bundle_module.POINT_NAME == tune.POINT_NAME


def test_a_bundle_holds_all_files_with_checksums_that_sha256sum_accepts(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == {*BUNDLE_FILES, "trained_on.json", SUMS_NAME}
    assert "export.json" in BUNDLE_FILES
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS_NAME], cwd=bundle, check=True)
    assert verify_bundle(bundle)["classes"] == ["CAR", "traffic light"]


def test_the_card_says_what_the_model_is(bundle: Path) -> None:
    card = json.loads((bundle / "card.json").read_text())
    assert card["network"] == {"width": 96, "height": 64, "resize": "stretch"}
    assert card["data"]["fingerprint"] == "d" * 64
    assert card["options"]["train"] == {"seed": 1}
    assert card["evaluation"]["metrics"]["ap"] == 0.4
    assert card["operating_point"]["confidence_threshold"] == 0.35
    assert card["parity"]["passed"] is True
    assert card["sha256"]["model.weights"] == hashlib.sha256(b"weights 0").hexdigest()
    assert card["versions"]["torch"] == "2"


def test_the_same_folders_give_the_same_version_wherever_they_lie(make_run: MakeRun) -> None:
    first, again, other = (gather_bundle(**make_run(seed)) for seed in (0, 0, 1))
    assert first.version_hash == again.version_hash != other.version_hash
    assert first.sums == again.sums


@pytest.mark.parametrize("name", [*BUNDLE_FILES, "trained_on.json"])
def test_a_changed_file_is_refused_by_name(bundle: Path, name: str) -> None:
    path = bundle / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name} was changed after publishing"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", [*BUNDLE_FILES, "trained_on.json", SUMS_NAME])
def test_a_missing_file_is_refused_by_name(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} is missing"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["notes.txt", "model.engine.txt", ".hidden", "other.onnx"])
def test_a_surplus_file_is_refused_by_name(bundle: Path, name: str) -> None:
    (bundle / name).touch()
    with pytest.raises(ModelError, match=rf"{re.escape(name)} does not belong there"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["model.onnx_b1_gpu0_fp16.engine", "model_b1_gpu0_fp32.engine"])
def test_an_engine_that_was_built_there_is_no_part_of_the_bundle(bundle: Path, name: str) -> None:
    card = verify_bundle(bundle)
    (bundle / name).write_bytes(b"engine")
    assert verify_bundle(bundle) == card


def test_only_a_plain_file_is_taken_for_an_engine(bundle: Path, tmp_path: Path) -> None:
    (bundle / "a.engine").mkdir()
    with pytest.raises(ModelError, match=r"a\.engine does not belong there"):
        verify_bundle(bundle)
    (bundle / "a.engine").rmdir()
    (tmp_path / "elsewhere").touch()
    (bundle / "a.engine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"a\.engine does not belong there"):
        verify_bundle(bundle)


def test_an_engine_with_a_checksum_does_not_belong_there(bundle: Path) -> None:
    (bundle / "a.engine").write_bytes(b"engine")
    with (bundle / SUMS_NAME).open("a") as sums:
        sums.write(f"{hashlib.sha256(b'engine').hexdigest()}  a.engine\n")
    with pytest.raises(ModelError, match=r"a\.engine"):
        verify_bundle(bundle)


def test_a_file_dropped_with_its_checksum_is_refused(bundle: Path) -> None:
    sums = (bundle / SUMS_NAME).read_text().splitlines(keepends=True)
    (bundle / SUMS_NAME).write_text("".join(line for line in sums if "model.onnx" not in line))
    (bundle / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model.onnx is missing"):
        verify_bundle(bundle)


@pytest.mark.parametrize("line", ["nonsense\n", f"{'0' * 64}  ../model.cfg\n", f"{'0' * 63}  model.cfg\n"])
def test_a_broken_checksum_file_is_refused(bundle: Path, line: str) -> None:
    (bundle / SUMS_NAME).write_text(line)
    with pytest.raises(ModelError, match=r"SHA256SUMS line 1: expected a SHA-256"):
        verify_bundle(bundle)


@pytest.mark.parametrize("part", ["evaluation", "tuning", "validation"])
def test_a_folder_of_another_model_is_refused(make_run: MakeRun, part: str) -> None:
    run, other = make_run(0), make_run(1)
    with pytest.raises(ModelError, match=rf"{part} belongs to another model"):
        gather_bundle(**{**run, part: other[part]})


def test_an_onnx_file_that_was_not_validated_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    (run["model"] / "model.onnx").write_bytes(b"another graph")
    with pytest.raises(ModelError, match="validation belongs to another model .*onnx_sha256"):
        gather_bundle(**run)


def test_thresholds_that_were_not_validated_are_refused(make_run: MakeRun) -> None:
    run = make_run()
    path = run["tuning"] / "operating_point.json"
    path.write_text(path.read_text().replace("0.35", "0.4"))
    with pytest.raises(ModelError, match=r"was validated at confidence_threshold 0.35, .* chose 0.4; validate again"):
        gather_bundle(**run)


def test_weights_that_no_training_of_ours_made_come_without_a_list_of_pictures(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run()
    (run["model"] / "trained_on.json").unlink()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    gather_bundle(**run).write(bundle)
    assert "trained_on.json" not in (bundle / SUMS_NAME).read_text()


@pytest.mark.parametrize(
    ("name", "change"), [("trained_on.json", "other"), ("trained_on.json", None), ("model.weights", "other")]
)
def test_a_model_folder_that_is_not_what_export_wrote_is_refused(
    make_run: MakeRun, name: str, change: str | None
) -> None:
    run = make_run()
    path, export = run["model"] / name, run["model"] / "export.json"
    stated = {name: hashlib.sha256(path.read_bytes()).hexdigest()}
    export.write_text(json.dumps(json.loads(export.read_text()) | {"sha256": stated}))
    gather_bundle(**run)
    if change is None:
        path.unlink()
    else:
        path.write_text(change)
    found = "none" if change is None else "[0-9a-f]{12}…"
    message = rf"{name} is not what export.json beside it states \(SHA-256 {found}, expected .*; export again"
    with pytest.raises(ModelError, match=message):
        gather_bundle(**run)


def test_labels_that_do_not_fit_the_names_are_refused(make_run: MakeRun) -> None:
    run = make_run()
    (run["model"] / "labels.txt").write_text("CAR\nBUS\n")
    with pytest.raises(ModelError, match=r"labels.txt does not fit classes.names"):
        gather_bundle(**run)


@pytest.mark.parametrize(
    ("part", "name", "error"),
    [
        ("model", "model.onnx", ModelError),
        ("model", "export.json", StorageError),
        ("evaluation", "record.json", (StorageError, EvaluationError)),
        ("tuning", "operating_point.json", StorageError),
        ("validation", "parity.json", StorageError),
        ("validation", "config_infer_primary.txt", ModelError),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(make_run: MakeRun, part: str, name: str, error: type[Exception]) -> None:
    run = make_run()
    (run[part] / name).unlink()
    with pytest.raises(error, match=name.split(".")[0]):
        gather_bundle(**run)
