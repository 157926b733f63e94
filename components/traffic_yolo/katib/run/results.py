"""What a local run leaves: a Katib-shaped status, a table, and a picture of all trials in parallel coordinates."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from traffic_yolo.html_report import figure_svg, page, paragraph, table
from traffic_yolo.katib.run.experiment_state import Ending, best_trial
from traffic_yolo.katib.run.journal import State, Trial, now
from traffic_yolo.katib.run.runner import TRIALS_FOLDER, LocalRun
from traffic_yolo.katib.spec.space import Parameter, read_space
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.storage import AnyPath, output_path, write_text

STATUS_NAME, TABLE_NAME, REPORT_NAME = "experiment.yaml", "trials.csv", "report.html"
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of an axis, where its values stand
# Trial state -> (list in the status, counter in the status); experiments/v1beta1/experiment_types.go
_LISTS: Mapping[State, tuple[str, str]] = {
    "Succeeded": ("succeededTrialList", "trialsSucceeded"),
    "Failed": ("failedTrialList", "trialsFailed"),
    "EarlyStopped": ("earlyStoppedTrialList", "trialsEarlyStopped"),
    "MetricsUnavailable": ("metricsUnavailableTrialList", "trialMetricsUnavailable"),
    "Killed": ("killedTrialList", "trialsKilled"),
    "Running": ("runningTrialList", "trialsRunning"),
}
FAILED: tuple[State, ...] = ("Failed", "MetricsUnavailable")
MOST_REASONS = 5  # why trials failed, on a terminal


def write_results(run: LocalRun, over: Ending | None) -> None:
    """Writes `experiment.yaml`, `trials.csv` and `report.html` into the run's folder, each atomically."""
    text = yaml.safe_dump(experiment_with_status(run, over), sort_keys=False, width=120, allow_unicode=True)
    write_text(run.out / STATUS_NAME, text)
    write_text(run.out / TABLE_NAME, trials_csv(run))
    write_text(run.out / REPORT_NAME, report_html(run, over))


def experiment_with_status(run: LocalRun, over: Ending | None) -> dict[str, Any]:
    """The Experiment with the status that Katib would give it; `over` None: it was interrupted."""
    trials = list(run.journal.trials.values())
    started = run.journal.started_at
    conditions = [
        _condition("Created", "True", "ExperimentCreated", "Experiment is created", started),
        _condition("Running", "False" if over else "True", "ExperimentRunning", "Experiment is running", started),
    ]
    status: dict[str, Any] = {"startTime": started, "conditions": conditions, "trials": len(trials)}
    if over is not None:
        ended = max((trial.ended_at for trial in trials), default=now())
        conditions.append(_condition(over.condition, "True", over.reason, over.message, ended))
        status |= {"completionTime": ended}
    for state, (listed, counter) in _LISTS.items():
        names = [trial.name for trial in run.journal.in_state(state)]
        if names:
            status |= {counter: len(names), listed: names}
    best = best_trial(run.journal, run.log_format, run.limits)
    if best is not None:
        status["currentOptimalTrial"] = {
            "bestTrialName": best.name,
            "parameterAssignments": [{"name": name, "value": value} for name, value in best.assignments.items()],
            "observation": {"metrics": [metric.to_status() for metric in best.observation or ()]},
        }
    return {**{key: value for key, value in run.document.items() if key != "status"}, "status": status}


def _condition(kind: str, is_so: str, reason: str, message: str, time: str) -> dict[str, str]:
    times = {"lastTransitionTime": time, "lastUpdateTime": time}
    return {"type": kind, "status": is_so, "reason": reason, "message": message, **times}


def trials_csv(run: LocalRun) -> str:
    """One line a trial, in the order in which they were made: name, state, parameters, metrics by their strategy, and
    why it came to nothing.
    """
    headers, rows = _rows(run, list(run.journal.trials.values()))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue()


def summary_text(run: LocalRun, over: Ending) -> str:
    """The end and the best trial for a terminal."""
    counts = {state: len(list(run.journal.in_state(state))) for state in _LISTS}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"{over.condition}: {over.message} ({states or 'no trial'})", *_reasons(run)]
    best = best_trial(run.journal, run.log_format, run.limits)
    if best is not None:
        metrics = "  ".join(f"{name}={value}" for name, value in _metrics(run, best).items())
        lines.append(f"best trial {best.name}: {metrics}")
        lines += [f"  {name} = {value}" for name, value in best.assignments.items()]
    return "\n".join(lines)


def result_values(run: LocalRun, over: Ending) -> dict[str, Any]:
    """The same as values of JSON, with every trial and the paths of what was written."""
    trials = {trial.name: trial for trial in run.journal.trials.values()}
    best = best_trial(run.journal, run.log_format, run.limits)
    return {
        "condition": over.condition,
        "message": over.message,
        "best": "" if best is None else best.name,
        "trials": [
            {
                "name": name,
                "state": trial.state,
                "parameters": trial.assignments,
                "metrics": _metrics(run, trial),
                "message": trial.message,
            }
            for name, trial in trials.items()
        ],
        "files": list(results_of(run.out)),
    }


def _reasons(run: LocalRun) -> list[str]:
    """Why trials failed, each reason once, the commonest first."""
    failed = list(run.journal.in_state(*FAILED))
    counted = Counter(trial.message for trial in failed).most_common()
    lines = ["why trials failed:"] if failed else []
    for message, count in counted[:MOST_REASONS]:
        first = next(trial.name for trial in failed if trial.message == message)
        lines.append(f"  {count} of {len(failed)}: {message} ({run.out / TRIALS_FOLDER / first})")
    left = len(counted) - MOST_REASONS
    return [*lines, *([f"  and {left} other reasons in {run.out / TABLE_NAME}"] if left > 0 else [])]


