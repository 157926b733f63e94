"""Runs the same pictures through every stage that is here, from Darknet to DeepStream: one inference for each input.

Rules after the network are applied to rows that are kept, so only rules before it cost an inference, and states whose
inputs are alike share one (`waterfall_rules.Rules.inputs`).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.simulate.simulator import FrameOutput
from traffic_yolo.deepstream.simulate.single_label import best_class_only
from traffic_yolo.deepstream.waterfall.boxes import NO_LIMIT, Frame, Reporting, reported
from traffic_yolo.deepstream.waterfall.darknet_program import VALID_IOU, darknet_detections
from traffic_yolo.deepstream.waterfall.inputs import View, network_input
from traffic_yolo.deepstream.waterfall.networks import HalfNetwork, Rows, RowsOf
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.deepstream.waterfall.rules import CAUSES, Rules, darknet_rules, nvinfer_rules, switches
from traffic_yolo.deepstream.waterfall.sources import AppRun, Sources
from traffic_yolo.deepstream.waterfall.waterfall import (
    RESAMPLES,
    Judge,
    RuleRow,
    Stage,
    State,
    Waterfall,
    gate,
    rule_row,
    stage_of,
)
from traffic_yolo.detection.deployed_thresholds import DeployedThresholds
from traffic_yolo.detection.detect import Picture, read_rgb
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression, suppressed_to_floor
from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR, RawDetections
from traffic_yolo.metrics.bootstrap import coarsest_groups
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.metrics.label_attributes import read_label_attributes
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.progress import progress

ARITHMETIC = ("arithmetic", "another order of sums in another library")
SINGLE_LABEL = ("single label", "a box has its best class alone, as DeepStream-Yolo's parser gives it")
PROGRAMS_NMS = ("NMS of valid", f"detector valid's NMS at {VALID_IOU:g}, where the operating point has its own")
PRECISION = ("precision", "numbers of fewer bits")
HALF_NETWORK = ("precision", "weights and activations in FP16")
HALF_BOXES = ("precision of boxes", "boxes and scores decoded in FP16")
HARDWARE = ("hardware", "TensorRT's arithmetic, the hardware's scaler and decoder together")


@dataclass
class _Work:
    """What all stages of one waterfall need; `frames` keeps what was inferred, by the rules of its input."""

    model: ModelFolder
    pictures: Sequence[Picture]
    raw: RawDetections
    nms: NmsOptions
    start: Rules
    end: Rules
    reporting: Reporting
    sources: Sources
    judge: Judge
    max_drop: float
    frames: dict[tuple[object, ...], list[Frame]] = field(default_factory=dict)
    states: dict[Rules, State] = field(default_factory=dict)
    inferences: int = 0

    def infer(self, rules: Rules, rows_of: RowsOf, *, what: str) -> list[list[Frame]]:
        """One list of frames for each set of rows that `rows_of` gives."""
        unit_scale = self.sources.config.number("net-scale-factor") if self.end.colour.is_darknets else 1 / 255
        found: list[tuple[Picture, View, tuple[Rows, ...]]] = []
        for picture in progress(self.pictures, description=what, unit="picture"):
            tensor, view = network_input(read_rgb(picture), rules, self.model.network_hw, unit_scale=unit_scale)
            found.append((picture, view, rows_of(tensor)))
        self.inferences += 1
        return [
            [Frame(picture.image_id, view, rows[index]) for picture, view, rows in found]
            for index in range(len(found[0][2]))
        ]

    def state_of(self, frames: Sequence[Frame], rules: Rules) -> State:
        return self.judge.state(reported(frames, rules, self.reporting), rules.thresholds)

    def onnx_state(self, rules: Rules) -> State:
        """The state of the model's own ONNX file under `rules`, inferred or reported once."""
        if rules.inputs not in self.frames:
            (self.frames[rules.inputs],) = self.infer(rules, self.sources.onnx, what="ONNX")
        if rules not in self.states:
            self.states[rules] = self.state_of(self.frames[rules.inputs], rules)
        return self.states[rules]


