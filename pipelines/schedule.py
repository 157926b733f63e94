"""Schedules on a Kubeflow Pipelines server: recurring runs of a pipeline's version, made, listed, paused and removed.

A schedule is known by its name; the server would take several of one name, and run each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traffic_yolo.cluster.cron import Cron
from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown_names
from traffic_yolo_pipelines.compile import compiled_for
from traffic_yolo_pipelines.pipeline_versions import uploaded
from traffic_yolo_pipelines.platform_settings import GPUS_PARAMETER
from traffic_yolo_pipelines.server_connection import PAGE_SIZE, Connection, NoAnswerError
from traffic_yolo_pipelines.server_needs import server_needs
from traffic_yolo_pipelines.submit import images_of

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
    """The schedules of a namespace on a server. Methods raise `ClusterError` for what the server says."""

    def __init__(self, connection: Connection) -> None:
        """`connection`: to the server, with the namespace."""
        self._connection = connection
        self._client = connection.client

    def list(self) -> list[Schedule]:
        """All of the namespace, by name."""
        every = self._connection.pages(
            "asked for its schedules",
            lambda token: self._client.list_recurring_runs(
                page_token=token, page_size=PAGE_SIZE, namespace=self._connection.namespace or None
            ),
            "recurring_runs",
        )
        return sorted(map(Schedule.of, every), key=lambda one: (one.name, one.schedule_id))

    def create(
        self,
        name: str,
        cron: Cron,
        pipeline: Any,
        parameters: Mapping[str, Any],
        *,
        experiment: str,
        replace: bool,
        cluster: ClusterSettings | None = None,
    ) -> Created:
        """Makes a schedule of the pipeline as it is now, with a cluster's settings or this environment's images.

        Runs that a pause or an outage left out are not made up for, and no two run at once. `OptionsError` for a name
        that is taken, unless it is to be replaced: the new one is made first, then the old one is removed. A new one
        that the server did not confirm is looked for by its name, and never made twice.
        """
        made = compiled_for(pipeline, cluster=cluster, gpus=parameters.get(GPUS_PARAMETER))
        self._connection.check_needs(server_needs(made))
        old = [one for one in self.list() if one.name == name]
        if old and not replace:
            raise OptionsError(
                f"{name}: a schedule of this name is there ({old[0].schedule_id}, {old[0].cron or 'by an interval'}); "
                f"remove it first, give --replace, or choose another name"
            )
        experiment_id = self._connection.experiment_id(experiment)
        version = uploaded(self._connection, made)
        asked = "told to make the schedule"
        try:
            run = self._connection.ask(
                asked,
                lambda: self._client.create_recurring_run(
                    experiment_id,
                    name,
                    description=cron.words,
                    cron_expression=cron.expression,
                    max_concurrency=1,
                    no_catchup=True,
                    params=dict(parameters),
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    service_account=cluster.service_account or None if cluster else None,
                ),
                attempts=1,
            )
            schedule_id = self._connection.id_of(run.recurring_run_id, asked)
        except NoAnswerError:
            there = {one.schedule_id for one in self.list() if one.name == name} - {one.schedule_id for one in old}
            if not there:
                raise
            schedule_id = there.pop()
        for one in old:
            self._remove(one.schedule_id)
        link = f"{self._connection.ui}/#/recurringrun/details/{schedule_id}"
        replaced = tuple(one.schedule_id for one in old)
        return Created(schedule_id, version.name, version.is_uploaded, images_of(made), link, replaced)

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
        self._connection.ask(f"told to {what} the schedule {found.name}", lambda: call(found.schedule_id))
        return found

    def _remove(self, schedule_id: str) -> None:
        asked = f"told to remove the schedule {schedule_id}"
        self._connection.ask(asked, lambda: self._client.delete_recurring_run(schedule_id), attempts=1)

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
