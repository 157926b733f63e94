"""Every HTML page of the product, made by its commands from a small share of rendered recordings, as a user would."""

import contextlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import h5py
from many_classes import made_up_report
from odd_recordings import write_good

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.cli import main
from traffic_yolo.html_report import page, paragraph
from traffic_yolo.page_origin import About
from traffic_yolo.tuning.compression_record import CompressionRecord, JudgedBy

# What `make_every_page` makes
NAMES = (
    "data set",
    "check",
    "check without findings",
    "inspect",
    "inspect of an unknown layout",
    "diff",
    "anonymize",
    "training",
    "tuning",
    "evaluation",
    "comparison",
    "validation with a waterfall",
    "quantisation",
    "compression",
    "drift",
    "select",
    "katib",
    "front of a compression",
    "model card",
    "ledger",
    "evaluation of many classes",
    "a page that says little",
    "index",
)
FOUND, NOTHING = 1, 0  # exit codes of a check
EXPERIMENT = """apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: parabola}
spec:
  objective: {type: maximize, objectiveMetricName: score, additionalMetricNames: [size]}
  algorithm: {algorithmName: random, algorithmSettings: [{name: random_state, value: "3"}]}
  maxTrialCount: 8
  parallelTrialCount: 2
  maxFailedTrialCount: 3
  parameters:
    - {name: x, parameterType: double, feasibleSpace: {min: "0.0", max: "1.0"}}
    - {name: layers, parameterType: categorical, feasibleSpace: {list: [heads, neck_and_heads, all]}}
  trialTemplate:
    primaryContainerName: trial
    trialParameters: [{name: x, reference: x}, {name: layers, reference: layers}]
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: trial
                image: python
                command: [python, /nas/trial.py, "${trialParameters.x}", "${trialParameters.layers}"]
                volumeMounts: [{name: nas, mountPath: /nas}]
            volumes: [{name: nas, persistentVolumeClaim: {claimName: nas}}]
"""
TRIAL = """import sys
x = float(sys.argv[1])
print(f"score={1 - (x - 0.3) ** 2}")
print(f"size={x * 3}")
"""


def run(*arguments: str | Path, ends: tuple[int, ...] = (0,)) -> str:
    """Runs a command in this process; what it printed. `AssertionError` for another exit code."""
    out = io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = ended.code or 0
    assert code in ends, f"{arguments}: exit code {code}\n{out.getvalue()}"
    return out.getvalue()


