"""What the recorder of `kfp_server` takes besides, for schedules: recurring runs.

Held to the API's v2beta1 definitions (kubeflow/pipelines, backend/api/v2beta1: recurring_run.proto) and to what the
server checks of a recurring run (api_converter.go): a cron expression of robfig/cron, one to ten runs at once, parameters
that fit the version's form.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kfp_server import API, KfpServer, Recorded, RefusedError, _allow

from traffic_yolo.cluster.cron import DESCRIPTORS

SCHEDULES, NEW_SCHEDULE = ("GET", f"{API}/recurringruns"), ("POST", f"{API}/recurringruns")
_SCHEDULE = re.compile(rf"{API}/recurringruns/([\w-]+?)(:enable|:disable)?")
FIELDS = (
    "experiment_id", "display_name", "description", "pipeline_version_reference", "runtime_config", "trigger", "mode",
    "max_concurrency", "no_catchup", "service_account",
)  # fmt: skip


@dataclass
class ScheduleServer(KfpServer):
    """A server that keeps schedules, too."""

    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)

    def _take(self, recorded: Recorded, raw: bytes) -> Any:
        takers = {SCHEDULES: self._list_schedules, NEW_SCHEDULE: self._new_schedule}
        if recorded.call in takers:
            self._check_caller(recorded, raw)
            return takers[recorded.call](recorded)
        if found := _SCHEDULE.fullmatch(recorded.call[1]):
            self._check_caller(recorded, raw)
            return self._change(recorded.call[0], found[1], found[2] or "")
        return super()._take(recorded, raw)

    def _list_schedules(self, recorded: Recorded) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        self._own_namespace(query)
        return self._page("recurringRuns", list(self.schedules.values()), recorded)

    def _new_schedule(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(body, FIELDS)
        if body.get("experiment_id") not in self.experiments:
            raise RefusedError(404, "Experiment not found")
        if not body.get("display_name"):
            raise RefusedError(400, "The recurring run name is empty")
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise RefusedError(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
        _allow(body["trigger"], ("cron_schedule",))
        _allow(body["trigger"]["cron_schedule"], ("cron",))
        cron = body["trigger"]["cron_schedule"]["cron"]
        if cron not in DESCRIPTORS and not cron.startswith("@every ") and not 5 <= len(cron.split()) <= 6:
            raise RefusedError(400, "Schedule cron is not a supported format")
        self._check_parameters(body)
        made = {
            **body, "recurring_run_id": f"s-{len(self.told)}", "created_at": "2026-11-23T00:00:00Z",
            "max_concurrency": str(body["max_concurrency"]),  # 64 bits are a text in JSON
            "status": f"{body['mode']}D",
        }  # fmt: skip
        self.schedules[made["recurring_run_id"]] = made
        return made

    def _change(self, method: str, schedule_id: str, action: str) -> dict[str, Any]:
        if schedule_id not in self.schedules:
            raise RefusedError(404, f"Recurring run {schedule_id} not found")
        if (method, action) == ("DELETE", ""):
            del self.schedules[schedule_id]
        elif (method, action) in (("POST", ":enable"), ("POST", ":disable")):
            self.schedules[schedule_id]["status"] = f"{action[1:].upper()}D"
        else:
            raise RefusedError(405, "Method Not Allowed")
        return {}


def names_of(schedules: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names of a server's schedules, in the order in which they were made."""
    return [str(one["display_name"]) for one in schedules.values()]