def run_waterfall(
    model: ModelFolder,
    data: DataSet,
    split: str,
    raw: RawDetections,
    deployed: DeployedThresholds,
    sources: Sources,
    options: WaterfallOptions,
    *,
    simulated: Sequence[FrameOutput] = (),
    resamples: int = RESAMPLES,
) -> Waterfall:
    """All stages, in order: Darknet's program where there is one, what made `raw`, the weights written and read again,
    ONNX, nvinfer's rules, and on top of these each precision, an engine and a run of DeepStream.

    `raw`: the model's raw detections of the split. `simulated`: what the simulator gave under the configuration just
    written, which saves an inference where that one is simulated. `resamples`: of the paired bootstrap. Raises
    `EvaluationError` where Darknet's program fails, `DatasetError` for a picture that cannot be decoded.
    """
    config, pictures = sources.config, data.split(split)
    attributes = tuple(config.class_attributes(index) for index in range(len(model.classes)))
    thresholds = [deployed.by_class.get(name, deployed.nms.confidence_threshold) for name in model.classes]
    start = darknet_rules(model, deployed.nms, thresholds)
    end = nvinfer_rules(start, config, attributes, nv12=options.nv12, mux_wh=options.mux_wh)
    truth = read_ground_truth(data.coco_path(split), model.classes)
    groups = coarsest_groups(read_label_attributes(data.coco_path(split), truth))
    crops = config.integer("crop-objects-to-roi-boundary") == 1
    work = _Work(
        model=model,
        pictures=pictures,
        raw=raw,
        nms=deployed.nms,
        start=start,
        end=end,
        reporting=Reporting(model.network_hw, model.classes, attributes, crops, deployed.nms),
        sources=sources,
        judge=Judge(truth, groups, resamples=resamples),
        max_drop=options.max_drop,
    )
    if simulated and sources.is_own and not options.nv12 and options.mux_wh is None:
        work.frames[end.inputs] = [_frame_of(each, picture) for each, picture in zip(simulated, pictures, strict=True)]
    stages: list[Stage] = []
    first = _darknet_stage(work, sources.program, stages) if sources.program else None
    multi = _pytorch_stage(work, first, stages)
    _weights_stage(work, data, split, multi, stages)
    _onnx_stage(work, multi, stages)
    before = _simulator_stage(work, stages)
    stages.append(
        _precision_stage(work, "fp16", "FP16 (file)", sources.fp16, before)
        if sources.fp16
        else _half_stage(work, before)
    )
    if sources.int8:
        stages.append(_precision_stage(work, "int8", "INT8 Q/DQ (file)", sources.int8, before))
    if sources.engine:
        stages.append(_precision_stage(work, "tensorrt", "TensorRT", sources.engine, before))
    if sources.run:
        stages.append(_deepstream_stage(work, sources.run, before))
    return Waterfall(split, len(pictures), groups, tuple(stages), options.max_drop, work.inferences)


def _frame_of(output: FrameOutput, picture: Picture) -> Frame:
    hw = (picture.height, picture.width)
    return Frame(output.image_id, View(output.placement, (0.0, 0.0), hw, hw), output.rows)


def _name_of(raw: RawDetections) -> str:
    name = "PyTorch" if raw.protocol.runtime == "pytorch" else raw.protocol.runtime
    return name if raw.protocol.precision == "float32" else f"{name} in {raw.protocol.precision}"


def _darknet_stage(work: _Work, program: Path, stages: list[Stage]) -> State:
    found = darknet_detections(program, work.model, work.pictures)
    state = work.judge.state(found, work.start.thresholds)
    note = f"detector valid has an NMS of its own, at {VALID_IOU:g}"
    stages.append(stage_of(work.judge, "darknet", "Darknet", state, note=note))
    return state


