"""MLflow: a run in the experiment `traffic-yolo` (MLFLOW_EXPERIMENT_NAME) of the server that MLFLOW_TRACKING_URI names.

Numbers are sent in batches. While the server does not answer they are kept and tried again from time to time, so a
restart of it leaves no hole; each try is short, so a dead one does not hold up the training.
"""

import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.tracking.mlflow_client import (
    MOST_METRICS,
    MOST_PARAMS,
    MOST_TEXT,
    experiment_id,
    reason_of,
)
from traffic_yolo.tracking.programs import URI_VARIABLE, tracking_uri
from traffic_yolo.training.event_log import LoggedRun, Outcome

from mlflow.entities import Metric, Param, RunTag  # isort: skip (the module above sets what it reads when loaded)
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.tracking import MlflowClient  # isort: skip

RUN_ID_NAME = "mlflow_run.txt"  # in the run folder, so that a resumed training goes on in its run
SEND_EVERY_S = 10.0
RETRY_S = 60.0  # after a failure
MOST_KEPT = 200_000  # numbers that wait for a server


class MlflowLog:
    """Tells a run of MLflow; raises `OptionsError` where it cannot be begun."""

    def __init__(self, run: LoggedRun) -> None:
        uri = tracking_uri()
        if not uri:
            raise OptionsError(f"log_to: mlflow needs to know its server; set {URI_VARIABLE} to its address")
        self._waiting: list[Any] = []
        self._next_try = 0.0
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run_id = self._begin(run)
        except (MlflowException, OSError) as error:
            raise OptionsError(f"log_to: mlflow at {URI_VARIABLE}={uri}: {reason_of(error)}") from error

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Keeps the numbers, and sends what has gathered every few seconds."""
        now_ms = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now_ms, iteration) for name, value in values.items()]
        del self._waiting[:-MOST_KEPT]
        if time.monotonic() >= self._next_try:
            self._send()

    def picture(self, name: str, jpeg: bytes, iteration: int) -> None:
        """Nothing: pictures are sent as files, in the end."""

    def finish(self, outcome: Outcome) -> None:
        """Final numbers, tags and files; what cannot be sent is lost to the server, and still in the run folder."""
        now_ms = int(time.time() * 1000)
        self._waiting += [Metric(f"final/{name}", value, now_ms, 0) for name, value in outcome.metrics.items()]
        self._send()
        for name, text in outcome.tags.items():
            self._client.set_tag(self._run_id, name, text)
        for path in outcome.files:
            self._client.log_artifact(self._run_id, str(path))

    def close(self, *, failed: bool) -> None:
        """Sends what is left, and the run's status."""
        self._send()
        self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")

    def _begin(self, run: LoggedRun) -> str:
        """The id of the run: that of the run folder where the training goes on, else a new one."""
        id_file = run.folder / RUN_ID_NAME
        if run.resumed_after and id_file.is_file():
            run_id = id_file.read_text(encoding="utf-8").strip()
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        begun = self._client.create_run(experiment_id(self._client), run_name=run.folder.name)
        run_id = str(begun.info.run_id)
        texts = [Param(option, str(value)[:MOST_TEXT]) for option, value in run.options.items() if value is not None]
        for start in range(0, len(texts), MOST_PARAMS):
            self._client.log_batch(run_id, params=texts[start : start + MOST_PARAMS])
        self._client.log_batch(run_id, tags=[RunTag("traffic_yolo.folder", str(run.folder)[:MOST_TEXT])])
        id_file.write_text(f"{run_id}\n", encoding="utf-8")
        return run_id

    def _send(self) -> None:
        """Sends all that waits; what fails stays for the next time."""
        self._next_try = time.monotonic() + RETRY_S
        while self._waiting:
            part = list(islice(self._waiting, MOST_METRICS))
            self._client.log_batch(self._run_id, metrics=part)
            del self._waiting[: len(part)]
        self._next_try = time.monotonic() + SEND_EVERY_S