def first_reason(run: LocalRun) -> str:
    """Why the first trial that failed did, with its name; "" where none failed."""
    failed = next(run.journal.in_state(*FAILED), None)
    return f"{failed.name}: {failed.message}" if failed is not None else ""


def report_html(run: LocalRun, over: Ending | None) -> str:
    """One page: how it ended, the best trial, the picture, every trial from the best down."""
    name = run.log_format.metrics[0]
    trials = sorted(run.journal.trials.values(), key=lambda trial: _rank(run, trial))
    headers, rows = _rows(run, trials)
    ended = summary_text(run, over) if over else "interrupted; run the command again to go on"
    sections = [("", "".join(paragraph(line) for line in ended.splitlines()))]
    measured = [trial for trial in trials if run.log_format.objective_of(trial.observation) is not None]
    if measured:
        picture = figure_svg(_parallel_coordinates(run, measured), title=f"Parameters of every trial and its {name}")
        told = f"One line a trial, from its parameters to its {name}; dark is better, the best is wide."
        sections.append(("Trials", f"{picture}{paragraph(told, quiet=True)}"))
    reasons = [[trial.name, trial.state, trial.message] for trial in trials if trial.message]
    if reasons:
        sections.append(("Why trials came to nothing", table(["trial", "state", "its last line"], reasons)))
    sections.append(("Table", table(headers, rows, caption=f"From the best {name} down")))
    about = About((Subject("experiment", run.name),), run.out)
    return page(f"Katib experiment {run.name}, run on one machine", sections, about=about)


def _rank(run: LocalRun, trial: Trial) -> tuple[bool, float]:
    value = run.log_format.objective_of(trial.observation)
    return (value is None, 0.0 if value is None else (-value if run.limits.maximise else value))


def _metrics(run: LocalRun, trial: Trial) -> dict[str, float | None]:
    observed = {metric.name: metric for metric in trial.observation or ()}
    return {
        name: observed[name].by(run.log_format.strategies.get(name, "latest")) if name in observed else None
        for name in run.log_format.metrics
    }


def _rows(run: LocalRun, trials: Sequence[Trial]) -> tuple[list[str], list[list[str | float | None]]]:
    parameters = [parameter.name for parameter in read_space(run.spec)]
    rows: list[list[str | float | None]] = [
        [
            trial.name,
            trial.state,
            *(trial.assignments[name] for name in parameters),
            *_metrics(run, trial).values(),
            trial.message,
        ]
        for trial in trials
    ]
    return ["trial", "state", *parameters, *run.log_format.metrics, "message"], rows


def _parallel_coordinates(run: LocalRun, trials: Sequence[Trial]) -> Figure:
    """`trials` from the best down."""
    space = read_space(run.spec)
    values = [run.log_format.objective_of(trial.observation) or 0.0 for trial in trials]
    least, most = min(values), max(values)
    figure = Figure(figsize=(9, 4))
    axes = figure.add_subplot()
    for place, parameter in enumerate(space):
        axes.axvline(place, color="#888888", linewidth=0.8)
        for height, label in _ticks(parameter, trials):
            _label(axes, label, place, height)
    last = len(space)
    axes.axvline(last, color="#888888", linewidth=0.8)
    for height in QUARTERS:
        _label(axes, f"{least + height * (most - least):.4g}", last, height)
    span = (most - least) or 1.0
    for index in reversed(range(len(trials))):  # the best on top
        share = (values[index] - least) / span
        good = share if run.limits.maximise else 1 - share
        heights = [_height(parameter, trials[index], trials) for parameter in space] + [share]
        wide = index == 0
        axes.plot(
            range(last + 1),
            heights,
            color="#d9480f" if wide else "#1c5d99",
            alpha=1 if wide else 0.15 + 0.6 * good,
            linewidth=2.5 if wide else 1,
        )
    axes.set_xticks(range(last + 1), [*(parameter.name for parameter in space), run.log_format.metrics[0]])
    axes.set_yticks([])
    axes.set_xlim(-0.1, last + 0.35)
    axes.set_ylim(-0.06, 1.06)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    return figure


def _label(axes: Axes, text: str, place: int, height: float) -> None:
    """A value beside its axis, on a ground of its own: lines run behind it."""
    ground = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    axes.annotate(
        text, (place, height), (5, 0), textcoords="offset points", fontsize=8, va="center", bbox=ground, zorder=5
    )


def _height(parameter: Parameter, trial: Trial, trials: Sequence[Trial]) -> float:
    """Where a trial crosses a parameter's axis, [0, 1]."""
    text = trial.assignments[parameter.name]
    if not parameter.is_numeric:
        return parameter.choices.index(text) / max(len(parameter.choices) - 1, 1)
    least, most = _range(parameter, trials)
    return (float(text) - least) / ((most - least) or 1.0)


def _ticks(parameter: Parameter, trials: Sequence[Trial]) -> list[tuple[float, str]]:
    if not parameter.is_numeric:
        count = max(len(parameter.choices) - 1, 1)
        return [(index / count, choice) for index, choice in enumerate(parameter.choices)]
    least, most = _range(parameter, trials)
    return [(height, f"{least + height * (most - least):.4g}") for height in QUARTERS]


def _range(parameter: Parameter, trials: Sequence[Trial]) -> tuple[float, float]:
    """The parameter's range, and beyond where normal distributions went."""
    values = [float(trial.assignments[parameter.name]) for trial in trials]
    return min(parameter.least, *values), max(parameter.most, *values)


def results_of(folder: AnyPath) -> list[Path]:
    """The files that `write_results` leaves."""
    return [output_path(folder) / name for name in (STATUS_NAME, TABLE_NAME, REPORT_NAME)]
