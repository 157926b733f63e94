"""`traffic-yolo darknet`: every sub-command does its work through the real command line, and refuses in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from traffic_yolo.cli import main
from traffic_yolo.commands.darknet import command
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import read_weights

CFG = """\
[net]
width=64
height=32
channels=3
max_batches=10

[convolutional]
batch_normalize=1
filters=4
size=3
stride=4
pad=1
activation=leaky

[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=4,5, 8,12
classes=2
num=2
"""


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    (tmp_path / "m.cfg").write_text(CFG)
    Network.from_cfg(tmp_path / "m.cfg", seed=1).save_weights(tmp_path / "m.weights")
    return ["--cfg", str(tmp_path / "m.cfg"), "--weights", str(tmp_path / "m.weights")]


def run(*arguments: str | Path, code: int = 0) -> str:
    answered = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert answered.exit_code == code, (answered.output, answered.exception)
    return answered.output


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["darknet", *(str(argument) for argument in arguments)])
    assert caught.value.code == 2
    printed = capsys.readouterr().err.strip()
    assert printed.startswith("error: ")
    assert "\n" not in printed
    return printed


def test_every_flag_is_explained() -> None:
    for name, sub_command in command.commands.items():
        assert sub_command.help, name
        for option in sub_command.params:
            assert getattr(option, "help", None), (name, option.name)


def test_show(pair: list[str]) -> None:
    assert "Total BFLOPS 0.000" in run("show", *pair[:2])
    assert json.loads(run("show", *pair[:2], "--json"))["layers"][0]["filters"] == 4


def test_lint_ends_with_0_1_or_2(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "deepstream-yolo: 0 errors, 0 warnings" in run("lint", *pair, "--target", "deepstream-yolo")
    wrong = run("lint", *pair, "--target", "deepstream-yolo", "--resize", "letterbox", "--json", code=1)
    assert [finding["rule"] for finding in json.loads(wrong)["findings"]][0] == "resize"
    (tmp_path / "config.txt").write_text("[property]\nmaintain-aspect-ratio=1\n")
    nvinfer = ["--nvinfer-config", tmp_path / "config.txt"]
    assert "[resize]" in run("lint", *pair, "--target", "deepstream-yolo", *nvinfer, code=1)
    for configured, code in ((1, 1), (2, 0), (9, 0)):  # the cfg has 2 classes
        (tmp_path / "classes.txt").write_text(f"[property]\nnum-detected-classes={configured}\n")
        printed = run(
            "lint", *pair, "--target", "deepstream-yolo", "--nvinfer-config", tmp_path / "classes.txt", code=code
        )
        assert (f"set to num-detected-classes={configured}" in printed) == (configured != 2)
    assert "give one of them" in refused(capsys, "lint", *pair, "--target", "onnx", *nvinfer, "--resize", "stretch")
    assert "target 'tensorrt' is unknown" in refused(capsys, "lint", *pair, "--target", "tensorrt")
    assert "not found" in refused(capsys, "lint", "--cfg", tmp_path / "none.cfg", "--target", "onnx")
    assert "Missing option '--target'" in run("lint", *pair, code=2)


def test_dump(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", input=np.random.default_rng(0).random((3, 32, 64), dtype=np.float32))
    files = ["--input", tmp_path / "x.npz", "--out", tmp_path / "y.npz"]
    run("dump", *pair, *files, "--threshold", "0.3", "--threshold", "0.5", "--kind", "default")
    keys = set(np.load(tmp_path / "y.npz").files)
    nms = {f"nms_t{threshold}_n0.45_default_rel" for threshold in ("0.3", "0.5")}
    assert {"yolo_2_in", "yolo_2_out", "det_t0.3_rel_box", "det_t0.5_rel_prob"} | nms <= keys
    assert "NMS kind 'soft' is unknown" in refused(capsys, "dump", *pair, *files, "--kind", "soft")


def test_classes(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.names").write_text("car\ntruck\n")
    (tmp_path / "new.names").write_text("CAR\nBUS\nLONG_TRUCK\n")
    files = ["--names", tmp_path / "old.names", "--new-names", tmp_path / "new.names", "--out", tmp_path / "out"]
    run("classes", *pair, *files, "--class-seeds", "LONG_TRUCK=truck", "--num-images", "9000")
    assert (tmp_path / "out" / "classes.names").read_text() == "CAR\nBUS\nLONG_TRUCK\n"
    old, new = Network.from_cfg(tmp_path / "m.cfg"), Network.from_cfg(tmp_path / "out" / "model.cfg")
    old.load_weights(tmp_path / "m.weights")
    new.load_weights(tmp_path / "out" / "model.weights")
    before, after = (network.layers[1].conv.weight.view(2, -1, 4) for network in (old, new))
    assert (after[:, [0, 4, 5, 7]] == before[:, [0, 4, 5, 6]]).all()
    assert new.cfg.net.get_int("max_batches", 0) == 9000
    assert "output exists already" in refused(capsys, "classes", *pair, *files)
    assert "--class-seeds: expected new=old pairs" in refused(capsys, "classes", *pair, *files, "--class-seeds", "BUS")


def test_classes_tells_what_became_of_each_and_starts_counting_anew(pair: list[str], tmp_path: Path) -> None:
    Network.read(tmp_path / "m.cfg", tmp_path / "m.weights").save_weights(tmp_path / "m.weights", seen=14231680)
    (tmp_path / "old.names").write_text("car\ntruck\n")
    (tmp_path / "new.names").write_text("CAR\nBUS\nLONG_TRUCK\nVAN\n")
    files = ["--names", tmp_path / "old.names", "--new-names", tmp_path / "new.names"]
    seeds = ["--class-seeds", "LONG_TRUCK=car", "--class-seeds", "VAN=car"]
    told = run("classes", *pair, *files, "--out", tmp_path / "out", *seeds).strip().split("\n")
    expected = ["kept: car as CAR", "seeded: LONG_TRUCK from car, VAN from car", "new, at random: BUS", "gone: truck"]
    assert told == [*expected, str(tmp_path / "out")]
    assert read_weights(tmp_path / "out" / "model.weights").header.seen == 0
    seeds = ["--class-seeds", "LONG_TRUCK=car,VAN=car"]
    found = json.loads(run("classes", *pair, *files, "--out", tmp_path / "one", *seeds, "--json"))
    assert (found["kept"], found["new"], found["gone"]) == ({"CAR": "car"}, ["BUS"], ["truck"])
    one, two = (tmp_path / name / "model.weights" for name in ("out", "one"))
    assert one.read_bytes() == two.read_bytes()


def test_classes_under_other_names(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.names").write_text("car\ntruck\n")
    (tmp_path / "new.names").write_text("LORRY\nauto\n")
    files = ["--names", tmp_path / "old.names", "--new-names", tmp_path / "new.names", "--out", tmp_path / "out"]
    run("classes", *pair, *files, "--renames", "car=auto", "--renames", "truck=LORRY")
    before, after = (
        Network.read(folder / f"{name}.cfg", folder / f"{name}.weights").layers[1].conv.weight.view(2, -1, 4)
        for folder, name in ((tmp_path, "m"), (tmp_path / "out", "model"))
    )
    assert (after == before[:, [0, 1, 2, 3, 4, 6, 5]]).all()
    wrong = refused(capsys, "classes", *pair, *files, "--renames", "car=auto,car=LORRY")
    assert "--renames: expected old=new pairs, each old class once, found 'car=LORRY'" in wrong
    assert "class 'van' does not exist: the weights know car, truck" in refused(
        capsys, "classes", *pair, *files, "--renames", "van=auto"
    )


def test_resize(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("resize", *pair[:2], "--width", "96", "--height", "64", "--out", tmp_path / "n.cfg")
    assert Network.from_cfg(tmp_path / "n.cfg").input_hw == (64, 96)
    wrong = refused(capsys, "resize", *pair[:2], "--width", "65", "--height", "64", "--out", tmp_path / "o.cfg")
    assert "width: expected a multiple of 4, found 65; take 64 or 68" in wrong
    assert not (tmp_path / "o.cfg").exists()


def test_anchors_from_a_list_and_from_boxes(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("anchors", *pair, "--anchors", "6,6, 10,9", "--out", tmp_path / "a")
    assert Cfg.read(tmp_path / "a" / "model.cfg").layers[2].get_floats("anchors") == (6, 6, 10, 9)
    boxes = [(1, [0, 0, 20, 10]), (1, [0, 0, 22, 10]), (2, [5, 5, 100, 80])]
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg", "width": 128, "height": 64} for number in (1, 2)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 1, "bbox": box}
            for number, (image, box) in enumerate(boxes)
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    printed = run("anchors", *pair[:2], "--coco", tmp_path / "coco.json")
    assert "anchors = 10.5,5, 50,40" in printed
    assert "3 boxes, average IoU 0.9690" in printed
    run("anchors", *pair, "--anchors", "6,6, 10,9, 20,20", "--masks", "0,1,2", "--out", tmp_path / "b")
    assert Network.from_cfg(tmp_path / "b" / "model.cfg").heads[0].mask == (0, 1, 2)
    for arguments, words in (
        ([], "expected one of --anchors and --coco"),
        (["--anchors", "1,2,3"], "expected pairs of width,height, found 3 numbers"),
        (["--anchors", "1,x"], "expected numbers separated by commas, found '1,x'"),
    ):
        assert words in refused(capsys, "anchors", *pair, *arguments)
    assert "--out needs --weights" in refused(capsys, "anchors", *pair[:2], "--anchors", "1,2", "--out", tmp_path / "c")


def test_freeze(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("freeze", *pair[:2], "--fine-tune-layers", "heads", "--out", tmp_path / "f.cfg")
    frozen = Cfg.read(tmp_path / "f.cfg").layers[0]
    assert frozen.get_int("stopbackward", 0) == 1
    assert "Frozen layers with weights: 1" in run("show", "--cfg", tmp_path / "f.cfg")
    run("freeze", *pair[:2], "--fine-tune-layers", "from:1", "--adapt-statistics", "--out", tmp_path / "g.cfg")
    assert Cfg.read(tmp_path / "g.cfg").layers[0].get_int("train_only_bn", 0) == 1
    run("freeze", "--cfg", tmp_path / "f.cfg", "--fine-tune-layers", "all", "--out", tmp_path / "h.cfg")
    assert (tmp_path / "h.cfg").read_text() == CFG
    assert "legs" in refused(capsys, "freeze", *pair[:2], "--fine-tune-layers", "legs", "--out", tmp_path / "i.cfg")


def test_partial(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("partial", *pair, "--layers", "1", "--out", tmp_path / "m.conv.1")
    size = 20 + 4 * (4 * 4 + 4 * 3 * 9)
    assert f"1 layers, {(size - 20) // 4} weights, {size} bytes" in printed
    assert (tmp_path / "m.conv.1").stat().st_size == size
    assert "layers: expected 1 to 3" in refused(capsys, "partial", *pair, "--layers", "9", "--out", tmp_path / "x")


def test_fuse(pair: list[str], tmp_path: Path) -> None:
    assert run("fuse", *pair, "--out", tmp_path / "fused").strip() == str(tmp_path / "fused")
    fused = Network.read(tmp_path / "fused" / "model.cfg", tmp_path / "fused" / "model.weights")
    assert fused.num_weights == Network.from_cfg(tmp_path / "m.cfg").num_weights - 3 * 4
