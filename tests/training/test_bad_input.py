"""What a training refuses, at its command line: one line, exit code 2, before anything slow, and nothing left behind.

Elsewhere: a group of processes that cannot meet (`test_distributed`), options (`test_training_options`), start weights
that do not fit (`test_start`).
"""

import contextlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from written_data_set import write_manifest

from traffic_yolo.cli import main
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.training.checkpoint import BEST, LAST, PREVIOUS, read_checkpoint, write_checkpoint
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train


@dataclass(frozen=True)
class Command:
    """`traffic-yolo train` of the tiny network on a data set, into `run`."""

    dataset: Path
    cfg: Path
    run: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *flags: object) -> tuple[int, list[str], list[str]]:
        """Exit code and the lines of stdout and stderr; later flags win."""
        given = ("--dataset", self.dataset, "--cfg", self.cfg, "--batch", 4, "--max-batches", 2, "--optimizer", "adamw")
        self.capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["train", *map(str, (*given, "--device", "cpu", "--out", self.run, *flags))])
        printed = self.capture.readouterr()
        return int(ended.value.code or 0), printed.out.splitlines(), printed.err.splitlines()

    def refused(self, *flags: object) -> str:
        """The one line that it ends with."""
        code, out, err = self(*flags)
        assert (code, out, len(err)) == (2, [], 1), (out, err)
        return err[0].removeprefix("error: ")

    def trained(self, *flags: object) -> list[str]:
        """What it prints."""
        code, out, _ = self(*flags)
        assert code == 0
        return out


@pytest.fixture
def dataset(make_rectangles: Callable[..., Path], tmp_path: Path) -> Path:
    """A data set of a test's own, whose val has pictures of its own."""
    root = make_rectangles(tmp_path / "dataset")
    shutil.copytree(root / "images" / "recording", root / "images" / "val")
    change_labels(
        root, "val", lambda labels: [image.update(file_name=f"val/{image['id']}.png") for image in labels["images"]]
    )
    return root


@pytest.fixture
def command(dataset: Path, tiny_cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(dataset, tiny_cfg, tmp_path / "run", capsys)


def change_labels(root: Path, split: str, change: Callable[[Any], object]) -> None:
    path = root / "annotations" / f"instances_{split}.json"
    labels = json.loads(path.read_text())
    change(labels)
    path.write_text(json.dumps(labels))
    write_manifest(root)


# ---------------------------------------------------------------- classes and boxes


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (
            ("red", "blue", "yellow", "green", "grey", "pink", "white"),
            "the data set has 7 (red, blue, yellow, green, grey, and 2 more)",
        ),
        (("red",), "the data set has 1 (red)"),
    ],
    ids=["more", "fewer"],
)
def test_heads_are_made_anew_for_the_classes_of_the_data_and_it_says_so(
    command: Command, dataset: Path, classes: tuple[str, ...], said: str
) -> None:
    (dataset / "classes.yaml").write_text(json.dumps({"classes": classes}))
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    for split in ("train", "val", "test"):
        change_labels(dataset, split, lambda labels: labels.update(
            categories=categories,
            annotations=[box for box in labels["annotations"] if box["category_id"] <= len(classes)],
        ))  # fmt: skip
    out = command.trained()
    assert f"classes: {command.cfg} has heads for 2, {said}: the heads are made anew for these, at random" in out
    assert Cfg.read(command.run / "model.cfg").layers[-1].get_int("classes", 0) == len(classes)


def test_nothing_is_said_of_classes_that_the_cfg_has(command: Command) -> None:
    assert not any(line.startswith("classes:") for line in command.trained())


def test_a_box_of_a_class_that_the_data_set_does_not_name_is_refused(command: Command, dataset: Path) -> None:
    def of_a_third_class(labels: Any) -> None:
        labels["categories"].append({"id": 3, "name": "yellow"})
        labels["annotations"][3]["category_id"] = 3

    change_labels(dataset, "train", of_a_third_class)
    line = command.refused()
    assert line.endswith(
        "annotation 4: category_id: expected 1 to 2 of a box that is not ignored; found 3; convert again"
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"ignore": 1}, "7 ignored"),
        ({"iscrowd": 1}, "7 ignored"),
        ({"bbox": [20, 20, 0, 10]}, "7 no area"),
        ({"bbox": [500, 20, 30, 10]}, "7 outside"),
        ({"bbox": [20, 20, 1, 1]}, "7 below one pixel"),
    ],
    ids=["ignored", "crowds", "no-area", "outside", "tiny"],
)
def test_boxes_that_none_can_be_learnt_from_are_counted_by_reason(
    command: Command, dataset: Path, change: dict[str, Any], found: str
) -> None:
    change_labels(dataset, "train", lambda labels: [box.update(change) for box in labels["annotations"]])
    where = f"{dataset / 'annotations' / 'instances_train.json'}: split train has 7 boxes, and none can be learnt from "
    assert command.refused().startswith(f"{where}(boxes: 0 trained, {found}); look at its labels")
    assert not command.run.exists()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("train", "split train has no boxes, so nothing can be learnt from it"),
        ("val", "split val has no box that counts, so the best weights cannot be told"),
    ],
)
def test_a_split_without_boxes_is_refused(command: Command, dataset: Path, split: str, said: str) -> None:
    change_labels(dataset, split, lambda labels: labels["annotations"].clear())
    assert command.refused().startswith(f"{dataset / 'annotations' / f'instances_{split}.json'}: {said}; look")
    assert not command.run.exists()