def make_every_page(folder: Path, tell: Callable[[str], None] = print) -> dict[str, Path]:
    """Makes all pages below `folder`, which must be empty. Returns name -> file."""
    pages: dict[str, Path] = {}
    options = SyntheticOptions(sites=4, recordings_per_site=1, frames_per_recording=4, image_wh=(480, 288), seed=3)
    write_share(folder / "nas", options)
    recordings, labels = folder / "nas" / "recordings", folder / "nas" / "human_labels.json"
    source = ("--source", recordings, "--labels", labels, "--val-sites", "C", "--test-sites", "D")

    def made(name: str, file: Path) -> None:
        assert file.is_file(), f"{name}: {file} was not written"
        pages[name] = file
        tell(f"{name}: {file}")

    dataset = folder / "dataset"
    run("convert", *source, "--out", dataset)
    made("data set", dataset / "report.html")
    spoiled = _spoiled_labels(labels, folder / "spoiled.json")
    run("check", recordings, "--labels", spoiled, "--out", folder / "check", ends=(NOTHING, FOUND))
    made("check", folder / "check" / "report.html")
    run("check", dataset, "--out", folder / "sound", ends=(NOTHING, FOUND))
    made("check without findings", folder / "sound" / "report.html")
    run("atm", "inspect", recordings, "--html", folder / "inspect.html")
    made("inspect", folder / "inspect.html")
    _unknown_recording(folder / "unknown" / "camera.h5")
    run("atm", "inspect", folder / "unknown", "--html", folder / "inspect_unknown.html")
    made("inspect of an unknown layout", folder / "inspect_unknown.html")
    run("convert", "--source", recordings, "--labels", spoiled, "--out", folder / "changed", "--leak-check", "report", "--val-sites", "C",
        "--test-sites", "D")  # fmt: skip
    run("diff", dataset, folder / "changed", "--out", folder / "diff")
    made("diff", folder / "diff" / "report.html")
    run("anonymize", "--dataset", dataset, "--out", folder / "anonymous")
    made("anonymize", folder / "anonymous" / "report.html")

    training = folder / "training"
    run("train", "--dataset", dataset, "--out", training, "--width", "320", "--height", "192", "--max-batches", "24",
        "--batch", "8", "--learning-rate", "0.004", "--evaluate-every", "8")  # fmt: skip
    made("training", training / "report.html")
    model = folder / "model"
    run("export", "--run", training, "--dataset", dataset, "--out", model)
    run("evaluate", "--model", model, "--dataset", dataset, "--also", "val", "--out", folder / "first")
    run("tune", "--evaluation", folder / "first", "--dataset", dataset, "--out", folder / "tuning")
    made("tuning", folder / "tuning" / "report.html")
    run("evaluate", "--model", model, "--dataset", dataset, "--detections-folder", folder / "first", "--sweep",
        folder / "tuning", "--confidence-threshold", "0.1", "--out", folder / "evaluation")  # fmt: skip
    made("evaluation", folder / "evaluation" / "report.html")
    run("compare", folder / "first", folder / "evaluation", "--dataset", dataset, "--html", folder / "compare.html")
    made("comparison", folder / "compare.html")
    run("validate", "--model", model, "--dataset", dataset, "--tuning", folder / "tuning", "--evaluation",
        folder / "first", "--waterfall", "--out", folder / "validation")  # fmt: skip
    made("validation with a waterfall", folder / "validation" / "report.html")
    run("quantize", "--model", model, "--dataset", dataset, "--out", folder / "quantized", "--calibration-pictures", "4",
        "--scan-pictures", "1", ends=(0, 1))  # fmt: skip
    made("quantisation", folder / "quantized" / "report.html")
    run("compress", "prune", "--model", model, "--out", folder / "pruned", "--bflops-ratio", "0.3")
    run("compress", "report", "--before", model, "--after", folder / "pruned", "--dataset", dataset, "--out",
        folder / "smaller")  # fmt: skip
    made("compression", folder / "smaller" / "report.html")
    run("predict", model, recordings, "--out", folder / "predicted", "--no-draw", "--save", "jsonl",
        "--confidence-threshold", "0.05")  # fmt: skip
    found = folder / "predicted" / "detections.jsonl"
    half = _thinned(found, folder / "validation.jsonl")
    run("drift", "--deployed", found, "--validation", half, "--least-pictures", "2", "--out", folder / "drift",
        ends=(NOTHING, FOUND))  # fmt: skip
    made("drift", folder / "drift" / "report.html")
    few = _few_labels(labels, folder / "few.json")
    run("select", "--source", recordings, "--labels", few, "--keep-splits", dataset / "splits.yaml", "--detections",
        found, "--budget", "8", "--out", folder / "select")  # fmt: skip
    made("select", folder / "select" / "report.html")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    (folder / "trial.py").write_text(TRIAL)
    run("katib", "run", folder / "experiment.yaml", "--nas-root", folder, "--out", folder / "katib")
    made("katib", folder / "katib" / "report.html")
    _write_trials(folder / "trials_of_a_compression")
    run("compress", "front", "--store", folder / "trials_of_a_compression", "--most-latency-share", "0.6", "--out",
        folder / "front")  # fmt: skip
    made("front of a compression", folder / "front" / "report.html")
    run("publish", "--model", model, "--tuning", folder / "tuning", "--validation", folder / "validation",
        "--evaluation", folder / "first", "--dataset", dataset, "--zoo", folder / "zoo", "--model-name", "small",
        "--accept-few", "--force", "--on-failed-gate", "keep", "--force-reason", "a page to look at", ends=(0, 1))  # fmt: skip
    run("zoo", "show", "--zoo", folder / "zoo", "small", "1", "--html", folder / "card.html")
    made("model card", folder / "card.html")
    run("ledger", "table", "--zoo", folder / "zoo", "--as", "html", "--out", folder / "ledger.html")
    made("ledger", folder / "ledger.html")
    (folder / "many").mkdir()
    (folder / "many" / "report.html").write_text(made_up_report(classes=120, sites=30))
    made("evaluation of many classes", folder / "many" / "report.html")
    (folder / "empty.html").write_text(
        page(
            "A page that says little",
            [
                ("", paragraph("Nothing.")),
            ],
            about=About(),
        )
    )
    made("a page that says little", folder / "empty.html")
    run("reports", folder)
    made("index", folder / "index.html")
    return pages


