"""`deepstream run` up to deepstream-app itself: a stand-in runs the simulator, others fail as the real one would."""

import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from examples import slow
from kitti_dump import write_kitti

from traffic_yolo.cli import main
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.bundle_check import SUMS_NAME, check_published
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.run import app_process
from traffic_yolo.deepstream.run.app_log import AppLog, precision_of
from traffic_yolo.deepstream.run.gpu_run import run_on_deepstream
from traffic_yolo.deepstream.run.options import GpuRunOptions
from traffic_yolo.deepstream.run.summary import GpuRunSummary
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.deepstream.validate import at_floor
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError, GateError, ModelError, OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.registry import bundle
from traffic_yolo.storage import sha256_of_file

STAND_IN = Path(__file__).parents[2] / "helpers" / "deepstream_app_stand_in.py"
NO_GPU = "Error: Could not get cuda device count (cudaErrorNoDevice)"
INT8_LINE = "WARNING: INT8 calibration file not specified. Trying FP16 mode."


class Node:
    """A folder of programs called deepstream-app, an operating point, and the parser's library."""

    def __init__(self, folder: Path, model: Path, dataset: Path) -> None:
        self.folder, self.model, self.dataset = folder, model, dataset
        self.library = folder / "libparser.so"
        self.library.write_bytes(b"")
        self.point = folder / "operating_point.json"
        self.point.write_text(json.dumps({"confidence_threshold": 0.3, "iou_threshold": 0.45}))
        self.program = folder / "deepstream-app"
        self.out = folder / "out"

    def script(self, text: str) -> None:
        """The program is this shell script."""
        self.program.write_text(f"#!/bin/sh\n{text}\n")
        self.program.chmod(0o755)

    def dumps(self, change: Callable[[Detections], Detections] = lambda found: found) -> Path:
        """A KITTI folder as a run of the simulator leaves it, changed; the script below copies it."""
        options = DeployOptions(iou_threshold=0.45)
        simulator = Simulator(at_floor(deploy_config(ModelFolder.open(self.model), options)), self.model)
        pictures = DataSet.open(self.dataset).split("test")
        found = change(simulator.detections(simulator.run(pictures)))
        kitti = self.folder / "dump"
        kitti.mkdir()
        classes = ModelFolder.open(self.model).classes
        write_kitti(kitti, found, [picture.image_id for picture in pictures], classes)
        return kitti

    def copies(self, kitti: Path, *, engine: str = "fp16", say: str = "") -> None:
        """The program copies these dumps and leaves an engine of this precision."""
        named = f"touch $(basename $PWD/model-*.onnx)_b1_gpu0_{engine}.engine" if engine else ""
        self.script(f"echo '{say}'\ncp {kitti}/* $(dirname $2)/kitti/\n{named}")

    def run(self, **options: object) -> GpuRunSummary:
        given = {"deepstream_app": str(self.program), "parser_library": str(self.library), **options}
        return run_on_deepstream(self.model, self.dataset, self.point, self.out, GpuRunOptions(**given))  # type: ignore[arg-type]


@pytest.fixture
def node(tmp_path: Path, model: Path, dataset: Path) -> Node:
    return Node(tmp_path, model, dataset)


