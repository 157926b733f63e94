"""The groups of deepstream-app's configuration: sources, muxer, network, tracker, drawing and sink, with reasons.

Nobody has run these files on a GPU node; keys and values follow deepstream-app's sources (9.1).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from traffic_yolo.deepstream.config.options import TRACKERS, AppOptions
from traffic_yolo.deepstream.config.text import config_text
from traffic_yolo.errors import OptionsError

SOURCES_NAME = "sources.csv"
URI, RTSP = "2", "4"
RTSP_SCHEMES = ("rtsp://", "rtspt://", "rtsps://")
DEEPSTREAM = "/opt/nvidia/deepstream/deepstream"  # where the packages and images of NVIDIA put it
TRACKER_LIBRARY = f"{DEEPSTREAM}/lib/libnvds_nvmultiobjecttracker.so"
TRACKER_CONFIGS = f"{DEEPSTREAM}/samples/configs/deepstream-app"
TRACKER_WH = (960, 544)  # multiples of 32, as the sample configurations have it
MOST_SOURCES = 1024  # of deepstream-app
RTSP_SERVER = {"rtsp-port": "8554", "udp-port": "5400"}

Groups = dict[str, dict[str, str]]


@dataclass(frozen=True)
class AppConfig:
    """Groups and reasons; `sources`: (type, URI) of each, which the YAML form keeps in a file of their own."""

    groups: Groups
    reasons: dict[tuple[str, str], str]
    sources: tuple[tuple[str, str], ...]

    def to_text(self, form: str) -> str:
        """The file's text in the form "txt" or "yaml"."""
        if form == "txt":
            return config_text(self.groups, self.reasons)
        groups: Groups = {}
        for group, values in self.groups.items():
            if not group.startswith("source"):
                groups[group] = values
            elif "source" not in groups:
                groups["source"] = {"csv-file-path": SOURCES_NAME}
        reasons = {**self.reasons, ("source", "csv-file-path"): "the YAML form has its sources in a table"}
        return config_text(groups, reasons, form="yaml")

    def sources_text(self) -> str:
        """The table of sources that goes with the YAML form.

        Raises `OptionsError` for a comma, which the table cannot hold, and a file whose URI has escapes: the YAML form
        looks for the file by the URI's letters.
        """
        for _, uri in self.sources:
            if "," in uri or (uri.startswith("file://") and "%" in uri):
                raise OptionsError(f"sources: {uri} cannot stand in the YAML form's table; choose form txt")
        rows = [f"1,{kind},{uri},1,0" for kind, uri in self.sources]
        return "\n".join(["enable,type,uri,num-sources,gpu-id", *rows]) + "\n"


def app_config(options: AppOptions, *, batch: int, nvinfer_name: str) -> AppConfig:
    """The application that runs the network of `nvinfer_name` over the sources of `options`.

    `batch`: of the network. Raises `OptionsError` for no or too many sources, or one that is no file or URI.
    """
    if not 1 <= len(options.sources) <= MOST_SOURCES:
        raise OptionsError(f"sources: expected 1 to {MOST_SOURCES}, found {len(options.sources)}")
    sources = tuple(_source(text) for text in options.sources)
    live = any(kind == RTSP for kind, _ in sources)
    groups: Groups = {"application": {"enable-perf-measurement": "1", "perf-measurement-interval-sec": "5"}}
    reasons = {("application", "enable-perf-measurement"): "prints frames per second of each source"}
    if options.kitti_folder:
        groups["application"]["gie-kitti-output-dir"] = options.kitti_folder
        reasons["application", "gie-kitti-output-dir"] = "one text file per frame; the folder must exist"
    for number, (kind, uri) in enumerate(sources):
        group = f"source{number}"
        groups[group] = {"enable": "1", "type": kind, "uri": uri, "num-sources": "1", "gpu-id": "0"}
        reasons[group, "type"] = "RTSP" if kind == RTSP else "a URI"
        if kind == RTSP:
            groups[group]["rtsp-reconnect-interval-sec"] = "10"
            reasons[group, "rtsp-reconnect-interval-sec"] = "a camera that was away comes back"
    groups["streammux"] = {
        "gpu-id": "0",
        "batch-size": str(len(sources)),
        "width": str(options.mux_width),
        "height": str(options.mux_height),
        "batched-push-timeout": "40000",
        "live-source": str(int(live)),
    }
    reasons |= {
        ("streammux", "batch-size"): "one frame of each source",
        ("streammux", "width"): "frames of another size are resized here, and again for the network",
        ("streammux", "batched-push-timeout"): "microseconds, one frame at 25 a second",
        ("streammux", "live-source"): "sources that come in real time" if live else "files",
    }
    groups["primary-gie"] = {
        "enable": "1", "gpu-id": "0", "batch-size": str(batch), "gie-unique-id": "1", "interval": "0",
        "config-file": nvinfer_name,
    }  # fmt: skip
    reasons["primary-gie", "batch-size"] = "this one counts, not the one in nvinfer's file"
    reasons["primary-gie", "interval"] = "every frame"
    groups["tracker"] = {"enable": "0"}
    if options.tracker != "none":
        width, height = TRACKER_WH
        groups["tracker"] = {
            "enable": "1", "tracker-width": str(width), "tracker-height": str(height),
            "ll-lib-file": TRACKER_LIBRARY, "ll-config-file": f"{TRACKER_CONFIGS}/{TRACKERS[options.tracker]}",
            "gpu-id": "0", "display-tracking-id": "1",
        }  # fmt: skip
        reasons["tracker", "ll-lib-file"] = "where DeepStream's packages put it"
    groups["tiled-display"] = {"enable": "0"}
    if options.sink != "none":
        rows = math.isqrt(len(sources))
        columns = math.ceil(len(sources) / rows)
        groups["tiled-display"] = {
            "enable": "1", "rows": str(rows), "columns": str(columns),
            "width": str(options.mux_width), "height": str(options.mux_height), "gpu-id": "0",
        }  # fmt: skip
        reasons["tiled-display", "enable"] = "all sources in one picture for the sink"
    groups["osd"] = {"enable": str(int(options.osd))}
    groups["sink0"] = {"enable": "1", **_SINKS[options.sink], "gpu-id": "0"}
    reasons["sink0", "type"] = _SINK_REASONS[options.sink]
    groups["tests"] = {"file-loop": "0"}
    return AppConfig(groups, reasons, sources)


_SINKS = {
    "none": {"type": "1", "sync": "0"},
    "display": {"type": "2", "sync": "1"},
    "file": {"type": "3", "container": "1", "codec": "1", "bitrate": "4000000", "sync": "0", "output-file": "out.mp4"},
    "rtsp": {"type": "4", "codec": "1", "bitrate": "4000000", "sync": "1", **RTSP_SERVER},
}
_SINK_REASONS = {
    "none": "frames are thrown away, as fast as they come",
    "display": "a window",
    "file": "out.mp4, encoded as H.264",
    "rtsp": "rtsp://<this machine>:8554/ds-test",
}


def _source(text: str) -> tuple[str, str]:
    """(type, URI) of a file's path or a URI."""
    if "://" not in text:
        path = Path(text).absolute()
        return URI, f"file://{quote(str(path))}"
    if not text.isprintable() or " " in text or "\\" in text:
        raise OptionsError(f"sources: {text!r} is no URI: it holds a blank, a backslash or a control character")
    return (RTSP if text.startswith(RTSP_SCHEMES) else URI), text
