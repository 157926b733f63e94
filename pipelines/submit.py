"""Starts a run of a pipeline on a Kubeflow Pipelines server; `server_answers` has what the server says against it."""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import yaml

from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.server_answers import (
    CHECK_HOST,
    COOKIE_VARIABLE,
    LOG_IN,
    TOKEN_VARIABLE,
    refuse_other_than_json,
    said_by,
)

NO_NAMESPACE = "kubeflow"  # kfp.Client's default, by which it takes the namespace of its own context file, or none


@dataclass(frozen=True)
class Submitted:
    """A run that the server has taken; `images`: those of its tasks, each once; `link`: its page in the UI."""

    run_id: str
    images: tuple[str, ...]
    link: str


class _Client(kfp.Client):
    """kfp's client, which asks once how the server is: kfp's own asks five times with a traceback for each refusal."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:  # noqa: ARG002 (kfp's signature)
        answer = self._healthz_api.healthz_service_get_healthz()
        self.check_answer("asked how it is")
        return answer

    def get_experiment(self, *given: Any, **named: Any) -> Any:
        try:
            return super().get_experiment(*given, **named)
        except ValueError:  # "No experiment is found", which kfp makes of a web page as well
            self.check_answer("asked for its experiments")
            raise

    def check_answer(self, asked: str) -> None:
        """Raises `ClusterError` where the last answer is no JSON: kfp reads a web page as an answer without fields."""
        refuse_other_than_json(self._healthz_api.api_client.last_response, host=self._existing_config.host, asked=asked)


def submit(pipeline: Any, parameters: Mapping[str, Any], *, host: str, namespace: str, experiment: str) -> Submitted:
    """Compiles `pipeline` and starts a run of it on the server at `host`.

    The images are those of this process's environment (`traffic_yolo.container_images`), not those of a file that was
    compiled before. A token or a cookie comes from the environment, `TOKEN_VARIABLE` and `COOKIE_VARIABLE`. Raises
    `ClusterError` when the server cannot be reached, refuses the run, or answers with anything but a run.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        # kfp names the run after the file
        package = Path(folder, f"{pipeline.name.removeprefix('traffic-yolo-')}_pipeline.yaml")
        compile_to(pipeline, package)
        images = images_of(package)
        asked = "asked how it is"
        try:
            client = _Client(
                host=host,
                namespace=namespace or NO_NAMESPACE,
                existing_token=os.environ.get(TOKEN_VARIABLE) or None,
                cookies=os.environ.get(COOKIE_VARIABLE) or None,
            )
            health = client.get_kfp_healthz()
            namespace = namespace or client.get_user_namespace()
            if health.multi_user and not namespace:
                raise OptionsError(f"the server at {host} is one of several users; give --namespace, yours on it")
            asked = f"asked for the experiment {experiment}"
            found = client.create_experiment(experiment, namespace=namespace or None)
            client.check_answer(asked)
            _require_id(found.experiment_id, host, asked)
            asked = "told to start the run"
            run = client.run_pipeline(
                found.experiment_id, package.stem, pipeline_package_path=str(package), params=dict(parameters)
            )
            client.check_answer(asked)
            _require_id(run.run_id, host, asked)
        except (ClusterError, OptionsError):
            raise
        except (
            Exception
        ) as error:  # kfp lets urllib3's, its own and generated REST exceptions through, of no common root
            raise ClusterError(said_by(error, host=host, asked=asked, namespace=namespace)) from error
    return Submitted(str(run.run_id), images, f"{host.rstrip('/')}/#/runs/details/{run.run_id}")


def images_of(package: Path) -> tuple[str, ...]:
    """The images of a compiled pipeline's tasks, each once, in the order of their names."""
    spec = next(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    executors = spec["deploymentSpec"]["executors"].values()
    return tuple(sorted({one["container"]["image"] for one in executors if "container" in one}))


def _require_id(found: str | None, host: str, asked: str) -> None:
    if not found:
        raise ClusterError(f"the server at {host}, {asked}, answered without an id; {LOG_IN}, and {CHECK_HOST}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what kfp prints: links to pages of runs that are not there, and that it suits servers since 2.0."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