# ---------------------------------------------------------------- pictures


def test_a_picture_that_has_vanished_is_skipped_and_counted(command: Command, dataset: Path) -> None:
    (dataset / "images" / "recording" / "2.png").unlink()
    assert command.refused().startswith(
        "1 of 4 training pictures cannot be used, more than max_bad_pictures=0.01 of them: recording/2.png (missing)"
    )
    assert not command.run.exists()
    assert "training pictures skipped: 1 missing" in command.trained("--max-bad-pictures", 0.25)


@pytest.mark.parametrize("most", [0.01, 1])
def test_pictures_that_have_all_vanished_are_refused(command: Command, dataset: Path, most: float) -> None:
    shutil.rmtree(dataset / "images" / "recording")
    line = command.refused("--max-bad-pictures", most)
    assert line.startswith("4 of 4 training pictures cannot be used: recording/0.png (missing), ")
    assert line.endswith(" and 1 more; mend the data set")
    assert not command.run.exists()


# ---------------------------------------------------------------- going on


def flipped(path: Path) -> None:
    """One bit of the weights, which torch reads without a word."""
    data = bytearray(path.read_bytes())
    place = data.index(read_checkpoint(path).averaged["layers.0.bn.weight"].numpy().tobytes())
    data[place + 8] ^= 1
    path.write_bytes(data)


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


FOUR = ("--max-batches", 4, "--evaluate-every", 2)


