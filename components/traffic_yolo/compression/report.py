"""A model beside the one that it was made of: size, latency by runtime, AP with paired intervals, what went of it."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.compression.prune_network import network_size
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes import openvino
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.evaluation.compare import Comparison, compare
from traffic_yolo.evaluation.compare_page import comparison_body
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.html_report import Html, callout, page, paragraph, table
from traffic_yolo.metrics.paired import Difference
from traffic_yolo.model_folder import INT8_NAME, ModelFolder
from traffic_yolo.onnx_session import cpu_session
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.progress import stage
from traffic_yolo.pruned_from import PRUNED_NAME, NetworkSize, PrunedFrom
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, write_json, write_text

SCHEMA_VERSION = 1
REPORT_NAME, RESULT_NAME = "report.html", "compression.json"
REPEATS, WARM_UP = 20, 2  # the median counts; what comes before is not measured
MOST_S = 20.0  # of one runtime; five repeats there are whatever they take


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one picture on this machine, first and second model."""

    runtime: str
    first: float
    second: float


@dataclass(frozen=True)
class CompressionReport:
    """Two models: `sizes`, `latencies`, `comparison` None where no data set was given, `pruned` None where none is."""

    sizes: tuple[NetworkSize, NetworkSize]
    latencies: tuple[Latency, ...]
    comparison: Comparison | None
    pruned: PrunedFrom | None

    @property
    def size_rows(self) -> list[tuple[str, str, str, str]]:
        """Name, first, second and the share saved: sizes, and milliseconds by runtime."""
        first, second = self.sizes
        return [
            ("weights", f"{first.weights:,}", f"{second.weights:,}", _saved(first.weights, second.weights)),
            ("BFLOPs", f"{first.bflops:,.4f}", f"{second.bflops:,.4f}", _saved(first.bflops, second.bflops)),
            ("bytes", f"{first.bytes:,}", f"{second.bytes:,}", _saved(first.bytes, second.bytes)),
            *(
                (f"ms, {each.runtime}", f"{each.first:,.2f}", f"{each.second:,.2f}", _saved(each.first, each.second))
                for each in self.latencies
            ),
        ]

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """`size_rows`, then the numbers of both with the interval of their difference."""
        return [*self.size_rows, *map(_difference_row, self.differences)]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Of the comparison; none without a data set."""
        return self.comparison.differences if self.comparison else ()

    @property
    def text(self) -> str:
        """A table for a terminal, and what was compared."""
        lines = [f"{'':<20}{'before':>14}{'after':>14}  saved, or difference"]
        lines += [f"{name:<20}{first:>14}{second:>14}  {moved}" for name, first, second, moved in self.rows]
        if self.comparison:
            lines.append(self.comparison.text.splitlines()[len(self.differences)])
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "before": asdict(self.sizes[0]),
            "after": asdict(self.sizes[1]),
            "latency_ms": [asdict(each) for each in self.latencies],
            "comparison": self.comparison.document() if self.comparison else None,
            "pruned": self.pruned.document() if self.pruned else None,
        }


def compare_models(
    first: AnyPath, second: AnyPath, out: AnyPath, *, dataset: AnyPath | None = None, split: str = "test"
) -> CompressionReport:
    """Writes the folder `out` (report.html, compression.json) about two model folders, the second made of the first.

    With `dataset` both are evaluated on `split` (folders `before` and `after`) and their AP compared on the same
    resamples. Raises as `evaluate` and `compare`, and for what is no model folder.
    """
    target = output_path(out)
    models = ModelFolder.open(first), ModelFolder.open(second)
    record = models[1].path / PRUNED_NAME
    pruned = PrunedFrom.read(record) if record.is_file() else None
    with atomic_folder(target) as folder:
        comparison = None
        if dataset is not None:
            for model, name in zip(models, ("before", "after"), strict=True):
                evaluate(model.path, dataset, folder / name, split=split)
            comparison = compare(folder / "before", folder / "after", dataset)
        subjects = [models[1].subject(target), replace(models[0].subject(target), what="made of")]
        if dataset is not None:
            subjects += [DataSet.open(dataset).subject(target), Subject("split", split)]
        report = CompressionReport(_sizes(models), tuple(_latencies(models)), comparison, pruned)
        write_json(folder / RESULT_NAME, report.document())
        write_text(folder / REPORT_NAME, report_html(report, About(tuple(subjects), target)))
    return report


def report_html(report: CompressionReport, about: About) -> str:
    """The report as one self-contained page, `about` both models and the data set."""
    sections: list[tuple[str, str]] = [
        ("Before and after", table(("what", "before", "after", "saved"), report.size_rows)),
    ]
    if report.comparison:
        sections.append(("Is it as good?", comparison_body(report.comparison, ("before", "after"))))
    if report.pruned:
        sections += _pruning_sections(report.pruned)
    return page("A smaller model", sections, about=about)


def _pruning_sections(pruned: PrunedFrom) -> Iterator[tuple[str, str]]:
    chosen = ", ".join(f"{name} {value}" for name, value in pruned.options.items() if value is not None)
    made = f"{pruned.units:,} of {pruned.free_units:,} that may go went ({chosen})."
    warned = "".join(callout(warning, kind="warning") for warning in pruned.warnings)
    yield "How it was pruned", Html(warned + paragraph(made))
    if pruned.layers:
        rows = [(each.layer, each.line, each.before, each.after, _saved(each.before, each.after))
                for each in pruned.layers if each.after < each.before]  # fmt: skip
        yield "Filters by layer", table(("layer", "cfg line", "before", "after", "went"), rows)
    if pruned.blocks:
        yield "Blocks that went", table(("first layer", "last layer"), pruned.blocks)
    if pruned.carry_errors:
        caption = (
            "What silenced channels still gave, or what a fit leaves of it, is carried into the layers that read them "
            "as a constant. At padded borders a part of a kernel lies outside, and the value is off by at most the "
            "bound, before the activation."
        )
        errors = [(layer, f"{bound:.3g}", f"{share:.0%}") for layer, bound, share in pruned.carry_errors]
        yield "Where that is not exact", table(("layer", "bound", "share of pixels"), errors, caption=caption)
    if pruned.refits:
        caption = (
            f"Kernels were fitted on {pruned.refitted_on} pictures to stand in for what went: of the variance of a "
            "layer's outputs, what would be lost without the fit and what is lost with it, as if the pixels under a "
            "kernel varied on their own."
        )
        fits = [(layer, f"{lost:.1%}", f"{left:.1%}") for layer, lost, left in pruned.refits]
        yield "What the other channels stand in for", table(("layer", "without", "with"), fits, caption=caption)


def _sizes(models: tuple[ModelFolder, ModelFolder]) -> tuple[NetworkSize, NetworkSize]:
    return network_size(Cfg.read(models[0].cfg_path)), network_size(Cfg.read(models[1].cfg_path))


def _latencies(models: tuple[ModelFolder, ModelFolder]) -> Iterator[Latency]:
    """By each runtime that is installed, both models by turns, so that a busy machine is busy for both."""
    networks = [Network.read(model.cfg_path, model.weights_path).eval() for model in models]
    pictures = [np.random.default_rng(0).random((1, n.input_channels, *n.input_hw), dtype=np.float32) for n in networks]
    names = ["pytorch", "onnxruntime"] + (["openvino"] if openvino.missing_packages() is None else [])
    for name in names:
        with stage(f"measuring {name}"):
            runtimes = [open_runtime(network, RuntimeOptions(name)) for network in networks]
            yield Latency(name, *_by_turns(runtimes, pictures))
    if all((model.path / INT8_NAME).is_file() for model in models):
        with stage("measuring INT8"):
            yield Latency("onnxruntime int8", *_by_turns([_int8(model.path) for model in models], pictures))


def _int8(folder: Path) -> Any:
    session = cpu_session(folder / INT8_NAME)
    name = session.get_inputs()[0].name
    return lambda picture: session.run(None, {name: picture})


def _by_turns(runs: list[Any], pictures: list[Any]) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = ([], [])
    begun = time.perf_counter()
    for repeat in range(-WARM_UP, REPEATS):
        for times, run, picture in zip(taken, runs, pictures, strict=True):
            start = time.perf_counter()
            run(picture)
            if repeat >= 0:
                times.append(1000 * (time.perf_counter() - start))
        if repeat >= 4 and time.perf_counter() - begun > MOST_S:
            break
    return statistics.median(taken[0]), statistics.median(taken[1])


def _saved(before: float, after: float) -> str:
    return f"{1 - after / before:.1%}" if before else ""


def _difference_row(each: Difference) -> tuple[str, str, str, str]:
    low, high = 100 * each.difference.low, 100 * each.difference.high
    moved = f"{100 * each.difference.value:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}"
    return each.label, f"{each.first:.3f}", f"{each.second:.3f}", moved