def _write_trials(store: Path) -> None:
    """What made-up trials of every kind leave; AP falls with what is pruned."""
    judged_by = JudgedBy("m" * 20, "d" * 20, "t" * 64, "a processor, threads: 2")
    whole = {"latency_ms": 20.0, "bflops": 1.2, "weights": 1.5e6}
    for place, (kind, layers) in enumerate(itertools.product(("channels", "regular", "blocks"), ("all", "heads"))):
        for ratio in (0.0, 0.2, 0.4, 0.6):
            left = 1 - ratio * (0.8 + place / 20)
            ap = 0.4 * left ** (0.2 + place / 10)
            metrics = {"map_at_latency": ap, "map": ap, "map50": 1.7 * ap}
            metrics |= {name: left * value for name, value in whole.items()}
            pruning = {"prune_kind": kind, "prune_ratio": ratio}
            run_folder = f"training-{place}{int(10 * ratio):019d}/run"
            training = {"fine_tune_layers": layers, "max_batches": 2000}
            CompressionRecord(judged_by, pruning, training, metrics, whole, run_folder, int(90 * ratio), 100).write(
                store
            )


def _spoiled_labels(labels: Path, target: Path) -> Path:
    """Labels with mistakes: boxes twice, some that stick out, some tiny, some of another class, some gone."""
    content = json.loads(labels.read_text())
    boxes = content["annotations"]
    width = {image["id"]: image["width"] for image in content["images"]}
    for number, box in enumerate(list(boxes)):
        left, top, wide, high = box["bbox"]
        if number % 11 == 0:
            boxes.append({**box, "id": 100_000 + number})
        if number % 11 == 3:
            box["bbox"] = [left, top, width[box["image_id"]] - left + 12, high]
        if number % 11 == 5:
            box["bbox"] = [left, top, 1.5, 1.5]
        if number % 11 == 7:
            box["category_id"] = 0
        if number % 11 == 9:
            box["bbox"] = [left + 6, top + 2, wide, high]
    target.write_text(json.dumps({**content, "annotations": [box for box in boxes if box["id"] % 13]}))
    return target


def _unknown_recording(path: Path) -> None:
    """A recording whose data sets have other names than any layout has."""
    with h5py.File(write_good(path), "a") as file:
        for scan in file.values():
            scan.move("Image", "frame")
            scan.move("AI", "objects")


def _few_labels(labels: Path, target: Path) -> Path:
    """Those of every second picture: the others are to be labelled."""
    content = json.loads(labels.read_text())
    kept = {image["id"] for image in content["images"][::2]}
    images = [image for image in content["images"] if image["id"] in kept]
    boxes = [box for box in content["annotations"] if box["image_id"] in kept]
    target.write_text(json.dumps({**content, "images": images, "annotations": boxes}))
    return target


def _thinned(found: Path, target: Path) -> Path:
    """Every second line, which is as if another camera had seen half."""
    target.write_text("\n".join(found.read_text().splitlines()[::2]) + "\n")
    return target