def _pytorch_stage(work: _Work, first: State | None, stages: list[Stage]) -> State:
    """Every class of a box, at the operating point's NMS; the program's own NMS lies between it and Darknet."""
    judge, raw = work.judge, work.raw
    state = judge.state(suppressed_to_floor(raw, work.nms), work.start.thresholds)
    name = _name_of(raw)
    if first is None:
        stages.append(stage_of(judge, "pytorch", name, state))
        return state
    head = Network.from_cfg(work.model.cfg_path).heads[-1]
    as_valid = NmsOptions(CONFIDENCE_FLOOR, VALID_IOU, head.nms_kind, head.beta_nms, NO_LIMIT)
    like = judge.state(non_maximum_suppression(raw, as_valid), work.start.thresholds)
    rows = [
        rule_row(judge, *ARITHMETIC, before=first, after=like, start=first, alone=like),
        rule_row(judge, *PROGRAMS_NMS, before=like, after=state, start=first, alone=None, is_expected=True),
    ]
    problems = gate(judge, first, like, work.max_drop, hold_boxes=True)
    stages.append(stage_of(judge, "pytorch", name, state, before=("darknet", first), rows=rows, problems=problems))
    return state


def _weights_stage(work: _Work, data: DataSet, split: str, before: State, stages: list[Stage]) -> None:
    """The Darknet pair written from the network and read again: the same bytes need no inference."""
    network = Network.read(work.model.cfg_path, work.model.weights_path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network.save_weights(folder / WEIGHTS_NAME)
        again = Network.read(work.model.cfg_path, folder / WEIGHTS_NAME)
        same_bytes = (folder / WEIGHTS_NAME).read_bytes() == work.model.weights_path.read_bytes()
        own, others = network.state_dict(), again.state_dict()
        if all(np.array_equal(own[key].numpy(), others[key].numpy(), equal_nan=True) for key in own):
            note = "the same bytes" if same_bytes else "the same weights in another file"
            stages.append(
                stage_of(
                    work.judge, "weights", ".weights written again", before, before=("pytorch", before),
                    note=f"{note}: no inference was needed",
                )
            )  # fmt: skip
            return
        (folder / CFG_NAME).write_bytes(work.model.cfg_path.read_bytes())
        (folder / CLASSES_NAME).write_bytes(work.model.names_path.read_bytes())
        raw = detect_split(ModelFolder.open(folder), data, split, InferenceOptions())
    work.inferences += 1
    state = work.judge.state(suppressed_to_floor(raw, work.nms), work.start.thresholds)
    row = rule_row(work.judge, *ARITHMETIC, before=before, after=state, start=before, alone=state)
    problems = gate(work.judge, before, state, work.max_drop, hold_boxes=True)
    note = "other weights than in the file that was read"
    stages.append(
        stage_of(
            work.judge, "weights", ".weights written again", state, before=("pytorch", before), rows=[row],
            problems=problems, note=note,
        )
    )  # fmt: skip


def _onnx_stage(work: _Work, multi: State, stages: list[Stage]) -> None:
    """The ONNX file on Darknet's own inputs, with Darknet's NMS: what is lost is one class a box, and arithmetic."""
    judge = work.judge
    single = judge.state(suppressed_to_floor(best_class_only(work.raw), work.nms), work.start.thresholds)
    state = work.onnx_state(work.start)
    rows = [
        rule_row(judge, *SINGLE_LABEL, before=multi, after=single, start=multi, alone=single, is_expected=True),
        rule_row(judge, *ARITHMETIC, before=single, after=state, start=multi, alone=None),
    ]
    problems = gate(judge, single, state, work.max_drop, hold_boxes=True)
    before = (stages[-1].key, multi)
    stages.append(stage_of(judge, "onnx", "ONNX", state, before=before, rows=rows, problems=problems))


def _simulator_stage(work: _Work, stages: list[Stage]) -> State:
    """Nvinfer's rules, turned one by one."""
    judge, start = work.judge, work.onnx_state(work.start)
    rows: list[RuleRow] = []
    before = start
    for switch in switches(work.start, work.end):
        after, alone = work.onnx_state(switch.reached), work.onnx_state(switch.alone)
        rows.append(rule_row(judge, *CAUSES[switch.field], before=before, after=after, start=start, alone=alone))
        before = after
    problems = gate(judge, start, before, work.max_drop, hold_boxes=True)
    note = "onnxruntime between nvinfer's rules; no GPU"
    stages.append(
        stage_of(judge, "simulator", "nvinfer's rules", before, before=("onnx", start), rows=rows, problems=problems,
                 note=note)
    )  # fmt: skip
    return before


def _precision_stage(work: _Work, key: str, name: str, rows_of: RowsOf, before: State) -> Stage:
    """The network in another arithmetic, all else as the simulator has it."""
    (frames,) = work.infer(work.end, rows_of, what=name)
    frames, problems = _finite(frames)
    state = work.state_of(frames, work.end)
    row = rule_row(work.judge, *PRECISION, before=before, after=state, start=before, alone=state)
    problems += gate(work.judge, before, state, work.max_drop, hold_boxes=False)
    return stage_of(work.judge, key, name, state, before=("simulator", before), rows=[row], problems=problems)


def _half_stage(work: _Work, before: State) -> Stage:
    half = HalfNetwork(Network.read(work.model.cfg_path, work.model.weights_path))
    sets = work.infer(work.end, half.rows, what="FP16")
    work.inferences += 1  # the network in float32 as well, for the boxes alone
    checked = [_finite(frames) for frames in sets]
    network, both, boxes = (work.state_of(frames, work.end) for frames, _ in checked)
    judge = work.judge
    rows = [
        rule_row(judge, *HALF_NETWORK, before=before, after=network, start=before, alone=network),
        rule_row(judge, *HALF_BOXES, before=network, after=both, start=before, alone=boxes),
    ]
    problems = checked[1][1] + gate(judge, before, both, work.max_drop, hold_boxes=False)
    note = "emulated: every operation's result is rounded, TensorRT rounds less often"
    return stage_of(
        judge, "fp16", "FP16 (emulated)", both, before=("simulator", before), rows=rows, problems=problems, note=note
    )


def _finite(frames: Sequence[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """The frames without rows that hold NaN or infinity, and a sentence where there were any."""
    kept, lost = [], 0
    for frame in frames:
        good = np.isfinite(frame.rows).all(axis=1)
        lost += int((~good).sum())
        kept.append(Frame(frame.image_id, frame.view, frame.rows[good]))
    if not lost:
        return kept, ()
    return kept, (f"{lost} boxes hold NaN or infinity: numbers overflow in this precision; keep float32",)


def _deepstream_stage(work: _Work, run: AppRun, before: State) -> Stage:
    """What deepstream-app dumped, against the simulator's boxes above the same thresholds on the same pictures."""
    judge = work.judge
    shown = before.reported.select(np.isin(before.reported.image_ids, run.image_ids))
    cut = judge.state(shown, work.end.thresholds)
    state = judge.state(judge.state(run.found, work.end.thresholds).reported, work.end.thresholds)
    row = rule_row(judge, *HARDWARE, before=cut, after=state, start=cut, alone=state)
    problems = gate(judge, cut, state, work.max_drop, hold_boxes=True)
    note = "both sides above the thresholds alone, so that AP is lower than in the other stages"
    if len(run.image_ids) < len(work.pictures):
        note += f"; on {len(run.image_ids)} of the pictures, the others count as missed on both sides"
    return stage_of(
        judge, "deepstream", "DeepStream", state, before=("simulator", cut), rows=[row], problems=problems, note=note
    )
