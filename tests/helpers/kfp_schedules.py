"""What the recorder of `kfp_server` takes besides, for schedules: pipelines, their versions, and recurring runs.

Held to the API's v2beta1 definitions (kubeflow/pipelines, backend/api/v2beta1: pipeline.proto, recurring_run.proto, and
pipeline_upload_server.go for the two uploads) and to what the server checks of a recurring run (api_converter.go): a
cron expression of robfig/cron, one to ten runs at once, parameters that fit the version's form.
"""

import email
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import yaml
from driver_replay import Compiled, DriverError, Server
from kfp_server import API, JSON, Call, KfpServer, Recorded, RefusedError, _allow

from traffic_yolo.cluster.cron import DESCRIPTORS

PIPELINES, NEW_PIPELINE = ("GET", f"{API}/pipelines"), ("POST", f"{API}/pipelines")
UPLOAD = ("POST", f"{API}/pipelines/upload_version")
SCHEDULES, NEW_SCHEDULE = ("GET", f"{API}/recurringruns"), ("POST", f"{API}/recurringruns")
_VERSIONS = re.compile(rf"{API}/pipelines/([\w-]+)/versions")
_SCHEDULE = re.compile(rf"{API}/recurringruns/([\w-]+?)(:enable|:disable)?")
FIELDS = (
    "experiment_id", "display_name", "description", "pipeline_version_reference", "runtime_config", "trigger", "mode",
    "max_concurrency", "no_catchup",
)  # fmt: skip


@dataclass
class ScheduleServer(KfpServer):
    """A server that keeps pipelines, versions and schedules; `page`: how many of a listing it gives at a time."""

    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    page: int = 100
    compiled: dict[str, Compiled] = field(default_factory=dict)

    @property
    def told(self) -> list[Call]:
        """The calls that came, those that only ask left out."""
        return [one.call for one in self.calls if one.call[0] != "GET"]

    def _take(self, recorded: Recorded, raw: bytes) -> dict[str, Any]:
        method, path = recorded.call
        takers = {
            PIPELINES: self._list_pipelines, NEW_PIPELINE: self._new_pipeline,
            SCHEDULES: self._list_schedules, NEW_SCHEDULE: self._new_schedule,
        }  # fmt: skip
        if recorded.call in takers:
            self._check_caller(recorded)
            return takers[recorded.call](recorded)
        if recorded.call == UPLOAD:
            self._check_caller(recorded)
            return self._upload(recorded, raw)
        if method == "GET" and (found := _VERSIONS.fullmatch(path)):
            self._check_caller(recorded)
            of = [one for one in self.versions.values() if one["pipeline_id"] == found[1]]
            return self._page("pipeline_versions", of, recorded)
        if found := _SCHEDULE.fullmatch(path):
            self._check_caller(recorded)
            return self._change(method, found[1], found[2] or "")
        return super()._take(recorded, raw)

    def _check_caller(self, recorded: Recorded) -> None:
        if self.token and recorded.headers.get("authorization") != f"Bearer {self.token}":
            raise RefusedError(401, "the token is missing or wrong")
        is_form = recorded.call == UPLOAD
        kind = recorded.headers.get("content-type", JSON)
        if recorded.call[0] == "POST" and not (
            kind.startswith("multipart/form-data; boundary=") if is_form else kind == JSON
        ):
            raise RefusedError(415, f"unexpected content-type: {kind}")

    def _page(self, name: str, found: list[Any], recorded: Recorded) -> dict[str, Any]:
        _allow(recorded.query, ("page_token", "page_size", "sort_by", "namespace", "filter"))
        start = int(recorded.query.get("page_token", ["0"])[0] or 0)
        page = found[start : start + self.page]
        more = {"next_page_token": str(start + self.page)} if start + self.page < len(found) else {}
        return {name: page, "total_size": len(found), **more} if page else {}

    def _list_pipelines(self, recorded: Recorded) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        self._own_namespace(query)
        (predicate,) = json.loads(query["filter"])["predicates"]
        if set(predicate) != {"operation", "key", "stringValue"} or predicate["key"] != "display_name":
            raise RefusedError(400, f"a filter of another kind: {predicate}")
        found = [one for one in self.pipelines.values() if one["display_name"] == predicate["stringValue"]]
        found = [one for one in found if one.get("namespace", "") == query.get("namespace", "")]
        return self._page("pipelines", found, recorded)

    def _new_pipeline(self, recorded: Recorded) -> dict[str, Any]:
        body = recorded.body
        _allow(body, ("display_name", "description", "namespace"))
        self._own_namespace(body)
        if any(one["display_name"] == body["display_name"] for one in self.pipelines.values()):
            raise RefusedError(409, "Already exist error: a pipeline of the name exists")
        made = {"pipeline_id": f"p-{len(self.pipelines) + 1}", **body, "created_at": "2026-11-23T00:00:00Z"}
        self.pipelines[made["pipeline_id"]] = made
        return made

    def _upload(self, recorded: Recorded, raw: bytes) -> dict[str, Any]:
        query = {name: only for name, (only,) in recorded.query.items()}
        _allow(query, ("name", "pipelineid", "description"))
        if query.get("pipelineid") not in self.pipelines:
            raise RefusedError(400, "Please specify a pipeline id when creating versions")
        head = f"Content-Type: {recorded.headers['content-type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + raw)
        (part,) = [one for one in form.walk() if not one.is_multipart()]
        assert isinstance(part, Message)
        if part.get_param("name", header="content-disposition") != "uploadfile":
            raise RefusedError(400, "no uploadfile")
        if not str(part.get_filename()).endswith((".yaml", ".yml")):
            raise RefusedError(400, "unexpected extension")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if any(
            (one["pipeline_id"], one["display_name"]) == (query["pipelineid"], query["name"])
            for one in self.versions.values()
        ):
            raise RefusedError(409, "Already exist error: a version of the name exists")
        version_id = f"v-{len(self.versions) + 1}"
        self.compiled[version_id] = Compiled.of(list(yaml.safe_load_all(data)))
        self.versions[version_id] = {
            "pipeline_id": query["pipelineid"], "pipeline_version_id": version_id, "display_name": query["name"],
            "created_at": "2026-11-23T00:00:00Z",
        }  # fmt: skip
        return self.versions[version_id]

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
        reference = body["pipeline_version_reference"]
        _allow(reference, ("pipeline_id", "pipeline_version_id"))
        version = self.versions.get(reference["pipeline_version_id"])
        if version is None or version["pipeline_id"] != reference["pipeline_id"]:
            raise RefusedError(404, "Pipeline version not found")
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise RefusedError(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
        _allow(body["trigger"], ("cron_schedule",))
        _allow(body["trigger"]["cron_schedule"], ("cron",))
        cron = body["trigger"]["cron_schedule"]["cron"]
        if cron not in DESCRIPTORS and not cron.startswith("@every ") and not 5 <= len(cron.split()) <= 6:
            raise RefusedError(400, "Schedule cron is not a supported format")
        _allow(body["runtime_config"], ("parameters",))
        try:
            Server().run(self.compiled[reference["pipeline_version_id"]], body["runtime_config"]["parameters"])
        except DriverError as error:
            raise RefusedError(400, str(error)) from error
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
