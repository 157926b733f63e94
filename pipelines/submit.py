"""Starts a run of a pipeline on a Kubeflow Pipelines server; `server_answers` has what the server says against it."""

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kfp

from traffic_yolo.cluster.server_release import Need, check_server
from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.storage.documents import json_value
from traffic_yolo_pipelines.compile import compiled_for, write_package
from traffic_yolo_pipelines.platform_settings import GPUS_PARAMETER
from traffic_yolo_pipelines.server_answers import (
    CHECK_HOST,
    COOKIE_VARIABLE,
    LOG_IN,
    TOKEN_VARIABLE,
    refuse_other_than_json,
    said_by,
)
from traffic_yolo_pipelines.server_needs import server_needs

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

    @property
    def server_tag(self) -> str | None:
        """The release that the server, asked how it is, called itself; kfp's own model of the answer leaves it out."""
        answer = json_value(self._healthz_api.api_client.last_response.data, keys_once=False)
        tag = answer.get("tag_name")
        return tag if isinstance(tag, str) else None

    def check_answer(self, asked: str) -> None:
        """Raises `ClusterError` where the last answer is no JSON: kfp reads a web page as an answer without fields."""
        refuse_other_than_json(self._healthz_api.api_client.last_response, host=self._existing_config.host, asked=asked)


def submit(
    pipeline: Any, parameters: Mapping[str, Any], *, host: str, namespace: str, experiment: str,
    cluster: ClusterSettings | None = None,
) -> Submitted:  # fmt: skip
    """Compiles `pipeline`, with the settings of a cluster where they are given, and starts a run of it at `host`.

    The images are those of the settings, else of this process's environment (`traffic_yolo.container_images`), not
    those of a file that was compiled before. A token or a cookie comes from the environment, `TOKEN_VARIABLE` and
    `COOKIE_VARIABLE`. Raises `ClusterError` when the server cannot be reached, is older than what the run needs,
    refuses the run, or answers with anything but a run; `OptionsError` for settings that do not fit the pipeline.
    """
    made = compiled_for(pipeline, cluster=cluster, gpus=parameters.get(GPUS_PARAMETER))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        package = Path(folder, "pipeline.yaml")
        write_package(made, package)
        account = cluster.service_account if cluster else ""
        started = _Started(host=host, namespace=namespace, service_account=account, needs=server_needs(made))
        try:
            run_id = started.run(pipeline.name, package, parameters, experiment)
        except (ClusterError, OptionsError):
            raise
        except Exception as error:  # kfp lets urllib3's, its own and generated exceptions through, of no common root
            line = said_by(error, host=host, asked=started.asked, namespace=started.namespace)
            raise ClusterError(line) from error
    return Submitted(run_id, images_of(made), f"{host.rstrip('/')}/#/runs/details/{run_id}")


@dataclass
class _Started:
    """The calls to the server at `host`, one after the other; `asked`: the one under way, in words.

    `service_account`: whose rights the run's pods have, "" for the server's choice; `needs`: what the server must know.
    """

    host: str
    namespace: str
    service_account: str
    needs: tuple[Need, ...]
    asked: str = "asked how it is"

    def run(self, name: str, package: Path, parameters: Mapping[str, Any], experiment: str) -> str:
        """The id of a run of the compiled `package`, named after the pipeline and the time."""
        client = _Client(
            host=self.host,
            namespace=self.namespace or NO_NAMESPACE,
            existing_token=os.environ.get(TOKEN_VARIABLE) or None,
            cookies=os.environ.get(COOKIE_VARIABLE) or None,
        )
        is_of_several = client.get_kfp_healthz().multi_user
        check_server(self.host, client.server_tag, self.needs)
        self.namespace = self.namespace or client.get_user_namespace()
        if is_of_several and not self.namespace:
            raise OptionsError(f"the server at {self.host} is one of several users; give --namespace, yours on it")

        self.asked = f"asked for the experiment {experiment}"
        found = client.create_experiment(experiment, namespace=self.namespace or None)
        client.check_answer(self.asked)
        experiment_id = self._id(found.experiment_id)

        self.asked = "told to start the run"
        title = f"{name} {datetime.now():%Y-%m-%d %H-%M-%S}"
        account = self.service_account or None
        run = client.run_pipeline(
            experiment_id, title, str(package), params=dict(parameters), service_account=account
        )  # fmt: skip
        client.check_answer(self.asked)
        return self._id(run.run_id)

    def _id(self, found: str | None) -> str:
        if not found:
            answer = f"the server at {self.host}, {self.asked}, answered without an id"
            raise ClusterError(f"{answer}; {LOG_IN}, and {CHECK_HOST}")
        return str(found)


def images_of(pipeline: Any) -> tuple[str, ...]:
    """The images of a pipeline's tasks, each once, in the order of their names."""
    executors = pipeline.pipeline_spec.deployment_spec["executors"].values()
    return tuple(sorted({one["container"]["image"] for one in executors if "container" in one}))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what kfp and urllib3 tell: links to runs that are not there, versions, a line for each attempt."""
    attempts = logging.getLogger("urllib3.connectionpool")
    level = attempts.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        attempts.setLevel(logging.ERROR)
        try:
            yield
        finally:
            attempts.setLevel(level)
