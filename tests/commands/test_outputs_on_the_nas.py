"""Outputs lie on the NAS when `nas://` says so: real runs on small data, in order.

Trainings are stopped after their first write; what counts is where it went.
"""

import shutil
from pathlib import Path

import pytest
from location_flags import LOCATIONS, Flag

from traffic_yolo.cli import main
from traffic_yolo.errors import TrainingError
from traffic_yolo.storage import NAS_ROOT_VARIABLE, local_path

# Output flag -> where `RUNS` puts it below the root
WRITTEN = {
    "atm synthesize --out": "share",
    "atm inspect --json-file": "inspected.json",
    "atm inspect --html": "inspected.html",
    "snapshot --out": "snapshot.json",
    "schedule emit-cronjob --out": "job.yaml",
    "snapshot --changes": "changes.json",
    "snapshot --gate-file": "gate.txt",
    "convert --out": "data",
    "convert --data-store": "data-store",
    "convert --quarantine": "aside",
    "export-labels --out": "labels",
    "export-labels --quarantine": "labels-aside",
    "diff --out": "diff",
    "anonymize --out": "anonymous",
    "select --out": "to-label",
    "drift --out": "drift",
    "check --out": "checked",
    "detect --out": "shard.npz",
    "merge-detections --out": "detections.npz",
    "evaluate --out": "evaluation",
    "sweep --out": "sweep",
    "compare --json-file": "comparison.json",
    "compare --html": "comparison.html",
    "darknet dump --out": "dump.npz",
    "darknet heads-onnx --out": "heads.onnx",
    "darknet classes --out": "classes",
    "darknet resize --out": "resized.cfg",
    "darknet activations --out": "activations.cfg",
    "darknet anchors --out": "anchors",
    "darknet freeze --out": "frozen.cfg",
    "darknet fuse --out": "fused",
    "darknet partial --out": "partial.weights",
    "deepstream config --out": "deployment",
    "ledger table --out": "table.md",
    "storage fetch --out": "fetched.cfg",
    "storage gc --data-store": "data-store",
    "train --out": "run",
    "trial fine-tuning --work": "work",
    "trial fine-tuning --store": "store",
    "trial compression --work": "work",
    "trial compression --store": "store",
    "katib run --out": "experiment",
    "compress prune --out": "pruned",
    "compress measure --out": "latency.json",
    "reports FOLDER": "evaluation",
}
TOO_LONG = {
    "train --cache-folder": "decoded pictures go there as they are read, after the training was stopped",
    "trial compression --cache-folder": "as for train",
    "trial fine-tuning --cache-folder": "as for train",  # their values are paths below the root all the same, as the first test says
    "run --out": "the tasks are processes of minutes",
    "retrain --out": "as for run",
    "compress run --out": "as for run",
    "merge-shards --out": "draws the same report as convert",
    "export --out": "draws an ONNX file, in tests/export",
    "import-model --out": "as export does",
    "fetch --out": "needs published files, in tests/pretrained",
    "predict --out": "runs a network, in tests/predict",
    "tune --out": "sweeps as sweep does, and reads an evaluation",
    "validate --out": "needs a whole export, in tests/deepstream",
    "deepstream run --out": "as for validate",
    "compress report --out": "runs two networks, in tests/compression",
    "compress front --out": "needs trials, in tests/tuning",
    "quantize --out": "needs a whole export, in tests/quantization",
    "pipeline compile --out": "loads kfp and every component, in test_pipeline_command",
    "zoo fetch --out": "there is no zoo without publish",
    "zoo show --html": "as zoo fetch",
    "atm inspect --draft": "refused for recordings of a known layout, which these are",
    "katib run --nas-root": "stands for volumes; the trials write there",
    "katib run --mount": "stands for volumes; the trials write there",
}
EXPERIMENT = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: tiny}
spec:
  objective: {type: maximize, objectiveMetricName: f1}
  algorithm: {algorithmName: random}
  parallelTrialCount: 1
  maxTrialCount: 1
  maxFailedTrialCount: 0
  parameters: [{name: x, parameterType: int, feasibleSpace: {min: "1", max: "2"}}]
  trialTemplate:
    primaryContainerName: main
    trialParameters: [{name: x, description: any, reference: x}]
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          metadata: {annotations: {sidecar.istio.io/inject: "false"}}
          spec:
            restartPolicy: Never
            containers: [{name: main, image: any, command: [echo, "f1=0.5", "${trialParameters.x}"]}]
