"""Schedules on a Kubeflow Pipelines server: recurring runs of a pipeline's version, made, listed, paused and removed.

A schedule is known by its name; the server would take several of one name, and run each.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api

from traffic_yolo._version import __version__
from traffic_yolo.cluster.cron import Cron
from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.messages import shown_names
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.server_answers import CHECK_HOST, COOKIE_VARIABLE, LOG_IN, TOKEN_VARIABLE, said_by
from traffic_yolo_pipelines.submit import NO_NAMESPACE, _Client, _quiet, images_of

PAGE_SIZE = 100
ENABLED = "ENABLED"


@dataclass(frozen=True)
class Schedule:
    """A recurring run as the server has it. `cron`: "" where it runs by an interval, which `interval_s` says then."""

    schedule_id: str
    name: str
    cron: str
    interval_s: int
    is_active: bool
    version_id: str
    max_concurrency: int
    no_catchup: bool
    created_at: str

    @classmethod
    def of(cls, run: Any) -> "Schedule":
        """What an answer of the server says."""
        trigger, version = run.trigger, run.pipeline_version_reference
        cron = trigger.cron_schedule.cron if trigger and trigger.cron_schedule else ""
        interval = trigger.periodic_schedule.interval_second if trigger and trigger.periodic_schedule else 0
        return cls(
            schedule_id=str(run.recurring_run_id or ""),
            name=str(run.display_name or ""),
            cron=str(cron or ""),
            interval_s=int(interval or 0),
            is_active=str(run.status or "") == ENABLED,
            version_id=str(version.pipeline_version_id or "") if version else "",
            max_concurrency=int(run.max_concurrency or 0),
            no_catchup=bool(run.no_catchup),
            created_at=f"{run.created_at:%Y-%m-%d %H:%M}" if run.created_at else "",
        )


@dataclass(frozen=True)
class Created:
    """A schedule that was made; `version`: the name of the pipeline's version, and whether it was uploaded for it."""

    schedule_id: str
    version: str
    is_uploaded: bool
    images: tuple[str, ...]
    link: str
    replaced: tuple[str, ...] = ()