@pytest.fixture(scope="module")
def four_updates(rectangles: Path, tiny_cfg_text: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cfg, and a run of four updates with it."""
    folder = tmp_path_factory.mktemp("four")
    (folder / "tiny.cfg").write_text(tiny_cfg_text)
    options = TrainingOptions(
        cfg=str(folder / "tiny.cfg"), batch=4, max_batches=4, evaluate_every=2, optimizer="adamw", device="cpu"
    )
    train(rectangles, folder / "run", options)
    return folder / "tiny.cfg", folder / "run"


@pytest.fixture
def ended(
    rectangles: Path, four_updates: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command of a run that lies there; it is the test's own."""
    cfg, run = four_updates
    shutil.copytree(run, tmp_path / "run")
    return Command(rectangles, cfg, tmp_path / "run", capsys)


@pytest.mark.many(1)
@pytest.mark.parametrize("damage", [flipped, halved, emptied])
def test_a_damaged_last_checkpoint_is_named_and_the_one_before_goes_on(
    ended: Command, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    weights = (ended.run / "model.weights").read_bytes()
    (ended.run / "model.weights").unlink()
    damage(ended.run / "checkpoints" / LAST)
    out = ended.trained(*FOUR, "--resume")
    (warned,) = [record.getMessage() for record in caplog.records if LAST in record.getMessage()]
    assert f"{LAST} is not a checkpoint that can be read: " in warned
    assert warned.endswith(f"; going on from {ended.run / 'checkpoints' / PREVIOUS}, iteration 2")
    assert f"resumed {ended.run} after iteration 2" in out
    assert (ended.run / "model.weights").read_bytes() == weights


def test_two_damaged_checkpoints_are_refused(ended: Command) -> None:
    for name in (LAST, PREVIOUS):
        halved(ended.run / "checkpoints" / name)
    line = ended.refused(*FOUR, "--resume")
    assert line.startswith(f"{ended.run / 'checkpoints' / LAST} is not a checkpoint that can be read: ")
    assert line.endswith(f"; {PREVIOUS} neither; bring a whole one back, or train into a new folder")
    assert not (ended.run / "run.lock").exists()


def test_a_checkpoint_of_another_network_is_refused(ended: Command, tmp_path: Path) -> None:
    """Somebody has copied it from the folder of another run."""
    last = ended.run / "checkpoints" / LAST
    checkpoint = read_checkpoint(last)
    write_checkpoint(last, replace(checkpoint, options={**checkpoint.options, "cfg": "other.cfg"}))
    assert ended.refused(*FOUR, "--resume") == (
        f"resume: expected the options of the interrupted run, but cfg was 'other.cfg', now '{ended.cfg}'; take a new folder"
    )


def test_a_cfg_that_has_changed_since_is_refused_by_its_line(command: Command) -> None:
    text = command.cfg.read_text()
    command.trained()
    for before, after in (("filters=24", "filters=32"), ("learning_rate=0.02", "learning_rate=0.03")):
        command.cfg.write_text(text.replace(before, after))
        number = text[: text.index(before)].count("\n") + 1
        assert command.refused("--resume") == (
            f"resume: the cfg is not that of the interrupted run: line {number} was '{before}', now '{after}'; take that "
            "cfg again, or a new folder"
        )


def test_start_weights_that_have_changed_since_are_refused(command: Command, tmp_path: Path) -> None:
    start = tmp_path / "start.weights"
    Network.from_cfg(command.cfg, seed=1).save_weights(start)
    command.trained("--weights", start, "--max-batches", 1)
    Network.from_cfg(command.cfg, seed=2).save_weights(start)
    line = command.refused("--weights", start, "--max-batches", 1, "--resume")
    assert line.startswith(f"resume: {start} is not the file that the run started from: expected SHA-256 ")


def test_a_history_that_is_none_is_refused_by_its_line(ended: Command) -> None:
    with (ended.run / "history.csv").open("ab") as file:
        file.write(b"\x00\xff\x00,7\n")
    line = ended.refused(*FOUR, "--resume")
    assert line.startswith(
        f"{ended.run / 'history.csv'} line 6: expected numbers under iteration,seen,learning_rate,…; found"
    )


def test_two_runs_in_one_folder_are_refused(command: Command) -> None:
    script = "import time; from pathlib import Path; from traffic_yolo.training.run_lock import run_lock\n"
    script += f"with run_lock(Path({str(command.run)!r})): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            line = command.refused("--resume", "auto")
            assert line.startswith(f"{command.run}: process {process.pid} on ")
            assert line.endswith("; wait for it, stop it, or choose another folder with --out")
        finally:
            process.kill()
    command.trained("--resume", "auto")


# ---------------------------------------------------------------- a full disk


@contextlib.contextmanager
def full_disk(folder: Path, *, room: int) -> Iterator[None]:
    """All of the file system but `room` bytes is taken."""
    stated = shutil.disk_usage(folder)
    with (folder / "ballast").open("wb") as file:
        file.write(bytes(stated.free - room))
    yield
    (folder / "ballast").unlink()


@contextlib.contextmanager
def largest_file(_: Path, *, room: int) -> Iterator[None]:
    """No file may grow beyond `room` bytes."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


@pytest.fixture(params=["full-disk", "largest-file"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Any, str]]:
    """A folder, what takes away its room, and what a write is told then."""
    if request.param == "largest-file":
        yield tmp_path, largest_file, "a file may not be so large here"
        return
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", small], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield small, full_disk, "the disk is full; free some space and run again"
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.many(1)
def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(ended: Command, disk: tuple[Path, Any, str]) -> None:
    folder, without_room, told = disk
    shutil.copytree(ended.run, folder / "parts")
    parts = replace(ended, run=folder / "parts")
    ended.trained(*FOUR, "--max-batches", 6, "--resume")
    checkpoints = parts.run / "checkpoints"
    names = sorted(path.name for path in checkpoints.iterdir())
    before = asdict(read_checkpoint(checkpoints / LAST))
    with without_room(folder, room=checkpoints.joinpath(LAST).stat().st_size * 2 // 3):
        code, _, err = parts(*FOUR, "--max-batches", 6, "--resume")
        assert code == 2
        (line,) = [line for line in err if line.startswith("error: ")]
        assert line.startswith(f"error: {checkpoints}/")
        assert told in line
    assert sorted(path.name for path in checkpoints.iterdir()) == names == [BEST, LAST, PREVIOUS]
    assert not (parts.run / "run.lock").exists()
    kept = asdict(read_checkpoint(checkpoints / LAST))
    assert kept["iteration"] == before["iteration"] == 4
    assert all(value.equal(before["network"][name]) for name, value in kept["network"].items())
    parts.trained(*FOUR, "--max-batches", 6, "--resume")
    assert (parts.run / "model.weights").read_bytes() == (ended.run / "model.weights").read_bytes()