"""
OUTPUTS = [flag for flag in LOCATIONS if flag.use == "write"]
STOPPED = "stopped by the test"
SMALL = "--width 64 --height 64 --batch 2 --max-batches 1"
RUNS = f"""
atm synthesize --sites 1 --recordings-per-site 1 --frames-per-recording 2 --picture-width 160 --picture-height 96 --out nas://share
atm inspect nas://share/recordings --json-file nas://inspected.json --html nas://inspected.html
snapshot --source nas://share/recordings --out nas://snapshot.json --changes nas://changes.json --gate-file nas://gate.txt
convert --source nas://dataset --out nas://data --quarantine nas://aside
convert --source nas://dataset --data-store nas://data-store --out nas://referring
storage gc --data-store nas://data-store --no-zoo
export-labels --source nas://dataset --to coco --out nas://labels --quarantine nas://labels-aside
diff nas://dataset nas://data --out nas://diff
anonymize --dataset nas://data --out nas://anonymous
check nas://data --out nas://checked
select --source nas://share/recordings --keep-splits nas://splits.yaml --out nas://to-label
drift --deployed nas://found.jsonl --validation nas://found.jsonl --least-pictures 2 --out nas://drift
detect --model nas://untrained --dataset nas://data --shard 1/1 --out nas://shard.npz
merge-detections nas://shard.npz --out nas://detections.npz
evaluate --model nas://untrained --dataset nas://data --out nas://evaluation
sweep --detections nas://detections.npz --truth nas://data/annotations/instances_test.json --confidences 0.3 --iou-thresholds 0.5 --out nas://sweep
compare nas://evaluation nas://evaluation --dataset nas://data --json-file nas://comparison.json --html nas://comparison.html
darknet dump --cfg nas://untrained/model.cfg --weights nas://untrained/model.weights --input nas://input.npz --kind default --out nas://dump.npz
darknet heads-onnx --cfg nas://untrained/model.cfg --weights nas://untrained/model.weights --out nas://heads.onnx
darknet classes --cfg nas://untrained/model.cfg --weights nas://untrained/model.weights --names nas://untrained/classes.names --new-names nas://untrained/classes.names --out nas://classes
darknet resize --cfg nas://untrained/model.cfg --width 64 --height 64 --out nas://resized.cfg
darknet activations --cfg nas://untrained/model.cfg --renames leaky=mish --out nas://activations.cfg
darknet anchors --cfg nas://untrained/model.cfg --weights nas://untrained/model.weights --coco nas://data/annotations/instances_train.json --out nas://anchors
darknet freeze --cfg nas://untrained/model.cfg --fine-tune-layers heads --out nas://frozen.cfg
darknet fuse --cfg nas://untrained/model.cfg --weights nas://untrained/model.weights --out nas://fused
darknet partial --cfg nas://untrained/model.cfg --weights nas://untrained/model.weights --layers 3 --out nas://partial.weights
deepstream config --model nas://untrained --model-format darknet --confidence-threshold 0.3 --iou-threshold 0.4 --out nas://deployment
ledger add --ledger nas://ledger --evaluation nas://evaluation --model-name any
ledger table --ledger nas://ledger --out nas://table.md
storage fetch nas://untrained/model.cfg --out nas://fetched.cfg
schedule emit-cronjob weekly --cron @daily --source nas://recordings --zoo nas://zoo --out nas://job.yaml
train --dataset nas://data {SMALL} --out nas://run
trial fine-tuning --dataset nas://data {SMALL} --work nas://work
trial fine-tuning --dataset nas://data {SMALL} --work nas://work --store nas://store
trial compression --model nas://untrained --dataset nas://data --batch 2 --max-batches 1 --prune-ratio 0.2 --reestimate-pictures 0 --work nas://work --store nas://store
katib run nas://experiment.yaml --out nas://experiment
compress measure --model nas://untrained --out nas://latency.json
compress prune --model nas://untrained --prune-ratio 0.2 --out nas://pruned
reports nas://evaluation
"""


def stop(*_: object) -> None:
    raise TrainingError(STOPPED)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, small_data_set: Path, untrained_model: Path) -> Path:
    """The NAS after all runs; the folder beside it was the present one."""
    import numpy as np

    place = tmp_path_factory.mktemp("outputs")
    nas, here = place / "nas", place / "here"
    nas.mkdir()
    here.mkdir()
    shutil.copytree(small_data_set, nas / "dataset")
    shutil.copytree(untrained_model, nas / "untrained")
    (nas / "experiment.yaml").write_text(EXPERIMENT)
    line = '{"file_name": "a/%d.jpg", "width": 9, "height": 9, "detections": []}\n'
    (nas / "found.jsonl").write_text("".join(line % number for number in range(2)))
    (nas / "splits.yaml").write_text("level: site\nsplits: {elsewhere: test}\n")
    np.savez(nas / "input.npz", input=np.zeros((3, 96, 160), np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NAS_ROOT_VARIABLE, str(nas))
        patch.chdir(here)
        patch.setattr("traffic_yolo.training.run.Run.go_on", stop)
        for line in RUNS.strip().splitlines():
            with pytest.raises(SystemExit) as caught:
                main(line.split())
            assert caught.value.code == (2 if line.startswith(("train ", "trial ")) else 0), line
    return nas


@pytest.mark.parametrize("flag", OUTPUTS, ids=str)
def test_value_of_an_output_is_a_path_below_the_nas_root(
    flag: Flag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAS_ROOT_VARIABLE, str(tmp_path))
    given = "/pod=nas://x/y" if flag.parameter.type.name == "path=location" else "nas://x/y"
    value = str(flag.parameter.type.convert(given, flag.parameter, None))
    assert local_path(value.removeprefix("/pod=")) == tmp_path / "x" / "y"


def test_every_output_flag_is_run_here_or_says_where() -> None:
    assert {str(flag) for flag in OUTPUTS} == set(WRITTEN) | set(TOO_LONG)


def test_nothing_was_written_to_the_present_folder(root: Path) -> None:
    assert list((root.parent / "here").iterdir()) == []


@pytest.mark.parametrize("flag", WRITTEN)
def test_output_lies_below_the_nas_root(flag: str, root: Path) -> None:
    assert f"nas://{WRITTEN[flag]}" in RUNS
    written = root / WRITTEN[flag]
    assert written.is_file() or any(written.iterdir())
