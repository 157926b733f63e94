"""`traffic_yolo.darknet.read`: a cfg with or without its weights, as a table of layers that a notebook shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.lint import LintReport
from traffic_yolo.darknet.lint import lint as lint_files
from traffic_yolo.darknet.network_sections import layers_in, read_sections
from traffic_yolo.darknet.show import LayerRow, NetworkTable, network_table
from traffic_yolo.darknet.weights import WeightsHeader, read_weights
from traffic_yolo.finding import counts_text
from traffic_yolo.result_view import ResultView, Viewable
from traffic_yolo.storage import AnyPath, existing_path

if TYPE_CHECKING:
    from traffic_yolo.darknet.network import Network


@dataclass(frozen=True, repr=False)
class DarknetFiles(Viewable):
    """A cfg, and its weights where they were given (`weights_path`, `header`).

    `table`: every layer and the sums. The files are read again by whoever wants more of them.
    """

    cfg_path: Path
    weights_path: Path | None
    cfg: Cfg
    table: NetworkTable
    header: WeightsHeader | None

    @property
    def layers(self) -> tuple[LayerRow, ...]:
        """The layers in order, from 0."""
        return self.table.layers

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width of the network's input in pixels."""
        return self.cfg.net.get_int("height", 0), self.cfg.net.get_int("width", 0)

    def lint(self, target: str = "darknet") -> "Linted":
        """What a runtime would make of the files: "darknet", "deepstream-yolo", "onnx" or "opencv"."""
        return Linted(lint_files(self.cfg_path, target, weights=self.weights_path))

    def network(self) -> "Network":
        """The network as a PyTorch module, with the weights where there are any, else with random ones."""
        from traffic_yolo.darknet.network import Network

        if self.weights_path is None:
            return Network.from_cfg(self.cfg)
        return Network.read(self.cfg, self.weights_path)

    def view(self) -> ResultView:
        """The sums and the layers."""
        height, width = self.network_hw
        table = self.table
        lines = [
            f"{width} x {height}, {len(table.layers)} layers, {table.num_weights:,} weights, {table.bflops:.3f} BFLOPs"
        ]
        if self.header is not None:
            version = f"{self.header.major}.{self.header.minor}.{self.header.revision}"
            lines.append(f"{self.weights_path}: Darknet {version}, seen {self.header.seen:,} pictures")
        if table.frozen_layers:
            lines.append(f"frozen layers with weights: {table.frozen_layers}")
        rows = tuple(
            (
                str(row.index),
                row.type,
                f"{row.size}" if row.size else "",
                "" if row.stride_wh is None else " x ".join(map(str, row.stride_wh)),
                " x ".join(map(str, row.input_whc)),
                " x ".join(map(str, row.output_whc)),
                row.bflops,
                row.num_weights,
            )
            for row in table.layers
        )
        headers = ("layer", "type", "size", "stride", "input (w, h, c)", "output (w, h, c)", "BFLOPs", "weights")
        return ResultView(str(self.cfg_path), tuple(lines), headers, rows)


@dataclass(frozen=True, repr=False)
class Linted(Viewable):
    """What a runtime would make of a cfg and its weights; true where it finds no error."""

    report: LintReport

    def __bool__(self) -> bool:
        return self.report.exit_code == 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `darknet lint --json` prints them."""
        return self.report.to_json()

    def __repr__(self) -> str:
        return self.report.to_text()

    def view(self) -> ResultView:
        """A row for each finding."""
        report = self.report
        rows = tuple(
            (each.severity, str(each.line or ""), each.section, each.message, each.advice) for each in report.findings
        )
        headers = ("severity", "line", "section", "what", "what to do")
        return ResultView(f"{report.file} for {report.target}: {counts_text(report.counts)}", (), headers, rows)


def read(cfg: AnyPath, weights: AnyPath = "") -> DarknetFiles:
    """Reads a Darknet cfg and, where given, its `.weights`, whose size must be what the cfg wants.

    Raises `DarknetFormatError` for files that Darknet's rules do not allow or that do not fit each other,
    `StorageError` for one that is not there.
    """
    cfg_path = existing_path(cfg, what="cfg")
    parsed = Cfg.read(cfg_path)
    table = network_table(parsed)
    if not weights:
        return DarknetFiles(cfg_path, None, parsed, table, None)
    weights_path = existing_path(weights, what="weights")
    file = read_weights(weights_path)
    layers_in(file, parsed, read_sections(parsed), partial=False)
    return DarknetFiles(cfg_path, weights_path, parsed, table, file.header)
