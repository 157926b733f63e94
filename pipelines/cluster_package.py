"""Files of pipelines for one cluster: the compiled YAML with its settings, wherever a team keeps it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.cluster.server_release import newest, release_text
from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.storage import AnyPath, output_path, put
from traffic_yolo_pipelines.catalogue import pipeline_named, pipeline_names
from traffic_yolo_pipelines.compile import compiled_for, write_package
from traffic_yolo_pipelines.platform_settings import check_steps, steps_of
from traffic_yolo_pipelines.server_needs import server_needs


@dataclass(frozen=True)
class Package:
    """A compiled pipeline. `needs`: the oldest release of the server that takes it, such as 2.16."""

    path: Path
    needs: str


def compile_all(names: Sequence[str], out: AnyPath, settings: ClusterSettings | None) -> list[Package]:
    """Compiles pipelines to `<out>/<name>_pipeline.yaml`; no name stands for all of them.

    Without settings they are those that the repository has, with the images of the environment. Where one cannot be
    made, none is written. Raises `OptionsError`, `StorageError`.
    """
    if settings:
        check_steps_of(settings)
    folder = output_path(out)
    pipelines = {name: pipeline_named(name) for name in names or pipeline_names()}
    made = {name: compiled_for(pipeline, cluster=settings) for name, pipeline in pipelines.items()}
    written = []
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-") as work:
        for name, pipeline in made.items():
            write_package(pipeline, Path(work, "compiled.yaml"))
            target = folder / f"{name}_pipeline.yaml"
            put(target, Path(work, "compiled.yaml").read_bytes())
            written.append(Package(target, release_text(newest(server_needs(pipeline)))))
    return written


def check_steps_of(settings: ClusterSettings) -> None:
    """Raises `OptionsError` for a step in the settings that none of the pipelines has."""
    if settings.steps:
        check_steps(settings, frozenset().union(*(steps_of(pipeline_named(name)) for name in pipeline_names())))