@slow
def test_a_stand_in_on_the_path_runs_end_to_end_over_pictures_of_two_sizes(
    node: Node,
    model: Path,
    two_sizes_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = two_sizes_dataset
    node.script(f'exec {sys.executable} {STAND_IN} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    arguments = ["deepstream", "run", "--model", str(model), "--dataset", str(root), "--tuning", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--parser-library", str(node.library), "--out", str(node.out)])
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    assert "5 pictures of test in 2 sizes, fp16" in printed.out
    assert "1.000 of the boxes agree" in printed.out
    written = json.loads((node.out / "run.json").read_text())
    assert (written["passed"], written["precision"], written["parts"]) == (True, "fp16", 2)
    assert written["metrics"]["deepstream"]["ap50"] == pytest.approx(written["metrics"]["simulated"]["ap50"], abs=0.01)
    assert written["metrics"]["deepstream"]["ap50"] > 0.5
    assert (node.out / written["engine"]).is_file()
    report = (node.out / "report.html").read_text()
    assert "The run is within its limits." in report
    assert report.count(">within</span>") == 2
    assert written["engine"] in report
    assert "BEYOND" not in report
    assert not list(node.out.rglob("*.jpg"))  # the frames are the data set's
    assert len(list(node.out.rglob("00_000_*.txt"))) == 5


def test_the_component_runs_and_logs_what_the_user_interface_lists(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kfp import dsl

    from traffic_yolo.deepstream.component import deepstream_run

    node.copies(node.dumps())
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    artifacts = {
        "model": dsl.Model(uri=str(node.model)),
        "dataset": dsl.Dataset(uri=str(node.dataset)),
        "tuning": dsl.Artifact(uri=str(tmp_path)),
        "run": dsl.Artifact(uri=str(node.out)),
    }
    settings = f"{{deepstream_app: {node.program}, parser_library: {node.library}}}"
    deepstream_run.python_func(**artifacts, metrics=metrics, settings=settings)
    assert metrics.metadata["deepstream_passed"] == 1
    assert metrics.metadata["deepstream_agreement"] == 1
    assert metrics.metadata["ap50_deepstream"] == pytest.approx(metrics.metadata["ap50_simulated"], abs=0.01)
    assert "12 pictures of test in 1 sizes, fp16" in capsys.readouterr().out
    shutil.rmtree(node.out)
    with pytest.raises(SystemExit, match="1"):
        deepstream_run.python_func(**artifacts, metrics=metrics, precision="fp32", settings=settings)
    assert "gates failed: " in capsys.readouterr().err
    assert "The run is NOT within its limits: " in (node.out / "report.html").read_text()


def test_an_engine_of_an_earlier_run_is_taken_by_its_name_alone(node: Node) -> None:
    digest = sha256_of_file(node.model / "model.onnx")[:12]
    node.copies(node.dumps())
    stale = node.folder / "model-000000000000.onnx_b1_gpu0_fp16.engine"
    stale.write_bytes(b"")
    with pytest.raises(
        OptionsError, match=rf"is not of this model, batch and precision; expected model-{digest}.onnx_b1"
    ):
        node.run(engine=str(stale))
    own = node.folder / f"model-{digest}.onnx_b1_gpu0_fp16.engine"
    own.write_bytes(b"")
    assert node.run(engine=str(own)).engine == own.name
    shutil.rmtree(node.out)
    node.copies(node.folder / "dump", say="deserialize backend context from engine from file :x failed, try rebuild")
    with pytest.raises(GateError, match="could not be used, and another engine was built"):
        node.run(engine=str(own))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"echo '{NO_GPU}'; exit 255", "exit code 255: no GPU is to be seen: ask for one .*cudaErrorNoDevice"),
        ("echo 'ERROR: build engine file failed'; exit 1", "exit code 1: the engine could not be built"),
        ("echo 'Could not open custom lib: a.so: no such file'; exit 1", "library cannot be loaded: --parser-library"),
        ("echo one; echo two; exit 3", "exit code 3: one / two"),
        ("exit 3", "exit code 3: it printed nothing"),
        ("kill -SEGV $$", "by signal 11"),
    ],
)
def test_a_program_that_fails_says_why_and_keeps_its_log(node: Node, script: str, message: str) -> None:
    node.script(script)
    with pytest.raises(ModelError, match=message) as error:
        node.run()
    assert str(error.value).endswith(f"log: {node.folder}/out.log")
    assert (node.folder / "out.log").is_file()
    assert not node.out.exists()


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = tmp_path / "deepstream-app"
    script.write_text(f"#!/bin/sh\n(sleep 60 & echo $! > {tmp_path}/child; wait)\n")
    script.chmod(0o755)
    with pytest.raises(ModelError, match="took longer than 0.01 minutes and was ended; .* --timeout-minutes"):
        app_process.run_app(str(script), "a", tmp_path, tmp_path / "log", timeout_s=0.6)
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("what the program started still runs")


def _wider(found: Detections) -> Detections:
    return dataclasses.replace(found, boxes_xyxy=found.boxes_xyxy * np.float32(2))


def test_dumps_of_another_resolution_are_refused(node: Node) -> None:
    node.copies(node.dumps(_wider))
    with pytest.raises(
        EvaluationError, match=r"a box reaches to .* in frames of 192 x 128; the muxer ran with another"
    ):
        node.run()
    assert not node.out.exists()


