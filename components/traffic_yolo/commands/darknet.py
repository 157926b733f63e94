"""`traffic-yolo darknet`: looks into Darknet cfg and weights files, and changes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.errors import OptionsError

if TYPE_CHECKING:
    from traffic_yolo.darknet.network import Network

CFG_HELP = "Darknet cfg file."
FOLDER_HELP = "Folder to write: model.cfg, model.weights"


@click.group()
def command() -> None:
    """Darknet cfg and weights: show, lint, dump, map, and change them."""


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@json_option
def show(cfg: str, as_json: bool) -> None:
    """Print the layers as Darknet does, with weights, strides and what is frozen."""
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.show import network_table

    table = network_table(Cfg.read(cfg))
    print_result(table.to_text(), table.to_json(), as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--target", required=True, help="darknet, deepstream-yolo, onnx or opencv.")
@click.option("--weights", type=READ, help="Weights file to check with it.")
@click.option("--resize", type=click.Choice(["stretch", "letterbox"]), help="How the runtime is set up to resize.")
@click.option("--nvinfer-config", type=READ, help="Take maintain-aspect-ratio and num-detected-classes from this file.")
@json_option
@click.pass_context
def lint(
    ctx: click.Context,
    cfg: str,
    target: str,
    weights: str | None,
    resize: str | None,
    nvinfer_config: str | None,
    as_json: bool,
) -> None:
    """Say what a runtime would make of a cfg and its weights.

    Exit code 0: no errors (warnings are allowed), 1: errors, 2: the command was wrong.
    """
    from traffic_yolo.darknet.lint import lint as lint_file
    from traffic_yolo.darknet.lint_findings import RuntimeSetup

    setup = RuntimeSetup(resize or "")  # type: ignore[arg-type]
    if nvinfer_config is not None:
        from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig

        if resize is not None:
            raise OptionsError("--resize and --nvinfer-config both say how the runtime resizes; give one of them")
        config = NvinferConfig.read(nvinfer_config)
        keeps_aspect = config.integer("maintain-aspect-ratio")
        setup = RuntimeSetup("letterbox" if keeps_aspect else "stretch", config.integer("num-detected-classes") or None)
    report = lint_file(cfg, target, weights=weights, setup=setup)
    print_result(report.to_text(), report.to_json(), as_json=as_json)
    ctx.exit(report.exit_code)


@command.command("heads-onnx")
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", required=True, type=READ, help="Its weights.")
@json_option
@click.option("--out", required=True, type=WRITE, help="ONNX file to write.")
def heads_onnx(cfg: str, weights: str, out: Path, as_json: bool) -> None:
    """Write an ONNX file whose outputs are the raw heads, for the multi-label parser.

    What DeepStream shall report with one class a box needs `traffic-yolo export` instead.
    """
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.export.onnx_heads import write_heads_onnx

    network = Network.read(cfg, weights).eval()
    write_heads_onnx(network, out)
    values = {"out": out, "heads": len(network.heads), "classes": network.num_classes}
    print_result(f"{out}: {len(network.heads)} heads of {network.num_classes} classes", values, as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", required=True, type=READ, help="Its weights.")
@click.option("--input", "source", required=True, type=READ, help=".npz, key input: (3, H, W) float32 RGB in [0, 1].")
@click.option("--out", required=True, type=WRITE, help=".npz file to write.")
@click.option("--threshold", "thresholds", multiple=True, default=(0.25,), show_default=True, help="Repeatable.")
@click.option(
    "--iou-threshold", "iou_thresholds", multiple=True, default=(0.45,), show_default=True, help="Repeatable."
)
@click.option("--kind", "kinds", multiple=True, help="default, greedynms, diounms or obj; repeatable [default: all].")
@click.option("--letterbox/--stretch", default=None, help="How the input was made [default: what the cfg says].")
@json_option
def dump(
    cfg: str,
    weights: str,
    source: str,
    out: Path,
    thresholds: tuple[float, ...],
    iou_thresholds: tuple[float, ...],
    kinds: tuple[str, ...],
    letterbox: bool | None,
    as_json: bool,
) -> None:
    """Write what enters and leaves each head, boxes before and after NMS, for comparing implementations.

    With a key image_wh (width, height of the picture) in the input, boxes are written in the picture's pixels too.
    """
    from traffic_yolo.darknet.dump import DumpOptions, read_input, write_dump
    from traffic_yolo.darknet.dump import dump as dump_arrays
    from traffic_yolo.darknet.nms import NMS_KINDS

    options = DumpOptions(thresholds, iou_thresholds, kinds or NMS_KINDS, letterbox)
    image = read_input(source)
    arrays = dump_arrays(_load(cfg, weights), image, options)
    write_dump(out, arrays)
    print_result(f"{len(arrays)} arrays in {out}", {"out": out, "arrays": sorted(arrays)}, as_json=as_json)


@command.command("map")
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", required=True, type=READ, help="Its weights.")
@click.option("--data", required=True, type=READ, help="Darknet's .data file; its keys valid and names are read.")
@click.option("--points", default=0, show_default=True, help="AP at 11 or 101 recalls, or 0: area under the curve.")
@click.option("--match-iou", default=0.5, show_default=True, help="A detection must overlap its true box by more.")
@click.option("--confidence-threshold", default=0.25, show_default=True, help="For precision, recall and F1.")
@json_option
def map_command(
    cfg: str,
    weights: str,
    data: str,
    points: int,
    match_iou: float,
    confidence_threshold: float,
    as_json: bool,
) -> None:
    """Print AP, precision, recall and F1 by Darknet's own rules, as `darknet detector map` does."""
    from traffic_yolo.darknet.detector_map import MapOptions
    from traffic_yolo.evaluation.darknet_map import DarknetData, evaluate_map

    options = MapOptions(points, match_iou, confidence_threshold)
    listed = DarknetData.read(data)
    result = evaluate_map(_load(cfg, weights), listed, options)
    print_result(result.to_text(listed.names), result.to_json(listed.names), as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", required=True, type=READ, help="Its weights.")
@click.option("--names", required=True, type=READ, help="Class names of these weights, one a line.")
@click.option("--new-names", required=True, type=READ, help="Class names wanted, one a line.")
@click.option(
    "--class-seeds",
    multiple=True,
    help="Where new classes start: LONG_TRUCK=truck,MOTORCYCLE=bicycle (new=old); repeatable.",
)
@click.option(
    "--renames",
    multiple=True,
    help="Classes that go on under another name: car=CAR,pickup=TRUCK (old=new); repeatable.",
)
@click.option("--num-images", default=0, help="Pictures in the training set: max_batches is at least that many.")
@click.option("--seed", default=0, show_default=True, help="Of the rows of classes that start anew.")
@click.option("--out", required=True, type=WRITE, help=f"{FOLDER_HELP}, classes.names.")
@json_option
def classes(
    cfg: str,
    weights: str,
    names: str,
    new_names: str,
    class_seeds: tuple[str, ...],
    renames: tuple[str, ...],
    num_images: int,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Change the class list and keep what the weights know of the classes that stay.

    A class stays under its own name, whatever the case of its letters, or under the one that --renames gives it. The
    weights count 0 pictures seen: with the old count Darknet, unless told -clear, may end a new training at once.
    """
    from traffic_yolo.darknet.class_change import ClassChange
    from traffic_yolo.darknet.class_pairs import read_class_pairs
    from traffic_yolo.darknet.surgery import change_classes
    from traffic_yolo.model_folder import read_names
    from traffic_yolo.progress import stage

    old, new = read_names(names), read_names(new_names)
    seeds = read_class_pairs(",".join(class_seeds), option="--class-seeds", form="new=old")
    renamed = read_class_pairs(",".join(renames), option="--renames", form="old=new")
    network = _load(cfg, weights)
    with stage("changing the classes"):
        changed = change_classes(network, old, new, renames=renamed, seeds=seeds, num_images=num_images, seed=seed)
    change = ClassChange.of(old, new, renames=renamed, seeds=seeds)
    told = change.to_json()
    _write(changed, out, names=new, as_json=as_json, told=told, text=change.to_text(), seen=0)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--width", required=True, type=int, help="Network width in pixels.")
@click.option("--height", required=True, type=int, help="Network height in pixels.")
@click.option("--out", required=True, type=WRITE, help="cfg file to write; the weights stay the same.")
@json_option
def resize(cfg: str, width: int, height: int, out: Path, as_json: bool) -> None:
    """Change the network's input size."""
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.surgery import change_input_size

    change_input_size(Cfg.read(cfg), (width, height)).write(out)
    print_result(str(out), {"out": out}, as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--renames", required=True, help="OLD=NEW, with commas: silu=swish,relu6=relu.")
@click.option("--out", required=True, type=WRITE, help="cfg file to write; the weights stay the same.")
@json_option
def activations(cfg: str, renames: str, out: Path, as_json: bool) -> None:
    """Write other activations into a cfg, for a runtime that lacks one; says which change the function."""
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.surgery_activations import change_activations, read_renames

    option = "--renames"
    changed, changes = change_activations(Cfg.read(cfg), read_renames(renames, option=option), option=option)
    changed.write(out)
    told = [{"old": each.old, "new": each.new, "layers": each.layers, "same": each.same} for each in changes]
    print_result("\n".join([*map(str, changes), str(out)]), {"out": out, "changes": told}, as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", type=READ, help="Its weights; needed with --out.")
@click.option("--anchors", "text", default="", help="Anchors in network pixels: 10,14, 23,27, ...")
@click.option("--coco", type=READ, help="Compute the anchors from the boxes of this COCO instances file.")
@click.option("--count", type=int, help="How many to compute [default: as many as the cfg has].")
@click.option("--masks", default="", help="Anchor numbers of each head, in the cfg's order: 6,7,8;3,4,5;0,1,2.")
@click.option("--seed", default=0, show_default=True, help="Of k-means.")
@click.option("--out", type=WRITE, help=f"{FOLDER_HELP}. Without it the anchors are only printed.")
@json_option
def anchors(
    cfg: str,
    weights: str | None,
    text: str,
    coco: str | None,
    count: int | None,
    masks: str,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Change the anchors, to a list or to what fits a data set (as Darknet's calc_anchors computes them)."""
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.darknet.surgery_anchors import anchors_from_sizes, average_iou, change_anchors

    if bool(text) == (coco is not None):
        raise OptionsError("anchors: expected one of --anchors and --coco")
    if out is not None and weights is None:
        raise OptionsError("anchors: --out needs --weights")
    network = _load(cfg, weights) if weights is not None else Network(Cfg.read(cfg), seed=None)
    if coco is not None:
        sizes = _box_sizes(coco, network)
        chosen = anchors_from_sizes(sizes, count or len(network.heads[0].anchors), seed=seed)
        click.echo(f"{len(sizes)} boxes, average IoU {average_iou(sizes, chosen):.4f}", err=as_json)
        pairs = [(float(width), float(height)) for width, height in chosen.round(2)]
    else:
        numbers = _numbers(text, "--anchors", float)
        if len(numbers) % 2:
            raise OptionsError(f"--anchors: expected pairs of width,height, found {len(numbers)} numbers")
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    text = "anchors = " + ", ".join(f"{width:g},{height:g}" for width, height in pairs)
    if out is None or not as_json:
        print_result(text, {"anchors": pairs}, as_json=as_json)
    if out is not None:
        by_head = [_numbers(mask, "--masks", int) for mask in masks.split(";")] if masks else None
        _write(change_anchors(network, pairs, masks=by_head), out, as_json=as_json, told={"anchors": pairs})


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--fine-tune-layers", required=True, help="To train: all, heads, neck_and_heads, or from:<layer index>.")
@click.option("--adapt-statistics", is_flag=True, help="train_only_bn: frozen layers' batch-norm statistics adapt.")
@click.option("--out", required=True, type=WRITE, help="cfg file to write.")
@json_option
def freeze(cfg: str, fine_tune_layers: str, adapt_statistics: bool, out: Path, as_json: bool) -> None:
    """Tell Darknet which layers to train: stopbackward, dont_update, train_only_bn."""
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.freeze_plan import plan_for_trainable, write_freeze_plan
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.options import check_plain, fields_of
    from traffic_yolo.training.freeze import trainable_layers
    from traffic_yolo.training.options import TrainingOptions

    check_plain(
        fields_of(TrainingOptions)["fine_tune_layers"],
        fine_tune_layers,
        name="--fine-tune-layers",
        taker="a flag",
        instead="in Python (traffic_yolo.training.freeze)",
    )
    network = Network(Cfg.read(cfg), seed=None)
    layers = trainable_layers(network, fine_tune_layers)
    plan = plan_for_trainable(network.sections, layers, adapt_statistics=adapt_statistics)
    write_freeze_plan(network.cfg, plan).write(out)
    print_result(str(out), {"out": out}, as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", required=True, type=READ, help="Its weights.")
@click.option("--out", required=True, type=WRITE, help=f"{FOLDER_HELP}.")
@json_option
def fuse(cfg: str, weights: str, out: Path, as_json: bool) -> None:
    """Fold batch-norm into the kernels: the same detections, for inference alone (keep the original to train on)."""
    from traffic_yolo.darknet.surgery_fuse import without_batch_norm

    _write(without_batch_norm(_load(cfg, weights)), out, as_json=as_json)


@command.command()
@click.option("--cfg", required=True, type=READ, help=CFG_HELP)
@click.option("--weights", required=True, type=READ, help="Its weights, whole.")
@click.option("--layers", required=True, type=int, help="How many layers, from the first on: 137 for yolov4.conv.137.")
@click.option("--out", required=True, type=WRITE, help="Weights file to write.")
@json_option
def partial(cfg: str, weights: str, layers: int, out: Path, as_json: bool) -> None:
    """Cut the first layers out of a weights file, to start a training from."""
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.surgery_partial import cut_backbone

    cut = cut_backbone(Cfg.read(cfg), weights, layers, out)
    text = f"{out}: {cut.layers} layers, {cut.num_weights:,} weights, {cut.num_bytes:,} bytes"
    values = {"out": out, "layers": cut.layers, "weights": cut.num_weights, "bytes": cut.num_bytes}
    print_result(text, values, as_json=as_json)


def _load(cfg: str, weights: str) -> "Network":
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.progress import stage

    with stage("reading the weights"):
        return Network.read(cfg, weights).eval()


def _write(
    network: "Network",
    out: Path,
    *,
    as_json: bool,
    names: tuple[str, ...] = (),
    told: Mapping[str, Any] | None = None,
    text: str = "",
    seen: int | None = None,
) -> None:
    from traffic_yolo.progress import stage
    from traffic_yolo.storage import atomic_folder, write_text

    with stage("writing the weights"), atomic_folder(out) as folder:
        network.cfg.write(folder / "model.cfg")
        network.save_weights(folder / "model.weights", seen=seen)
        if names:
            write_text(folder / "classes.names", "".join(f"{name}\n" for name in names))
    print_result("\n".join(filter(None, (text, str(out)))), {"out": out, **(told or {})}, as_json=as_json)


def _box_sizes(coco: str, network: "Network") -> Any:
    from traffic_yolo.darknet.surgery_anchors import network_box_sizes
    from traffic_yolo.dataset.formats.base import ReadOptions
    from traffic_yolo.dataset.formats.coco import CocoReader
    from traffic_yolo.storage import existing_path

    pairs = [
        (annotation.xywh[2:], image.image_wh)
        for image in CocoReader(existing_path(coco, what="COCO file"), ReadOptions()).pictures()
        for annotation in image.annotations
        if not annotation.is_crowd and not annotation.ignore
    ]
    if not pairs:
        raise OptionsError(f"{coco}: expected boxes, found none")
    height, width = network.input_hw
    boxes, images = zip(*pairs, strict=True)
    return network_box_sizes(boxes, images, (width, height), letterbox=network.letterbox)


def _numbers(text: str, option: str, kind: Any) -> list[Any]:
    try:
        return [kind(item) for item in text.split(",")]
    except ValueError:
        raise OptionsError(f"{option}: expected numbers separated by commas, found {text!r}") from None
