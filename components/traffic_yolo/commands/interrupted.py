"""What is left of a command that was interrupted, in a sentence, and what to do to go on."""

from typing import Any

import click

# A command that has no line here writes one thing, whole or not at all, or only reads
KEPT = {
    "run": "the tasks that were done are in {out}; nothing of the one that ran is used",
    "retrain": "the tasks that were done are in {out}; the attempt counts as ended, and the next one begins anew",
    "train": "the last checkpoint is in {out}; the same command with --resume goes on from there",
    "trial fine-tuning": "the last checkpoint is in {work}; the same command begins the trial anew",
    "snapshot": "nothing was written to {out}; checksums of files that were read stay in the cache, where there is one",
    "predict": "nothing of what was looked at is in {out}",
    "publish": "a version is in the zoo wholly or not at all; `traffic-yolo zoo list --zoo {zoo}` says which",
    "storage sync": "files that were copied stay, and nothing is half copied; the same command goes on",
    "storage gc": "what was taken away is gone; the same command goes on",
    "zoo gc": "what was taken away is gone; the same command goes on",
    "zoo set-current": "the old version or the new one is in use; `traffic-yolo zoo list --zoo {zoo}` says which",
    "zoo rollback": "the old version or the new one is in use; `traffic-yolo zoo list --zoo {zoo}` says which",
    "log": "a new run of MLflow is FAILED there, one of --run-id keeps what it was told; the folders are as they were",
    "storage put": "the old content or the new one lies there, nothing in between",
    "pipeline terminate": "the run may have been told to end all the same",
    "schedule create": "the schedule may have been made all the same; `traffic-yolo schedule list` says so",
    "schedule pause": "the schedule may have been paused all the same; `traffic-yolo schedule list` says so",
    "schedule resume": "the schedule may have been resumed all the same; `traffic-yolo schedule list` says so",
    "schedule remove": "the schedule may have been removed all the same; `traffic-yolo schedule list` says so",
}


def kept_text(context: click.Context) -> str:
    """The sentence for the command of a context, with the places that were given."""
    path = command_path(context)
    given: dict[str, Any] = {name: value or "-" for name, value in context.params.items()}
    if path in KEPT:
        return KEPT[path].format_map(given)
    out = context.params.get("out") or context.params.get("to") or context.params.get("draft")
    return f"nothing was written to {out}" if out else "nothing was changed"


def command_path(context: click.Context) -> str:
    """The words of a command after `traffic-yolo`."""
    names = []
    one: click.Context | None = context
    while one is not None and one.parent is not None:
        names.append(str(one.info_name))
        one = one.parent
    return " ".join(reversed(names))