def test_missing_frames_and_unknown_labels_are_refused(node: Node) -> None:
    kitti = node.dumps()
    node.copies(kitti)
    line = (kitti / "00_000_000000.txt").read_text()
    (kitti / "00_000_000000.txt").write_text(line.replace("CAR", "BUS"))
    with pytest.raises(EvaluationError, match="label 'BUS' is none of the model's"):
        node.run()
    (kitti / "00_000_000000.txt").unlink()
    with pytest.raises(EvaluationError, match="1 of 12 frames left no file, the first is 00_000_000000.txt"):
        node.run()


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("engine", "say", "message"),
    [
        ("fp16", "", ""),
        ("fp32", "", "asked for fp16, the engine that the run left is fp32 by its name"),
        (
            "fp16",
            "TensorRT 10.x: Engine build failed with kFP16 flag. Retrying without explicit FP16 flag",
            "built fp32",
        ),
        ("fp32", "FP16 not supported by platform. Using FP32 mode.", "asked for fp16, nvinfer built fp32"),
        ("", "", "the run left no engine of model-"),
    ],
)
def test_a_precision_that_quietly_changed_fails_the_gate(node: Node, engine: str, say: str, message: str) -> None:
    node.copies(node.dumps(), engine=engine, say=say)
    if not message:
        assert node.run().passed
        return
    with pytest.raises(GateError, match=message):
        node.run()
    assert json.loads((node.out / "run.json").read_text())["passed"] is False
    shutil.rmtree(node.out)
    assert not node.run(require_parity=False).passed


def test_labels_that_are_swapped_fail_the_gate_and_are_written(node: Node) -> None:
    node.copies(node.dumps(lambda found: dataclasses.replace(found, class_ids=1 - found.class_ids)))
    with pytest.raises(GateError, match="look whether labels are shifted or swapped"):
        node.run()
    assert json.loads((node.out / "run.json").read_text())["metrics"]["deepstream"]["ap50"] < 0.1


def test_what_is_wrong_is_said_before_anything_runs(node: Node, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="is no program on the PATH; run this in the DeepStream image"):
        node.run(deepstream_app="no-such-deepstream-app")
    node.script("exit 9")
    with pytest.raises(Exception, match="parser library"):
        node.run(parser_library=str(tmp_path / "none.so"))
    with pytest.raises(OptionsError, match="nvinfer would build FP16 instead"):
        node.run(precision="int8")
    table = tmp_path / "table"
    table.write_text("TRT-8503-EntropyCalibration2\nconv_0: 3f800000\n")
    with pytest.raises(ModelError, match="none of which the ONNX file has"):
        node.run(precision="int8", calibration_table=str(table))
    with pytest.raises(EvaluationError, match="split 'val' has no pictures"):
        node.run(split="val")
    other = tmp_path / "other"
    shutil.copytree(node.model, other)
    (other / "classes.names").write_text("CAR\nBUS\n")
    node.model = other
    with pytest.raises(EvaluationError, match="BUS"):
        node.run()


def test_a_table_for_int8_lies_beside_the_configuration_with_this_nodes_tensorrt(node: Node, tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("TRT-8503-EntropyCalibration2\ninput: 3f800000\n")
    node.copies(node.dumps(), engine="int8")
    assert node.run(precision="int8", calibration_table=str(table), version="7.1").precision == "int8"
    assert (node.out / "calibration.table").read_text() == "TRT-100300-EntropyCalibration2\ninput: 3f800000\n"
    assert "int8-calib-file=calibration.table" in (node.out / "config_infer_primary.txt").read_text()


def test_a_bundle_that_was_changed_or_is_empty_is_refused(node: Node, tmp_path: Path) -> None:
    assert SUMS_NAME == bundle.SUMS_NAME
    check_published(node.model)  # no bundle
    node.model = Path(shutil.copytree(node.model, tmp_path / "bundle"))
    sums = node.model / SUMS_NAME
    digest = sha256_of_file(node.model / "model.onnx")
    sums.write_text(f"{digest}  model.onnx\n")
    check_published(node.model)
    node.script("exit 9")
    for text, message in (
        ("", "is empty; publish the bundle again"),
        (f"{'0' * 64}  model.onnx\n", r"model.onnx was changed after publishing \(SHA-256"),
        (f"{digest}  gone.txt\n", "gone.txt is missing; the bundle is incomplete"),
        ("nonsense\n", "expected lines `<sha256>  <file>`"),
    ):
        sums.write_text(text)
        with pytest.raises(ModelError, match=message):
            node.run()


def test_the_log_alone_says_what_an_engines_name_hides() -> None:
    log = AppLog(("a", INT8_LINE))
    assert precision_of("int8", log, ["fp16"]) == ("fp16", (f"asked for int8, nvinfer built fp16: {INT8_LINE}",))
    both = AppLog((INT8_LINE, "FP16 not supported by platform. Using FP32 mode."))
    assert precision_of("int8", both, [])[0] == "fp32"
    assert precision_of("fp16", AppLog(()), ["fp16"]) == ("fp16", ())
