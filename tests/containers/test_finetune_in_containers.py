"""The main pipeline as a cluster runs it, task by task in containers: the driver's inputs and the YAML's very command.

A user whom nobody knows, a read-only root, a share of which the zoo alone can be written to, no network.
"""

import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml
from container_engine import GID, UID, Engine
from container_server import ContainerServer, TaskFailedError
from driver_replay import Compiled

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.container_images import IMAGES, image

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "finetune_pipeline.yaml"
WRITTEN = {  # task -> an artifact of it, and what that holds
    "convert": ("dataset", {"manifest.json", "images", "classes.names"}),
    "train": ("run", {"model.cfg", "model.weights", "history.csv", "report.html"}),
    "export": ("model", {"model.cfg", "model.weights", "model.onnx"}),
    "evaluate": ("evaluation", {"record.json", "detections_test.npz", "detections_val.npz"}),
    "tune": ("tuning", {"operating_point.json", "sweep.csv"}),
    "validate": ("validation", {"config_infer_primary.txt", "parity.json"}),
}


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share of three sites that root owns, and an empty zoo in it that the tasks' user does."""
    folder = tmp_path_factory.mktemp("share")
    options = SyntheticOptions(sites=3, recordings_per_site=1, frames_per_recording=6, image_wh=(320, 192), seed=3)
    write_share(folder / "nas", options)
    (folder / "nas" / "zoo").mkdir()
    os.chown(folder / "nas" / "zoo", UID, GID)
    for path in (folder / "nas").rglob("*"):  # as on a share that everybody may read
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder / "nas"


@pytest.fixture(scope="module")
def run(engine: Engine, train_image: str, share: Path, tmp_path_factory: pytest.TempPathFactory) -> ContainerServer:
    """The pipeline's tasks, each run to its end; how long each took is printed."""
    server = ContainerServer(
        engine=engine, store=tmp_path_factory.mktemp("store"), share=share, writable=("zoo",),
        images={image(name, flavour): train_image for name in IMAGES for flavour in IMAGES[name]},
    )  # fmt: skip
    parameters = {
        "source": "nas://recordings",
        "labels": "nas://human_labels.json",
        "zoo": "nas://zoo",
        "width": "160",
        "height": "96",
        "batch": "4",
        "max_batches": "3",
        "train_settings": "mosaic: 0.25\nevaluate_every: 2",
        "tune_settings": "{confidences: 0.1:0.9:9}",
        "model_name": "smoke",
        "on_failed_gate": "keep",  # three updates find nothing, and two recordings judge
    }
    before = hashes(share)
    server.run(Compiled.read(PIPELINE), parameters)
    for name, seconds in server.seconds.items():
        print(f"{seconds:6.1f} s  {name}")
    print(f"{sum(server.seconds.values()):6.1f} s  in all")
    assert {name: value for name, value in hashes(share).items() if not name.startswith("zoo/")} == before
    return server


def test_every_task_leaves_what_the_next_one_reads(run: ContainerServer) -> None:
    for task, (artifact, names) in WRITTEN.items():
        assert names <= set(os.listdir(run.path(task, artifact))), task
    options = yaml.safe_load((run.path("train", "run") / "options.yaml").read_text())
    assert (options["width"], options["mosaic"]) == (160, 0.25)
    assert json.loads((run.path("evaluate", "evaluation") / "record.json").read_text())["metrics"]["ap50"] is not None


def test_model_is_in_the_zoo_and_belongs_to_the_tasks_user(run: ContainerServer, share: Path) -> None:
    (version,) = [path for path in (share / "zoo" / "smoke").iterdir() if (path / "SHA256SUMS").is_file()]
    assert {"model.cfg", "model.weights", "model.onnx", "card.json"} <= set(os.listdir(version))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in version.iterdir()} == {(UID, GID)}
    published = run.tasks["publish"].outputs.parameters["Output"]
    assert Path(published).name == version.name


def test_loops_were_not_compiled_again_and_no_task_complained_of_its_folders(run: ContainerServer) -> None:
    for task, log in run.logs.items():
        for complaint in ("MPLCONFIGDIR", "NumbaWarning", "Read-only file system", "Permission denied", "getpwuid"):
            assert complaint not in log, task


def test_a_zoo_that_cannot_be_written_to_is_told_in_one_line(run: ContainerServer, share: Path) -> None:
    before = hashes(share)
    with pytest.raises(TaskFailedError, match=r"publish: exit code 2\n(.*\n)*error: .*zoo.*Read-only file system"):
        run.again("publish", writable=())
    assert "Traceback" not in run.logs["publish"]
    assert hashes(share) == before