class Schedules:
    """The schedules of a namespace on the server at `host`. Methods raise `ClusterError` for what the server says.

    A token or a cookie comes from the environment, as for `submit`.
    """

    def __init__(self, host: str, namespace: str) -> None:
        self.host = host
        self.namespace = namespace
        self._asked = "asked how it is"
        with self._asking(self._asked):
            self._client: Any = _Client(
                host=host,
                namespace=namespace or NO_NAMESPACE,
                existing_token=os.environ.get(TOKEN_VARIABLE) or None,
                cookies=os.environ.get(COOKIE_VARIABLE) or None,
            )
            is_of_several = self._client.get_kfp_healthz().multi_user
            self.namespace = namespace or self._client.get_user_namespace()
        if is_of_several and not self.namespace:
            raise OptionsError(f"the server at {host} is one of several users; give --namespace, yours on it")

    def list(self) -> list[Schedule]:
        """All of the namespace, by name."""
        found: list[Schedule] = []
        page = ""
        with self._asking("asked for its schedules"):
            while True:
                answer = self._client.list_recurring_runs(
                    page_token=page, page_size=PAGE_SIZE, namespace=self.namespace or None
                )
                self._client.check_answer(self._asked)
                found += [Schedule.of(run) for run in answer.recurring_runs or ()]
                page = answer.next_page_token or ""
                if not page:
                    return sorted(found, key=lambda one: (one.name, one.schedule_id))

    def create(
        self, name: str, cron: Cron, pipeline: Any, parameters: Mapping[str, Any], *, experiment: str, replace: bool
    ) -> Created:
        """Makes a schedule of the pipeline as it is now, with the images of this process's environment.

        Runs that a pause or an outage left out are not made up for, and no two run at once. `OptionsError` for a name
        that is taken, unless it is to be replaced: the new one is made first, then the old one is removed.
        """
        old = [one for one in self.list() if one.name == name]
        if old and not replace:
            raise OptionsError(
                f"{name}: a schedule of this name is there ({old[0].schedule_id}, {old[0].cron or 'by an interval'}); "
                f"remove it first, give --replace, or choose another name"
            )
        with self._asking(f"asked for the experiment {experiment}"):
            made = self._client.create_experiment(experiment, namespace=self.namespace or None)
            self._client.check_answer(self._asked)
            experiment_id = self._id(made.experiment_id)
        pipeline_id, version_id, version, is_uploaded = self._version(pipeline)
        with self._asking("told to make the schedule"):
            run = self._client.create_recurring_run(
                experiment_id,
                name,
                description=cron.words,
                cron_expression=cron.expression,
                max_concurrency=1,
                no_catchup=True,
                params=dict(parameters),
                pipeline_id=pipeline_id,
                version_id=version_id,
            )
            self._client.check_answer(self._asked)
            schedule_id = self._id(run.recurring_run_id)
        for one in old:
            self._remove(one.schedule_id)
        link = f"{self.host.rstrip('/')}/#/recurringrun/details/{schedule_id}"
        replaced = tuple(one.schedule_id for one in old)
        return Created(schedule_id, version, is_uploaded, images_of(pipeline), link, replaced)

    def pause(self, name: str) -> Schedule:
        """Has it start no further runs, until it is resumed."""
        return self._told(name, "pause", self._client.disable_recurring_run)

    def resume(self, name: str) -> Schedule:
        """Has it start runs again; those in between are not made up for."""
        return self._told(name, "resume", self._client.enable_recurring_run)

    def remove(self, name: str) -> Schedule:
        """Takes it away; its runs stay."""
        found = self._only(name)
        self._remove(found.schedule_id)
        return found

    def _told(self, name: str, what: str, call: Any) -> Schedule:
        found = self._only(name)
        with self._asking(f"told to {what} the schedule {found.name}"):
            call(found.schedule_id)
            self._client.check_answer(self._asked)
        return found

    def _remove(self, schedule_id: str) -> None:
        with self._asking(f"told to remove the schedule {schedule_id}"):
            self._client.delete_recurring_run(schedule_id)
            self._client.check_answer(self._asked)

    def _only(self, name: str) -> Schedule:
        """The one schedule of a name or an id; `OptionsError` naming those that are there otherwise."""
        every = self.list()
        found = [one for one in every if name in (one.name, one.schedule_id)]
        if len(found) == 1:
            return found[0]
        if not found:
            names = shown_names(sorted({one.name for one in every}), most=20)
            raise OptionsError(f"{name}: no schedule of this name or id; found {names or 'none'}")
        ids = shown_names([one.schedule_id for one in found], most=20)
        raise OptionsError(f"{name}: {len(found)} schedules have this name; give one by its id: {ids}")

    def _version(self, pipeline: Any) -> tuple[str, str, str, bool]:
        """(pipeline's id, version's id, its name, whether it was uploaded now) of a pipeline as it compiles here.

        A version is named after its content, so the same one is never uploaded twice.
        """
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "pipeline.yaml")
            with _quiet():
                compile_to(pipeline, package)
            version = f"{__version__}-{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}"
            with self._asking(f"asked for the pipeline {pipeline.name}"):
                pipeline_id = self._pipeline_id(pipeline.name)
                for page in self._version_pages(pipeline_id):
                    for one in page:
                        if one.display_name == version:
                            return pipeline_id, self._id(one.pipeline_version_id), version, False
            with self._asking(f"given the version {version} of {pipeline.name}"):
                made = self._client.upload_pipeline_version(str(package), version, pipeline_id=pipeline_id)
                self._client.check_answer(self._asked)
                return pipeline_id, self._id(made.pipeline_version_id), version, True

    def _pipeline_id(self, name: str) -> str:
        """Of the pipeline of this name in the namespace, which is made where there is none."""
        predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
        answer = self._client.list_pipelines(
            namespace=self.namespace or None, filter=json.dumps({"predicates": [predicate]})
        )
        self._client.check_answer(self._asked)
        if answer.pipelines:
            return self._id(answer.pipelines[0].pipeline_id)
        body = kfp_server_api.V2beta1Pipeline(display_name=name, namespace=self.namespace or None)
        made = self._client._pipelines_api.pipeline_service_create_pipeline(body)  # kfp.Client has no call for it
        self._client.check_answer(self._asked)
        return self._id(made.pipeline_id)

    def _version_pages(self, pipeline_id: str) -> Iterator[Any]:
        page = ""
        while True:
            answer = self._client.list_pipeline_versions(pipeline_id, page_token=page, page_size=PAGE_SIZE)
            self._client.check_answer(self._asked)
            yield answer.pipeline_versions or ()
            page = answer.next_page_token or ""
            if not page:
                return

    def _id(self, found: str | None) -> str:
        if not found:
            answer = f"the server at {self.host}, {self._asked}, answered without an id"
            raise ClusterError(f"{answer}; {LOG_IN}, and {CHECK_HOST}")
        return str(found)

    @contextlib.contextmanager
    def _asking(self, asked: str) -> Iterator[None]:
        """Puts what kfp's client raises inside into one line, which says what the server was asked."""
        self._asked = asked
        try:
            with _quiet():
                yield
        except (ClusterError, OptionsError):
            raise
        except Exception as error:  # kfp lets urllib3's, its own and generated exceptions through, of no common root
            line = said_by(error, host=self.host, asked=self._asked, namespace=self.namespace)
            raise ClusterError(line) from error
