"""Commands read s3:// as they read paths: each reads from a bucket of moto, fetched into the cache."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo.cli import main
from traffic_yolo.storage import NAS_ROOT_VARIABLE, put, sync

CLASS_MAP = "classes: [CAR]\ndrop: [TRUCK, LONG_TRUCK, BUS, MOTORCYCLE, BICYCLE, PEDESTRIAN]\n"


@pytest.fixture(scope="module")
def bucket(
    moto: S3Server, tmp_path_factory: pytest.TempPathFactory, small_data_set: Path, untrained_model: Path
) -> Iterator[tuple[str, Path]]:
    """A bucket with recordings, a data set, a model and settings; and the NAS root on which outputs go."""
    from traffic_yolo.atm.layouts import LAYOUT_FOLDER

    place = tmp_path_factory.mktemp("object-storage")
    nas, recordings = place / "nas", small_data_set.parent / "nas"
    nas.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("TRAFFIC_YOLO_CACHE", str(place / "cache"))
        patch.setenv(NAS_ROOT_VARIABLE, str(nas))
        patch.chdir(place)
        bucket = f"s3://{use(moto, patch)}"
        sync(str(recordings), f"{bucket}/share")
        sync(str(small_data_set), f"{bucket}/dataset")
        shutil.copytree(untrained_model, place / "model")
        sync(str(place / "model"), f"{bucket}/model")
        put(f"{bucket}/classes.yaml", CLASS_MAP.encode())
        put(
            f"{bucket}/policy.yaml",
            b"fail_on: never\nleak_check: report\nkeep_splits: BUCKET/dataset\n".replace(b"BUCKET", bucket.encode()),
        )
        put(f"{bucket}/mine.yaml", LAYOUT_FOLDER / "atm-2024.yaml")
        yield bucket, nas


def run(line: str, bucket: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(line.replace("BUCKET", bucket).split())
    assert caught.value.code == 0, line


@pytest.mark.long
def test_every_location_of_a_conversion_may_be_an_object(bucket: tuple[str, Path]) -> None:
    name, nas = bucket
    source = "--source BUCKET/share/recordings --labels BUCKET/share/human_labels.json"
    run(f"convert {source} --class-map BUCKET/classes.yaml --policy BUCKET/policy.yaml --out nas://converted", name)
    manifest = json.loads((nas / "converted" / "manifest.json").read_text())
    assert manifest["source"]["location"] == f"{name}/share/recordings"
    assert (nas / "converted" / "classes.names").read_text() == "CAR\n"


@pytest.mark.long
def test_model_data_and_cfg_may_lie_in_object_storage(bucket: tuple[str, Path]) -> None:
    name, nas = bucket
    run("detect --model BUCKET/model --dataset BUCKET/dataset --split val --out nas://val.npz", name)
    run("darknet fuse --cfg BUCKET/model/model.cfg --weights BUCKET/model/model.weights --out nas://fused", name)
    run("darknet show --cfg BUCKET/model/model.cfg", name)
    run("check BUCKET/dataset --out nas://checked", name)
    run("atm check-layout BUCKET/mine.yaml", name)
    run("export-labels --source BUCKET/dataset --to coco --out nas://labels", name)
    assert {"val.npz", "fused", "checked", "labels"} <= {path.name for path in nas.iterdir()}


def test_object_that_is_not_there_is_one_line(bucket: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, nas = bucket
    with pytest.raises(SystemExit) as caught:
        main(["train", "--dataset", f"{name}/nothing", "--out", "nas://run"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.strip() == f"error: data set not found: {name}/nothing; check bucket and key"
    assert not (nas / "run").exists()
