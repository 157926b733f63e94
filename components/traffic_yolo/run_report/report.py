"""The report at the end of a run: Markdown for the UI, one line for a chat."""

from collections.abc import Sequence
from dataclasses import dataclass

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.registry.zoo_list import list_zoo
from traffic_yolo.run_report.tasks import TaskState, read_tasks

SUCCEEDED = ("COMPLETE", "SUCCEEDED", "CACHED")  # the state of a graph in the metadata store, and of a task in the API


@dataclass(frozen=True)
class RunReport:
    """How a run ended. `state`: of the graph of its steps; `notes`: what could not be found out, and why."""

    pipeline: str
    run_id: str
    state: str
    tasks: Sequence[TaskState]
    figures: Sequence[str]
    notes: Sequence[str]
    link: str

    @property
    def outcome(self) -> str:
        """One line: failed, with the tasks that did, or succeeded."""
        failed = [task.name for task in self.tasks if task.is_failed]
        if failed:
            return f"{self.pipeline} failed in {', '.join(failed)}"
        return f"{self.pipeline} {'succeeded' if self.state in SUCCEEDED else f'ended: {self.state.lower()}'}"

    @property
    def line(self) -> str:
        """One line for a chat, with the link where there is one."""
        return " · ".join(filter(None, [self.outcome, *self.figures, self.link or f"run {self.run_id}"]))

    def markdown(self) -> str:
        """The report as the UI shows it."""
        lines = [f"# {_cell(self.outcome)}", ""]
        if self.tasks:
            lines += ["| task | state | minutes | what it said |", "|---|---|---|---|"]
            lines += [
                f"| {_cell(one.name)} | {_cell(one.state.lower())} | {_minutes(one.seconds)} | {_cell(one.reason)} |"
                for one in self.tasks
            ]
            lines.append("")
        lines += [f"- {_cell(figure)}" for figure in self.figures]
        lines += [f"- note: {_cell(note)}" for note in self.notes]
        lines.append(f"- run {_cell(self.run_id)}{f': [its page]({self.link})' if self.link else ''}")
        return "\n".join([*lines, ""])


def report_of(*, pipeline: str, run_id: str, state: str, host: str, zoo: str, model_name: str) -> RunReport:
    """Asks the API for the tasks and the zoo for what is in use; what neither tells is a note, and never an error."""
    notes, tasks, figures = [], list[TaskState](), list[str]()
    try:
        tasks = read_tasks(run_id)
    except TrafficYoloError as error:
        notes.append(f"which tasks ran is not known: {error}")
    if zoo and model_name:
        try:
            figures = in_use(zoo, model_name)
        except TrafficYoloError as error:
            notes.append(f"what is in use is not known: {error}")
    link = f"{host.rstrip('/')}/#/runs/details/{run_id}" if host else ""
    return RunReport(pipeline, run_id, state, tasks, figures, notes, link)


def in_use(zoo: str, model_name: str) -> list[str]:
    """The version in use with its AP50, in one line; none where the zoo has none. Raises `TrafficYoloError`."""
    current = [one for one in list_zoo(zoo, model_name) if one.state == "current"]
    lines = []
    for one in current:
        ap50 = one.entry.record.metrics.get("ap50") if one.entry else None
        lines.append(f"in use: {one.model} {one.version}" + (f", AP50 {ap50:.3f}" if ap50 is not None else ""))
    return lines


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.1f}"


def _cell(text: str) -> str:
    """Text of others that stays in its cell, and no mark-up."""
    return "".join(f"\\{char}" if char in "\\|`*_[]<>#" else char for char in text)
