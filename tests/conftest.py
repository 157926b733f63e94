"""Fixtures that every test folder shares; importing this file loads neither torch nor h5py."""

import gc
import gzip
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn_once import draw_once
from examples import load_profile
from made_by_one import MakeOnce, made_by_one
from s3_servers import S3Server, moto_server
from short_run import shortened
from shuffling import shuffled
from small_data_set import write_small_data_set

if TYPE_CHECKING:
    from browser import Browser

    from traffic_yolo.detection.nms import Detections
    from traffic_yolo.metrics.ground_truth import GroundTruth

REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.setdefault("TRAFFIC_YOLO_PROGRESS", "0")
# pytest-xdist gives each processor a process of its own: a library's second thread there only spins and waits. Set
# before torch is loaded, and inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SOURCE_DATE_EPOCH", "1789000000")  # the date of pages, whose bytes tests compare
# Ten thousand collected tests and their modules are a million objects; looked through at Python's own thresholds (700
# new ones, ten times ten) the collector took a fifth of the suite's processor time.
gc.set_threshold(50_000, 20, 50)
# A shell starts its background jobs with Ctrl-C ignored, and what they start inherits it: tests that interrupt would wait
# for what never comes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
load_profile()
TORCH_SEED = 67280421310721  # with which PyTorch starts (c10/core/GeneratorImpl.h, default_rng_seed_val)

# Files of a quarter of a minute and more; pytest-xdist would begin with those that have most tests (Makefile)
LONG = {
    "test_finetune_pipeline.py",
    "test_run.py",
    "test_trainer.py",
    "test_distributed.py",
    "test_training_store.py",
    "test_runner.py",
    "test_shards.py",
    "test_convert.py",
    "test_detect.py",
    "test_laid_over_labels.py",
    "test_convert_what_there_is.py",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--shuffle SEED` and `--short`."""
    parser.addoption(
        "--shuffle", type=int, metavar="SEED", help="run the files, and the tests in each, in random order"
    )
    parser.addoption(
        "--short",
        action="store_true",
        help="leave out what is marked as long, and many cases of what is marked as many",
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """States the seed of a random order."""
    seed = config.getoption("--shuffle")
    return None if seed is None else f"order: --shuffle {seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what `--short` does; puts tests in the random order of `--shuffle`, else the longest files first.

    So that none of those ends alone.
    """
    if config.getoption("--short"):
        for item in items:
            if "browser" in getattr(item, "fixturenames", ()):  # Chromium takes ten seconds to start, in each process
                item.add_marker("long")
        kept = shortened(items)
        chosen = set(map(id, kept))
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in chosen])
        items[:] = kept
    seed = config.getoption("--shuffle")
    if seed is not None:
        items[:] = shuffled(items, lambda item: str(item.path), seed)
    else:
        items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def fresh_generators() -> None:
    """Every test finds the process-wide random generators in one state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # else a test that loads it finds it so
        sys.modules["torch"].manual_seed(TORCH_SEED)


@pytest.fixture(autouse=True)
def figures_drawn_once() -> None:
    """Figures of equal numbers, in reports of data sets, are drawn once (`drawn_once`)."""
    draw_once()


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference material; a test that asks for it is skipped where it is missing."""
    folder = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", REPOSITORY.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"reference material not found at {folder}; set TRAFFIC_YOLO_REFERENCE")
    return folder


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """One S3 server for all tests of this process: it takes longer to start than most tests with it; a bucket is cheap."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Chromium, started once a test process; each test opens its own page."""
    from browser import chromium, find_chromium

    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium; or set TRAFFIC_YOLO_CHROMIUM)")
    with chromium(program) as opened:
        yield opened


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MakeOnce:
    """A copy of the folder of that name, which the first test process that asks for it made (`made_by_one`)."""
    own = tmp_path_factory.getbasetemp()
    common = (own if worker_id == "master" else own.parent) / "made-by-one"  # "master": the only process

    def once(name: str, make: Callable[[Path], None]) -> Path:
        return made_by_one(name, make, common=common, own=own)

    return once


@pytest.fixture(scope="session")
def small_data_set(make_once: MakeOnce) -> Path:
    """Rendered pictures of three sites, one for each split; three a recording."""
    return make_once("small", lambda folder: write_small_data_set(folder, frames=3, seed=3)) / "dataset"


@pytest.fixture(scope="session")
def untrained_model(tmp_path_factory: pytest.TempPathFactory, small_data_set: Path) -> Path:
    """A model folder of the package's small network with random weights, at 160 x 96."""
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.dataset.data_set import DataSet
    from traffic_yolo.training.options import TrainingOptions
    from traffic_yolo.training.start import cfg_for_classes, read_cfg

    classes = DataSet.open(small_data_set).classes
    # Not the trainer's cautious start: scores all over the place give NMS and matching something to do.
    network = Network.from_cfg(cfg_for_classes(read_cfg(TrainingOptions(width=160, height=96)), len(classes)), seed=4)
    for head in network.heads:
        network.layers[head.layer_index - 1].conv.weight.data *= 700
    folder = tmp_path_factory.mktemp("model")
    network.cfg.write(folder / "model.cfg")
    network.save_weights(folder / "model.weights")
    (folder / "classes.names").write_text("".join(f"{name}\n" for name in classes))
    TrainingOptions(width=160, height=96).write(folder / "options.yaml")
    return folder


@pytest.fixture(scope="session")
def darknet_valid(reference: Path) -> "Callable[[str], tuple[GroundTruth, Detections]]":
    """COCO's truth of the reference pictures, and what `darknet detector valid` found there with the named model."""
    from traffic_yolo.boxes import xywh_to_xyxy
    from traffic_yolo.detection.nms import Detections
    from traffic_yolo.metrics.ground_truth import read_ground_truth

    def read(name: str) -> "tuple[GroundTruth, Detections]":
        path = reference / "coco" / "instances_val.json"
        categories = json.loads(path.read_text())["categories"]
        with gzip.open(reference / "golden" / "valid" / f"coco-val.{name}.json.gz") as file:
            results = json.load(file)
        class_of = {category["id"]: class_id for class_id, category in enumerate(categories)}
        found = Detections(
            np.array([row["image_id"] for row in results], np.int64),
            xywh_to_xyxy(np.array([row["bbox"] for row in results], np.float32)),
            np.array([row["score"] for row in results], np.float32),
            np.array([class_of[row["category_id"]] for row in results], np.int64),
        )
        return read_ground_truth(path, [category["name"] for category in categories]), found

    return read
